//! Resume handles from end to end.

use std::time::Duration;

use beamdesk_auth::{HandleKey, RedeemError, RefusedReason};
use beamdesk_types::{RenewRequest, ResumeRequest, Secret};

use crate::world::{World, gateway};

#[tokio::test]
async fn a_browser_comes_back_with_its_newest_handle() {
    let world = World::in_memory().await;
    let (actor, desktop) = world.scene("ada").await;
    let opened = world.redeem(&world.ticket(&actor, &desktop).await).await.unwrap();
    assert_eq!((opened.user, opened.user_name.as_str()), (actor.user, "ada"));
    let mut handle = opened.handle;
    for _ in 0..5 {
        // The page is reloaded: its gateway tells of the closed socket, then the page attaches.
        let closed = RenewRequest { streams: Vec::new(), closed: vec![opened.stream] };
        world.auth.renew(&closed, &gateway("east")).await.unwrap();
        let resumed = world.resume_from(&handle, "east", "bind").await.unwrap();
        assert_eq!((resumed.stream, &resumed.desktop), (opened.stream, &desktop));
        assert_ne!(resumed.handle.expose(), handle.expose());
        handle = resumed.handle;
    }
}

#[tokio::test]
async fn a_lost_answer_is_given_again() {
    let world = World::in_memory().await;
    let (actor, desktop) = world.scene("ada").await;
    let opened = world.redeem(&world.ticket(&actor, &desktop).await).await.unwrap();
    let once = world.resume_from(&opened.handle, "east", "bind").await.unwrap();
    let soon = world.db_clock_shifted(Duration::from_secs(9));
    let again = soon.resume_from(&opened.handle, "east", "bind").await.unwrap();
    assert_eq!(once.handle.expose(), again.handle.expose());
    soon.resume_from(&again.handle, "east", "bind").await.unwrap();
}

#[tokio::test]
async fn a_copied_handle_ends_the_stream_within_one_lease() {
    let world = World::in_memory().await;
    let (actor, desktop) = world.scene("ada").await;
    let opened = world.redeem(&world.ticket(&actor, &desktop).await).await.unwrap();
    let resumed = world.resume_from(&opened.handle, "east", "bind").await.unwrap();
    let renew = RenewRequest { streams: vec![opened.stream], closed: Vec::new() };
    assert!(world.auth.renew(&renew, &gateway("east")).await.unwrap().ended.is_empty());

    let thief = world.resume_from(&resumed.handle, "east", "thief").await.unwrap_err();
    assert_eq!(thief, RefusedReason::OtherBrowser);
    let answer = world.auth.renew(&renew, &gateway("east")).await.unwrap();
    assert_eq!(answer.ended.len(), 1);
    let owner = world.resume_from(&resumed.handle, "east", "bind").await.unwrap_err();
    assert_eq!(owner, RefusedReason::StreamEnded);
    let events = world.store.audit_events(None, 10).await.unwrap();
    assert!(events.iter().any(|entry| entry.event.action == "stream_killed"));
}

#[tokio::test]
async fn a_handle_nobody_signed_is_refused_and_harms_nobody() {
    let world = World::in_memory().await;
    let (actor, desktop) = world.scene("ada").await;
    let opened = world.redeem(&world.ticket(&actor, &desktop).await).await.unwrap();
    // Knowing the id of a stream is not enough to end it.
    let stranger = world.with_config(|config| config.handle_key = HandleKey::fresh().unwrap());
    let (eve, eves) = stranger.scene("eve").await;
    let forged = stranger.redeem(&stranger.ticket(&eve, &eves).await).await.unwrap().handle;
    let signature = forged.expose().rsplit('.').next().unwrap();
    for text in [
        forged.expose().to_owned(),
        format!("{}.1.{signature}", opened.stream),
        format!("{}.0.", opened.stream),
        String::new(),
        "x".repeat(1_000_000),
    ] {
        let refused = world.resume_from(&Secret::new(text), "east", "bind").await.unwrap_err();
        assert_eq!(refused, RefusedReason::Unknown);
    }
    world.resume_from(&opened.handle, "east", "bind").await.unwrap();
}

#[tokio::test]
async fn ten_resumes_a_minute_are_enough() {
    let world = World::in_memory().await;
    let (actor, desktop) = world.scene("ada").await;
    let mut handle = world.redeem(&world.ticket(&actor, &desktop).await).await.unwrap().handle;
    for _ in 0..10 {
        handle = world.resume_from(&handle, "east", "bind").await.unwrap().handle;
    }
    let bind = Secret::new("bind".to_owned());
    let request = ResumeRequest { handle: handle.clone(), bind };
    for _ in 0..2 {
        // Not the refusal that all else gets: the browser may keep its handle.
        let refused = world.auth.resume(&request, &gateway("east")).await.unwrap_err();
        let RedeemError::TooMany { retry_after } = refused else { panic!("{refused:?}") };
        assert!(!retry_after.is_zero() && retry_after <= Duration::from_secs(60));
    }
    let later = world.db_clock_shifted(Duration::from_secs(61));
    let handle = later.resume_from(&handle, "east", "bind").await.unwrap().handle;
    // Who holds only a copy learns nothing of it, however often the owner came.
    for _ in 0..9 {
        later.resume_from(&handle, "east", "bind").await.unwrap();
    }
    let thief = later.resume_from(&handle, "east", "thief").await.unwrap_err();
    assert_eq!(thief, RefusedReason::OtherBrowser);
}

#[tokio::test]
async fn who_is_logged_out_does_not_come_back() {
    let world = World::in_memory().await;
    let (actor, desktop) = world.scene("ada").await;
    let opened = world.redeem(&world.ticket(&actor, &desktop).await).await.unwrap();
    world.auth.logout(actor.session).await.unwrap();
    let refused = world.resume_from(&opened.handle, "east", "bind").await.unwrap_err();
    assert_eq!(refused, RefusedReason::SessionEnded);
}

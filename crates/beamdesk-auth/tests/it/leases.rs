//! Leases (SR-06, SR-13).

use std::time::Duration;

use beamdesk_store::UserChange;
use beamdesk_types::{CloseReason, Goal, LeaseEnd, RenewRequest, StreamId};

use crate::world::{World, gateway};

fn watching(streams: &[StreamId]) -> RenewRequest {
    RenewRequest { streams: streams.to_vec(), closed: Vec::new() }
}

#[tokio::test]
async fn what_is_revoked_ends_at_the_next_lease_and_nothing_else() {
    let world = World::in_memory().await;
    let east = gateway("east");
    let mut streams = Vec::new();
    let mut scenes = Vec::new();
    for name in ["logout", "disabled", "stopped", "restarted", "deleted", "stays"] {
        let (actor, desktop) = world.scene(name).await;
        let ticket = world.ticket(&actor, &desktop).await;
        streams.push(world.redeem(&ticket).await.unwrap().stream);
        scenes.push((actor, desktop));
    }
    let answer = world.auth.renew(&watching(&streams), &east).await.unwrap();
    assert_eq!((answer.ended, answer.now), (Vec::new(), world.now()));

    world.auth.logout(scenes[0].0.session).await.unwrap();
    let disable = UserChange { disabled: Some(true), ..UserChange::default() };
    world.store.update_user(scenes[1].0.user, disable, world.now()).await.unwrap();
    scenes[2].1.goal = Goal::Stopped;
    scenes[3].1.generation += 1;
    scenes[4].1.goal = Goal::Deleted;
    for (_, desktop) in &scenes[2..5] {
        assert!(world.store.save_desktop(desktop).await.unwrap());
    }
    let reasons = [
        CloseReason::LoggedOut,
        CloseReason::NotAllowed,
        CloseReason::DesktopGone,
        CloseReason::DesktopGone,
        CloseReason::DesktopGone,
    ];
    let expected: Vec<LeaseEnd> =
        streams.iter().zip(reasons).map(|(&stream, reason)| LeaseEnd { stream, reason }).collect();
    // Told again until the gateway names them no more, even when the cause goes away.
    for _ in 0..2 {
        let answer = world.auth.renew(&watching(&streams), &east).await.unwrap();
        assert_eq!(answer.ended, expected);
        let enable = UserChange { disabled: Some(false), ..UserChange::default() };
        world.store.update_user(scenes[1].0.user, enable, world.now()).await.unwrap();
    }
    let answer = world.auth.renew(&watching(&streams[5..]), &east).await.unwrap();
    assert_eq!(answer.ended, []);
}

#[tokio::test]
async fn watching_is_using_and_ends_with_the_day() {
    let world = World::in_memory().await;
    let east = gateway("east");
    let (actor, desktop) = world.scene("ada").await;
    let stream = world.redeem(&world.ticket(&actor, &desktop).await).await.unwrap().stream;
    // Eleven hours and a half at the desktop without a look at the portal.
    for _ in 0..(23 * 15) {
        world.clock.advance(Duration::from_secs(120));
        let answer = world.auth.renew(&watching(&[stream]), &east).await.unwrap();
        assert_eq!(answer.ended, []);
    }
    world.clock.advance(Duration::from_secs(29 * 60));
    assert_eq!(world.auth.renew(&watching(&[stream]), &east).await.unwrap().ended, []);
    world.clock.advance(Duration::from_secs(60));
    let answer = world.auth.renew(&watching(&[stream]), &east).await.unwrap();
    assert_eq!(answer.ended, [LeaseEnd { stream, reason: CloseReason::LoggedOut }]);
}

#[tokio::test]
async fn a_closed_page_does_not_keep_the_session() {
    let world = World::in_memory().await;
    let east = gateway("east");
    let (actor, desktop) = world.scene("ada").await;
    let stream = world.redeem(&world.ticket(&actor, &desktop).await).await.unwrap().stream;
    let closed = RenewRequest { streams: Vec::new(), closed: vec![stream] };
    world.auth.renew(&closed, &east).await.unwrap();
    assert!(world.store.live_streams_of(desktop.id).await.unwrap().is_empty());
    for _ in 0..31 {
        world.clock.advance(Duration::from_secs(60));
        world.auth.renew(&watching(&[]), &east).await.unwrap();
    }
    let answer = world.auth.renew(&watching(&[stream]), &east).await.unwrap();
    assert_eq!(answer.ended, [LeaseEnd { stream, reason: CloseReason::LoggedOut }]);
}

#[tokio::test]
async fn a_gateway_cannot_end_or_hold_anothers_stream() {
    let world = World::in_memory().await;
    let (actor, desktop) = world.scene("ada").await;
    let stream = world.redeem(&world.ticket(&actor, &desktop).await).await.unwrap().stream;
    let answer = world.auth.renew(&watching(&[stream]), &gateway("west")).await.unwrap();
    assert_eq!(answer.ended, [LeaseEnd { stream, reason: CloseReason::NotAllowed }]);
    let answer = world.auth.renew(&watching(&[stream]), &gateway("east")).await.unwrap();
    assert_eq!(answer.ended, []);
}

//! SR-03 and SR-04: sessions.

use std::time::Duration;

use beamdesk_store::UserChange;
use beamdesk_types::Role;

use crate::world::{PASSWORD, World, secret};

const IDLE: Duration = Duration::from_secs(30 * 60);
const ABSOLUTE: Duration = Duration::from_secs(12 * 3600);
const SECOND: Duration = Duration::from_secs(1);

/// A token from before a login, or before a change of one's powers, is worth nothing after it.
#[tokio::test]
async fn fixation() {
    let world = World::in_memory().await;
    let ada = world.user("ada", Role::User).await;
    let actor = async |token: &str| world.auth.actor(token).await.unwrap();

    // One that an attacker chose never becomes good.
    let planted = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(actor(planted).await, None);
    let first = world.login("ada").await;
    assert_eq!(actor(planted).await, None);
    for odd in ["", " ", "%", &"A".repeat(10_000), &format!("{} ", first.token.expose())] {
        assert_eq!(actor(odd).await, None, "{odd:?}");
    }

    // Logging in again gives another token and another session.
    let second = world.login("ada").await;
    assert_ne!(first.token.expose(), second.token.expose());
    assert_ne!(first.actor.session, second.actor.session);
    assert!(actor(first.token.expose()).await.is_some());

    // A new password ends them all, and gives a new one.
    let changed = world
        .auth
        .change_password(&second.actor, secret(PASSWORD), secret("another password"))
        .await
        .unwrap();
    assert_eq!(actor(first.token.expose()).await, None);
    assert_eq!(actor(second.token.expose()).await, None);
    assert!(actor(changed.token.expose()).await.is_some());

    // So does another role.
    let promote = UserChange { role: Some(Role::Operator), ..UserChange::default() };
    world.store.update_user(ada.id, promote, world.now()).await.unwrap();
    assert_eq!(actor(changed.token.expose()).await, None);
}

#[tokio::test]
async fn expiry_fake_clock() {
    let world = World::in_memory().await;
    world.user("ada", Role::User).await;
    let is_good = async |token: &str| world.auth.actor(token).await.unwrap().is_some();

    // Idle: good one second before, not one second after.
    let login = world.login("ada").await;
    world.clock.advance(IDLE - SECOND);
    assert!(is_good(login.token.expose()).await);
    // That was a use, so the time begins anew.
    world.clock.advance(IDLE - SECOND);
    assert!(is_good(login.token.expose()).await);
    world.clock.advance(IDLE + SECOND);
    assert!(!is_good(login.token.expose()).await);

    // Exactly at the end it is over.
    let login = world.login("ada").await;
    world.clock.advance(IDLE);
    assert!(!is_good(login.token.expose()).await);

    // Looking without using does not keep it alive.
    let login = world.login("ada").await;
    for _ in 0..29 {
        world.clock.advance(Duration::from_secs(60));
        assert!(world.auth.is_alive(login.token.expose()).await.unwrap());
    }
    world.clock.advance(Duration::from_secs(60));
    assert!(!world.auth.is_alive(login.token.expose()).await.unwrap());

    // Absolute: used all the time, and over after twelve hours all the same.
    let login = world.login("ada").await;
    assert_eq!(login.expires, world.now().checked_add(ABSOLUTE).unwrap());
    for _ in 0..(12 * 6 - 1) {
        world.clock.advance(Duration::from_secs(600));
        assert!(is_good(login.token.expose()).await);
    }
    world.clock.advance(Duration::from_secs(600) - SECOND);
    assert!(is_good(login.token.expose()).await);
    world.clock.advance(SECOND + SECOND);
    assert!(!is_good(login.token.expose()).await);
}

#[tokio::test]
async fn logout_ends_this_session_or_all() {
    let world = World::in_memory().await;
    let ada = world.user("ada", Role::User).await;
    let (one, two) = (world.login("ada").await, world.login("ada").await);
    let is_good = async |token: &str| world.auth.actor(token).await.unwrap().is_some();
    world.auth.logout(one.actor.session).await.unwrap();
    world.auth.logout(one.actor.session).await.unwrap();
    assert!(!is_good(one.token.expose()).await);
    assert!(is_good(two.token.expose()).await);
    world.auth.logout_all(ada.id).await.unwrap();
    assert!(!is_good(two.token.expose()).await);
}

//! Logging in and changing passwords.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use beamdesk_auth::{LoginError, PasswordError, PasswordFault};
use beamdesk_store::UserChange;
use beamdesk_types::Role;
use tokio::{task::JoinSet, time::Instant};

use crate::world::{ADDRESS, PASSWORD, World, secret};

#[tokio::test]
async fn the_right_password_logs_in() {
    let world = World::in_memory().await;
    let ada = world.user("ada", Role::Operator).await;
    let login = world.auth.login(" Ada ", secret(PASSWORD), ADDRESS).await.unwrap();
    assert_eq!((login.actor.user, login.actor.role), (ada.id, Role::Operator));
    let actor = world.auth.actor(login.token.expose()).await.unwrap();
    assert_eq!(actor, Some(login.actor));
    let events = world.store.audit_events(None, 10).await.unwrap();
    assert_eq!(events[0].event.action, "login");
    assert_eq!(events[0].event.detail, "from 10.0.0.1");
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_look_alike() {
    let world = World::in_memory().await;
    world.user("ada", Role::User).await;
    for (name, password) in [
        ("ada", "wrong horse battery"),
        ("eve", PASSWORD),
        ("", PASSWORD),
        ("ada", ""),
        ("ada' OR 1=1 --", PASSWORD),
        ("ada\n", "x"),
        ("ada", &"x".repeat(100_000)),
    ] {
        let refused = world.auth.login(name, secret(password), ADDRESS).await.unwrap_err();
        assert!(matches!(refused, LoginError::Wrong), "{name}: {refused:?}");
    }
}

#[tokio::test]
async fn a_wrong_name_takes_as_long_as_a_wrong_password() {
    let world = World::in_memory().await;
    world.user("ada", Role::User).await;
    // The least of several, in turns, since others disturb upwards only and come and go.
    let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
    for n in 0..6 {
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 1, n));
        for (name, least) in [("ada", &mut known), ("eve", &mut unknown)] {
            let start = Instant::now();
            world.auth.login(name, secret("wrong horse"), address).await.unwrap_err();
            *least = start.elapsed().min(*least);
        }
    }
    assert!(unknown > known / 2, "{unknown:?} against {known:?}");
    assert!(known > unknown / 2, "{unknown:?} against {known:?}");
}

#[tokio::test]
async fn only_who_knows_the_password_hears_of_a_disabled_account() {
    let world = World::in_memory().await;
    let ada = world.user("ada", Role::User).await;
    let disable = UserChange { disabled: Some(true), ..UserChange::default() };
    world.store.update_user(ada.id, disable, world.now()).await.unwrap();
    let refused = world.auth.login("ada", secret(PASSWORD), ADDRESS).await.unwrap_err();
    assert!(matches!(refused, LoginError::Disabled), "{refused:?}");
    let refused = world.auth.login("ada", secret("wrong horse"), ADDRESS).await.unwrap_err();
    assert!(matches!(refused, LoginError::Wrong), "{refused:?}");
}

#[tokio::test]
async fn after_some_wrong_passwords_one_has_to_wait() {
    let world = World::in_memory().await;
    world.user("ada", Role::User).await;
    for _ in 0..5 {
        let refused = world.auth.login("ada", secret("wrong horse"), ADDRESS).await.unwrap_err();
        assert!(matches!(refused, LoginError::Wrong), "{refused:?}");
    }
    let refused = world.auth.login("ada", secret(PASSWORD), ADDRESS).await.unwrap_err();
    let LoginError::TooMany { retry_after } = refused else { panic!("{refused:?}") };
    // From elsewhere, or after the wait, the right one is let in.
    let elsewhere = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
    world.auth.login("ada", secret(PASSWORD), elsewhere).await.unwrap();
    world.clock.advance(retry_after);
    world.auth.login("ada", secret(PASSWORD), ADDRESS).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_logins_is_refused_and_not_queued() {
    let world = World::in_memory().await;
    world.user("ada", Role::User).await;
    let mut flood = JoinSet::new();
    for n in 0..200_u8 {
        let auth = world.auth.clone();
        let address = IpAddr::V4(Ipv4Addr::new(10, 1, 0, n));
        flood.spawn(async move { auth.login("eve", secret("wrong horse"), address).await });
    }
    let (mut wrong, mut too_many) = (0, 0);
    for outcome in flood.join_all().await {
        match outcome.unwrap_err() {
            LoginError::Wrong => wrong += 1,
            LoginError::TooMany { .. } => too_many += 1,
            error => panic!("{error:?}"),
        }
    }
    assert_eq!(wrong + too_many, 200);
    assert!(wrong >= 2, "{wrong}");
    // And afterwards all is as before.
    world.login("ada").await;
}

#[tokio::test]
async fn a_new_password_needs_the_old_one_and_follows_the_rule() {
    let world = World::in_memory().await;
    world.user("ada", Role::User).await;
    let actor = world.login("ada").await.actor;
    let change = async |old: &str, new: &str| {
        world.auth.change_password(&actor, secret(old), secret(new)).await
    };
    let refused = change(PASSWORD, "short").await.unwrap_err();
    assert!(matches!(refused, PasswordError::Fault(PasswordFault::TooShort)), "{refused:?}");
    let refused = change(PASSWORD, &"x".repeat(257)).await.unwrap_err();
    assert!(matches!(refused, PasswordError::Fault(PasswordFault::TooLong)), "{refused:?}");
    for _ in 0..5 {
        let refused = change("wrong horse", "another password").await.unwrap_err();
        assert!(matches!(refused, PasswordError::Wrong), "{refused:?}");
    }
    let refused = change(PASSWORD, "another password").await.unwrap_err();
    let PasswordError::TooMany { retry_after } = refused else { panic!("{refused:?}") };
    world.clock.advance(retry_after);
    change(PASSWORD, "another password").await.unwrap();
    let refused = world.auth.login("ada", secret(PASSWORD), ADDRESS).await.unwrap_err();
    assert!(matches!(refused, LoginError::Wrong), "{refused:?}");
    world.auth.login("ada", secret("another password"), ADDRESS).await.unwrap();
}

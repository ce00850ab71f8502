//! The first visit.

use std::time::Duration;

use beamdesk_auth::{PasswordFault, SetupError};
use beamdesk_types::Role;

use crate::world::{ADDRESS, PASSWORD, World, secret};

#[tokio::test]
async fn the_link_makes_the_first_administrator_once() {
    let world = World::in_memory().await;
    assert!(world.auth.is_setup_needed().await.unwrap());
    let token = world.auth.setup_link_token().await.unwrap().unwrap();
    let complete = async |token: &str, name: &str, password: &str| {
        world.auth.complete_setup(token, name, secret(password), ADDRESS).await
    };
    // Mistakes do not use the link up.
    for wrong in ["", "wrong", &"x".repeat(100_000)] {
        let refused = complete(wrong, "root", PASSWORD).await.unwrap_err();
        assert!(matches!(refused, SetupError::Refused), "{refused:?}");
    }
    let refused = complete(token.expose(), "no good name", PASSWORD).await.unwrap_err();
    assert!(matches!(refused, SetupError::Name), "{refused:?}");
    let refused = complete(token.expose(), "root", "short").await.unwrap_err();
    assert!(matches!(refused, SetupError::Password(PasswordFault::TooShort)), "{refused:?}");

    let login = complete(token.expose(), "Root", PASSWORD).await.unwrap();
    assert_eq!((login.actor.name.as_str(), login.actor.role), ("root", Role::Administrator));
    assert!(world.auth.actor(login.token.expose()).await.unwrap().is_some());
    assert!(!world.auth.is_setup_needed().await.unwrap());
    let refused = complete(token.expose(), "eve", PASSWORD).await.unwrap_err();
    assert!(matches!(refused, SetupError::Refused), "{refused:?}");
    assert!(world.auth.setup_link_token().await.unwrap().is_none());
    world.login("root").await;
}

#[tokio::test]
async fn a_link_lives_a_day_and_dies_with_a_newer_one() {
    let world = World::in_memory().await;
    let old = world.auth.setup_link_token().await.unwrap().unwrap();
    let new = world.auth.setup_link_token().await.unwrap().unwrap();
    let complete = async |token: &str| {
        world.auth.complete_setup(token, "root", secret(PASSWORD), ADDRESS).await
    };
    assert!(matches!(complete(old.expose()).await, Err(SetupError::Refused)));
    world.clock.advance(Duration::from_secs(24 * 3600));
    assert!(matches!(complete(new.expose()).await, Err(SetupError::Refused)));
    let newest = world.auth.setup_link_token().await.unwrap().unwrap();
    world.clock.advance(Duration::from_secs(24 * 3600 - 1));
    complete(newest.expose()).await.unwrap();
}

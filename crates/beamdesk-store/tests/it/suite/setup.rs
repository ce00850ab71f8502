//! The first administrator.

use beamdesk_store::{Store, User};
use beamdesk_types::Role;
use tokio::task::JoinSet;

use crate::world::{at, digest, user};

fn administrator(name: &str) -> User {
    User { role: Role::Administrator, ..user(name) }
}

pub(crate) async fn a_token_makes_one_administrator(store: Store) {
    assert!(store.put_setup_token(&digest("old"), at(100)).await.unwrap());
    assert!(store.put_setup_token(&digest("new"), at(100)).await.unwrap());
    let ada = administrator("ada");
    for (token, now) in [("old", 1), ("wrong", 1), ("new", 100)] {
        assert!(!store.is_setup_token(&digest(token), at(now)).await.unwrap());
        assert!(!store.complete_setup(&digest(token), at(now), &ada).await.unwrap());
    }
    // What was refused used nothing up.
    assert!(store.is_setup_token(&digest("new"), at(99)).await.unwrap());
    assert!(store.complete_setup(&digest("new"), at(99), &ada).await.unwrap());
    assert!(!store.complete_setup(&digest("new"), at(99), &administrator("eve")).await.unwrap());
    assert!(!store.put_setup_token(&digest("more"), at(200)).await.unwrap());
    assert_eq!(store.users(None, 10).await.unwrap(), [ada]);
}

pub(crate) async fn of_many_at_once_one_sets_up(store: Store) {
    assert!(store.put_setup_token(&digest("token"), at(100)).await.unwrap());
    let mut racing = JoinSet::new();
    for n in 0..16 {
        let (store, user) = (store.clone(), administrator(&format!("user{n}")));
        racing.spawn(
            async move { store.complete_setup(&digest("token"), at(1), &user).await.unwrap() },
        );
    }
    let done = racing.join_all().await.into_iter().filter(|&done| done).count();
    assert_eq!(done, 1);
    assert_eq!(store.administrators_count().await.unwrap(), 1);
}

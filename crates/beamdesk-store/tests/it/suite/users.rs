//! Users.

use beamdesk_store::{Store, StoreError, User, UserChange};
use beamdesk_types::{Role, UserId};
use tokio::task::JoinSet;

use crate::world::{at, scene, session, user};

pub(crate) async fn a_name_is_taken_once(store: Store) {
    store.add_user(&user("ada")).await.unwrap();
    let taken = store.add_user(&user("ada")).await.unwrap_err();
    assert!(matches!(taken, StoreError::Taken), "{taken:?}");
}

pub(crate) async fn a_user_comes_back_as_changed(store: Store) {
    let mut ada = user("ada");
    let bob = user("bob");
    store.add_user(&ada).await.unwrap();
    store.add_user(&bob).await.unwrap();
    assert_eq!(store.user(ada.id).await.unwrap(), Some(ada.clone()));
    let change = UserChange {
        role: Some(Role::Operator),
        disabled: Some(true),
        password_hash: Some("other".to_owned()),
        language: Some("zh".to_owned()),
        theme: Some("dark".to_owned()),
    };
    let changed = store.update_user(ada.id, change, at(5)).await.unwrap();
    ada.role = Role::Operator;
    ada.disabled = true;
    "other".clone_into(&mut ada.password_hash);
    "zh".clone_into(&mut ada.language);
    "dark".clone_into(&mut ada.theme);
    assert_eq!(changed, Some(ada.clone()));
    assert_eq!(store.user_by_name("ada").await.unwrap(), Some(ada.clone()));
    assert_eq!(store.user_by_name("Ada").await.unwrap(), None);
    let unchanged = store.update_user(bob.id, UserChange::default(), at(5)).await.unwrap();
    assert_eq!(unchanged, Some(bob.clone()));
    let nobody = store.update_user(UserId::fresh(), UserChange::default(), at(5)).await.unwrap();
    assert_eq!(nobody, None);
    assert_eq!(store.users(None, 10).await.unwrap(), [ada.clone(), bob.clone()]);
    assert_eq!(store.users(Some(ada.id), 10).await.unwrap(), [bob]);
    assert_eq!(store.users(None, 1).await.unwrap(), [ada]);
}

pub(crate) async fn somebody_stays_administrator(store: Store) {
    let administrator = |name| User { role: Role::Administrator, ..user(name) };
    let (ada, bob) = (administrator("ada"), administrator("bob"));
    store.add_user(&ada).await.unwrap();
    let demote = UserChange { role: Some(Role::User), ..UserChange::default() };
    let disable = UserChange { disabled: Some(true), ..UserChange::default() };
    for change in [&demote, &disable] {
        let refused = store.update_user(ada.id, change.clone(), at(5)).await.unwrap_err();
        assert!(matches!(refused, StoreError::LastAdministrator), "{refused:?}");
        assert_eq!(store.user(ada.id).await.unwrap(), Some(ada.clone()));
    }
    // Two who take the other's powers at once: one of them stays.
    store.add_user(&bob).await.unwrap();
    assert_eq!(store.administrators_count().await.unwrap(), 2);
    let mut racing = JoinSet::new();
    for (id, change) in [(ada.id, demote), (bob.id, disable)] {
        let store = store.clone();
        racing.spawn(async move { store.update_user(id, change, at(6)).await });
    }
    let outcomes = racing.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
    assert_eq!(store.administrators_count().await.unwrap(), 1);
}

pub(crate) async fn what_changes_ones_powers_ends_ones_sessions(store: Store) {
    let ada = scene(&store, "ada").await;
    let is_alive = async |hash| store.session_by_hash(&hash).await.unwrap().is_some();
    let harmless = UserChange {
        language: Some("zh".to_owned()),
        theme: Some("dark".to_owned()),
        role: Some(ada.user.role),
        disabled: Some(false),
        password_hash: None,
    };
    store.update_user(ada.user.id, harmless, at(5)).await.unwrap();
    assert!(is_alive(ada.session.token_hash).await);
    for change in [
        UserChange { role: Some(Role::Operator), ..UserChange::default() },
        UserChange { password_hash: Some("new".to_owned()), ..UserChange::default() },
        UserChange { disabled: Some(true), ..UserChange::default() },
    ] {
        let session = session(ada.user.id);
        store.add_session(&session).await.unwrap();
        assert!(is_alive(session.token_hash).await);
        store.update_user(ada.user.id, change, at(5)).await.unwrap();
        assert!(!is_alive(session.token_hash).await);
    }
}

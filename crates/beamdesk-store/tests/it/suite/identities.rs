//! People whom a provider vouches for.

use beamdesk_store::{ProviderSession, Store, User, Vouched};
use beamdesk_types::{Role, StationId};

use crate::world::{at, digest, session, user};

const ISSUER: &str = "https://login.example.org";

fn vouched(subject: &str, role: Role) -> Vouched<'_> {
    Vouched { issuer: ISSUER, subject, role, stations: None }
}

async fn log_in(store: &Store, subject: &str, role: Role, name: &str) -> User {
    store.vouched_user(&vouched(subject, role), &User { role, ..user(name) }, at(0)).await.unwrap()
}

pub(crate) async fn a_person_is_issuer_and_subject_whatever_the_name(store: Store) {
    let local = user("ada");
    store.add_user(&local).await.unwrap();
    // The name of somebody here makes nobody that person.
    let ada = log_in(&store, "s-1", Role::User, "ada").await;
    assert_ne!(ada.id, local.id);
    assert_eq!(ada.name, "ada-2");
    // The same person comes back under another name, and is the same account.
    let again = log_in(&store, "s-1", Role::User, "lovelace").await;
    assert_eq!((again.id, again.name.as_str()), (ada.id, "ada-2"));
    // The same subject of another provider is somebody else.
    let other = Vouched { issuer: "https://other.example.org", ..vouched("s-1", Role::User) };
    let other = store.vouched_user(&other, &user("ada"), at(0)).await.unwrap();
    assert_eq!(other.name, "ada-3");
    // A long name leaves room for its number.
    let long = "l".repeat(32);
    log_in(&store, "s-2", Role::User, &long).await;
    let second = log_in(&store, "s-3", Role::User, &long).await;
    assert_eq!(second.name, format!("{}-2", "l".repeat(30)));
    assert_eq!(store.issuer_of(ada.id).await.unwrap().as_deref(), Some(ISSUER));
    assert_eq!(store.issuer_of(local.id).await.unwrap(), None);
    let issuers = store.issuers(None, 100).await.unwrap();
    assert_eq!(issuers.len(), 4);
    assert_eq!(issuers[&ada.id], ISSUER);
}

pub(crate) async fn who_left_the_group_has_its_role_no_more(store: Store) {
    let root = log_in(&store, "s-1", Role::Administrator, "root").await;
    let of_root = session(root.id);
    store.add_session(&of_root).await.unwrap();
    // The same role again ends nothing.
    log_in(&store, "s-1", Role::Administrator, "root").await;
    assert!(store.session_by_hash(&of_root.token_hash).await.unwrap().is_some());
    // Even the last administrator.
    let after = log_in(&store, "s-1", Role::User, "root").await;
    assert_eq!((after.id, after.role), (root.id, Role::User));
    assert!(store.session_by_hash(&of_root.token_hash).await.unwrap().is_none());
    assert_eq!(store.administrators_count().await.unwrap(), 0);
}

pub(crate) async fn stations_are_those_of_the_last_login(store: Store) {
    let ids: Vec<StationId> = vec!["b2".parse().unwrap(), "b7".parse().unwrap()];
    let of = |stations| Vouched { stations, ..vouched("s-1", Role::User) };
    let ada = store.vouched_user(&of(Some(&ids)), &user("ada"), at(0)).await.unwrap();
    assert_eq!(store.stations_of(ada.id).await.unwrap(), Some(ids.clone()));
    store.vouched_user(&of(Some(&ids[..1])), &user("ada"), at(1)).await.unwrap();
    assert_eq!(store.stations_of(ada.id).await.unwrap(), Some(ids[..1].to_vec()));
    store.vouched_user(&of(Some(&[])), &user("ada"), at(2)).await.unwrap();
    assert_eq!(store.stations_of(ada.id).await.unwrap(), Some(Vec::new()));
    store.vouched_user(&of(None), &user("ada"), at(3)).await.unwrap();
    assert_eq!(store.stations_of(ada.id).await.unwrap(), None);
    let local = user("local");
    store.add_user(&local).await.unwrap();
    assert_eq!(store.stations_of(local.id).await.unwrap(), None);
}

pub(crate) async fn a_first_login_from_many_places_makes_one_account(store: Store) {
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        logins.spawn(async move { log_in(&store, "s-1", Role::User, "ada").await.id });
    }
    let ids = logins.join_all().await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(store.users(None, 100).await.unwrap().len(), 1);
}

pub(crate) async fn a_provider_ends_the_sessions_that_stand_on_its_own(store: Store) {
    let ada = log_in(&store, "s-1", Role::User, "ada").await;
    let bob = log_in(&store, "s-2", Role::User, "bob").await;
    let begin = async |user: &User, subject: &str, sid: &str| {
        let row = session(user.id);
        store.add_session(&row).await.unwrap();
        let of = ProviderSession {
            issuer: ISSUER.to_owned(),
            subject: subject.to_owned(),
            sid: Some(sid.to_owned()),
        };
        store.add_provider_session(row.id, &of).await.unwrap();
        assert_eq!(store.provider_session(row.id).await.unwrap(), Some(of));
        row
    };
    let alive = async |row: &beamdesk_store::SessionRow| {
        store.session_by_hash(&row.token_hash).await.unwrap().is_some()
    };
    let (one, two) = (begin(&ada, "s-1", "a").await, begin(&ada, "s-1", "b").await);
    let other = begin(&bob, "s-2", "c").await;
    let end = async |issuer: &str, subject: Option<&str>, sid: Option<&str>| {
        store.end_provider_sessions(issuer, subject, sid, at(9)).await.unwrap()
    };
    assert_eq!(end(ISSUER, None, None).await, 0);
    assert_eq!(end("https://other.example.org", Some("s-1"), None).await, 0);
    assert_eq!(end(ISSUER, Some("s-2"), Some("a")).await, 0);
    assert_eq!(end(ISSUER, None, Some("a")).await, 1);
    assert!(!alive(&one).await && alive(&two).await && alive(&other).await);
    assert_eq!(end(ISSUER, Some("s-1"), None).await, 1);
    assert!(!alive(&two).await && alive(&other).await);

    // The rows go with their sessions.
    store.sweep(at(1_000_000), crate::world::HOUR).await.unwrap();
    assert_eq!(store.provider_session(one.id).await.unwrap(), None);
}

pub(crate) async fn a_logout_token_is_used_once(store: Store) {
    let used = async |text: &str, now| {
        store.use_logout_token(&digest(text), at(100), at(now)).await.unwrap()
    };
    assert!(used("one", 0).await);
    assert!(!used("one", 1).await);
    assert!(used("two", 1).await);
    // Forgotten after its end, when it is refused for that.
    assert!(used("one", 101).await);
}

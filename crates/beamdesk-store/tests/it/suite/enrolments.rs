//! Secrets by which monitors are let in.

use beamdesk_store::{NewEnrolment, Store};
use tokio::task::JoinSet;

use crate::world::{HOUR, at, digest, user};

pub(crate) async fn a_secret_lets_so_many_in_and_for_so_long(store: Store) {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    let new =
        |text: &str, uses| NewEnrolment { hash: digest(text), ttl: HOUR, uses, created_by: ada.id };
    store.add_enrolment(&new("some", 3)).await.unwrap();
    store.add_enrolment(&new("old", 3)).await.unwrap();
    assert!(!store.use_enrolment(&digest("other")).await.unwrap());
    assert!(!store.is_enrolment(&digest("other")).await.unwrap());

    // Looking does not use it up, and of many at once three get in.
    assert!(store.is_enrolment(&digest("some")).await.unwrap());
    let mut asking = JoinSet::new();
    for _ in 0..16 {
        let store = store.clone();
        asking.spawn(async move { store.use_enrolment(&digest("some")).await.unwrap() });
    }
    assert_eq!(asking.join_all().await.into_iter().filter(|&is_in| is_in).count(), 3);
    assert!(!store.is_enrolment(&digest("some")).await.unwrap());

    // By the database's clock it is over after an hour.
    let just = store.with_clock_shift(3_590_000);
    assert!(just.is_enrolment(&digest("old")).await.unwrap());
    assert!(just.use_enrolment(&digest("old")).await.unwrap());
    let late = store.with_clock_shift(3_610_000);
    assert!(!late.is_enrolment(&digest("old")).await.unwrap());
    assert!(!late.use_enrolment(&digest("old")).await.unwrap());
    // Sweeping leaves what is good and what is kept for the audit's sake.
    store.sweep(at(0), HOUR).await.unwrap();
    assert!(store.use_enrolment(&digest("old")).await.unwrap());
    let later = store.with_clock_shift(2 * 3_610_000);
    later.sweep(at(0), HOUR).await.unwrap();
    assert!(!store.use_enrolment(&digest("old")).await.unwrap());
}

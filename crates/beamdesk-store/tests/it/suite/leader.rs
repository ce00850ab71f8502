//! Leadership, and that an earlier leader writes nothing.

use std::time::Duration;

use beamdesk_store::{Store, StoreError};
use beamdesk_types::{Claim, Desktop, Phase};
use tokio::task::JoinSet;

use crate::world::{at, scene};

const TTL: Duration = Duration::from_secs(6);

pub(crate) async fn one_leads_until_its_time_is_over(store: Store) {
    let first = store.take_leadership("one", TTL, false).await.unwrap().unwrap();
    assert_eq!(store.take_leadership("two", TTL, false).await.unwrap(), None);
    assert_eq!(store.leader().await.unwrap().holder, "one");
    assert!(store.renew_leadership(first, TTL).await.unwrap());

    let almost = store.with_clock_shift(5_000);
    assert_eq!(almost.take_leadership("two", TTL, false).await.unwrap(), None);
    let later = store.with_clock_shift(7_000);
    let second = later.take_leadership("two", TTL, false).await.unwrap().unwrap();
    assert!(second > first);
    assert!(!later.renew_leadership(first, TTL).await.unwrap());
    store.resign_leadership(first).await.unwrap();
    assert_eq!(later.take_leadership("three", TTL, false).await.unwrap(), None, "not its own");
    store.resign_leadership(second).await.unwrap();
    assert_eq!(store.take_leadership("three", TTL, false).await.unwrap(), Some(second + 1));
    assert_eq!(store.take_leadership("four", TTL, true).await.unwrap(), Some(second + 2));
}

pub(crate) async fn of_many_who_want_to_lead_one_does(store: Store) {
    let mut asked = JoinSet::new();
    for n in 0..32 {
        let store = store.clone();
        asked
            .spawn(async move { store.take_leadership(&n.to_string(), TTL, false).await.unwrap() });
    }
    let taken: Vec<i64> = asked.join_all().await.into_iter().flatten().collect();
    assert_eq!(taken, [1]);
}

pub(crate) async fn an_earlier_leader_writes_nothing(store: Store) {
    let ada = scene(&store, "ada").await;
    let epoch = store.take_leadership("one", TTL, false).await.unwrap().unwrap();
    let one = store.fenced(epoch);
    let claim = Claim {
        desktop: ada.desktop.id,
        node: "node-1".parse().unwrap(),
        vcpus: 1,
        memory_mib: 1,
        disk_gib: 1,
        cards: Vec::new(),
        share_milli: 1000,
    };
    assert!(one.claim(&claim, 0, at(1)).await.unwrap());
    let moved = Desktop { phase: Phase::Stopping, ..ada.desktop.clone() };
    assert!(one.save_desktop(&moved).await.unwrap());
    assert!(!one.save_desktop(&moved).await.unwrap(), "a lost race is no lost leadership");

    let later = store.with_clock_shift(7_000);
    let two = later.take_leadership("two", TTL, false).await.unwrap().unwrap();
    let now = store.desktop(ada.desktop.id).await.unwrap().unwrap();
    let fenced = |outcome: Result<bool, StoreError>| {
        assert!(matches!(outcome, Err(StoreError::NotLeader)), "{outcome:?}");
    };
    fenced(one.save_desktop(&Desktop { phase: Phase::Ready, ..now.clone() }).await);
    fenced(one.release_claim(ada.desktop.id).await);
    fenced(one.claim(&claim, 1, at(2)).await);
    assert_eq!(store.desktop(ada.desktop.id).await.unwrap().unwrap(), now);
    assert!(store.desktop_claim(ada.desktop.id).await.unwrap().is_some());

    let two = later.fenced(two);
    assert!(two.release_claim(ada.desktop.id).await.unwrap());
    assert!(two.save_desktop(&Desktop { phase: Phase::Ready, ..now.clone() }).await.unwrap());
    // People write at any portal.
    let now = store.desktop(ada.desktop.id).await.unwrap().unwrap();
    assert!(store.save_desktop(&now).await.unwrap());
}

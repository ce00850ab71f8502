//! Desktops.

use beamdesk_store::{Store, StoreError};
use beamdesk_types::{Failure, FailureCode, Goal, GpuRequest, Phase};
use tokio::task::JoinSet;

use crate::world::{at, desktop, scene, user};

pub(crate) async fn a_desktop_comes_back_as_it_was_saved(store: Store) {
    let mut d = scene(&store, "ada").await.desktop;
    assert_eq!(store.desktop(d.id).await.unwrap(), Some(d.clone()));
    for &goal in Goal::ALL {
        for &phase in Phase::ALL {
            d.goal = goal;
            d.phase = phase;
            d.name = format!("{goal:?} 光源 '\"; --");
            d.generation += 1;
            d.attempts = u32::MAX;
            d.phase_since = at(i64::from(d.generation));
            d.restart = !d.restart;
            d.node = d.restart.then(|| "node-2".parse().unwrap());
            d.address = d.restart.then(|| "[::1]:1".to_owned());
            let code = FailureCode::ALL[d.generation as usize % FailureCode::ALL.len()];
            d.gpu = if d.restart { GpuRequest::whole(2, 49_152) } else { GpuRequest::default() };
            d.station = d.restart.then(|| "b8".parse().unwrap());
            d.queued = at(i64::from(d.generation) + 7);
            d.ends = d.restart.then(|| at(i64::from(d.generation) + 9));
            d.failure = d.restart.then(|| Failure { code, detail: "no answer".to_owned() });
            assert!(store.save_desktop(&d).await.unwrap());
            d.revision += 1;
            assert_eq!(store.desktop(d.id).await.unwrap(), Some(d.clone()));
        }
    }
}

pub(crate) async fn exactly_one_of_many_writers_wins(store: Store) {
    let desktop = scene(&store, "ada").await.desktop;
    for round in 0..20 {
        let seen = store.desktop(desktop.id).await.unwrap().unwrap();
        assert_eq!(seen.revision, round);
        let mut writers = JoinSet::new();
        for n in 0..8 {
            let (store, mut mine) = (store.clone(), seen.clone());
            mine.name = format!("writer {n}");
            writers.spawn(async move { store.save_desktop(&mine).await.unwrap() });
        }
        let won = writers.join_all().await.into_iter().filter(|&won| won).count();
        assert_eq!(won, 1, "round {round}");
    }
}

pub(crate) async fn the_quota_holds_when_many_ask_at_once(store: Store) {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    let mut asking = JoinSet::new();
    for _ in 0..16 {
        let (store, d) = (store.clone(), desktop(ada.id));
        asking.spawn(async move { store.add_desktop(&d, 3).await });
    }
    let mut added = 0;
    for outcome in asking.join_all().await {
        match outcome {
            Ok(()) => added += 1,
            Err(StoreError::QuotaReached { max: 3 }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(added, 3);
    // Room again after one is gone; and somebody else's do not count.
    let one = store.desktops_of(ada.id, None, 1).await.unwrap().remove(0);
    assert!(store.forget_desktop(one.id, one.revision).await.unwrap());
    store.add_desktop(&desktop(ada.id), 3).await.unwrap();
    scene(&store, "bob").await;
}

pub(crate) async fn a_forgotten_desktop_is_in_no_list(store: Store) {
    let d = scene(&store, "ada").await.desktop;
    assert!(!store.forget_desktop(d.id, d.revision + 1).await.unwrap());
    assert_eq!(store.open_desktops().await.unwrap(), std::slice::from_ref(&d));
    assert!(store.forget_desktop(d.id, d.revision).await.unwrap());
    assert!(!store.forget_desktop(d.id, d.revision).await.unwrap());
    assert!(store.open_desktops().await.unwrap().is_empty());
    assert!(store.desktops(None, 10).await.unwrap().is_empty());
    assert!(store.desktops_of(d.owner, None, 10).await.unwrap().is_empty());
    let kept = store.desktop(d.id).await.unwrap().unwrap();
    assert_eq!((kept.phase, kept.goal, kept.address), (Phase::Deleted, Goal::Deleted, None));
    assert!(!store.save_desktop(&d).await.unwrap(), "a late writer brings it back");
}

pub(crate) async fn lists_come_in_pages(store: Store) {
    let ada = scene(&store, "ada").await;
    let bob = scene(&store, "bob").await;
    let mut adas = vec![ada.desktop];
    for _ in 0..4 {
        let d = desktop(ada.user.id);
        store.add_desktop(&d, 10).await.unwrap();
        adas.push(d);
    }
    let first = store.desktops_of(ada.user.id, None, 2).await.unwrap();
    assert_eq!(first, adas[..2]);
    let rest = store.desktops_of(ada.user.id, Some(first[1].id), 10).await.unwrap();
    assert_eq!(rest, adas[2..]);
    let all = store.desktops(None, 10).await.unwrap();
    assert_eq!(all.len(), 6);
    assert!(all.contains(&bob.desktop));
    assert!(store.desktops(Some(all[5].id), 10).await.unwrap().is_empty());
}

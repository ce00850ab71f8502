//! What desktops have taken of nodes.

use std::sync::Arc;

use beamdesk_store::{ClaimRow, Quarantine, Store, StoreError};
use beamdesk_types::{CardAddress, Claim, DesktopId, NodeName};
use tokio::{sync::Barrier, task::JoinSet};

use crate::world::{at, desktop, scene, user};

fn node() -> NodeName {
    "gpu-1".parse().unwrap()
}

fn card(n: u32) -> CardAddress {
    format!("0000:{n:02x}:00.0").parse().unwrap()
}

fn claim(desktop: DesktopId, cards: &[u32], share_milli: u32) -> Claim {
    let cards = cards.iter().map(|&n| card(n)).collect();
    Claim { desktop, node: node(), vcpus: 4, memory_mib: 8192, disk_gib: 50, cards, share_milli }
}

async fn revision(store: &Store) -> i64 {
    store.claims_revisions().await.unwrap().get(&node()).copied().unwrap_or(0)
}

/// As many desktops of one person.
async fn desktops(store: &Store, count: u32) -> Vec<DesktopId> {
    let ada = user("ada");
    store.add_user(&ada).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..count {
        let d = desktop(ada.id);
        store.add_desktop(&d, count).await.unwrap();
        ids.push(d.id);
    }
    ids
}

pub(crate) async fn a_claim_comes_back_and_goes(store: Store) {
    let ids = desktops(&store, 3).await;
    let two_cards = claim(ids[0], &[1, 2], 1000);
    let without = claim(ids[1], &[], 1000);
    let share = claim(ids[2], &[3], 250);
    for (revision, claim) in [&two_cards, &without, &share].into_iter().enumerate() {
        let revision = i64::try_from(revision).unwrap();
        assert!(store.claim(claim, revision, at(revision)).await.unwrap());
    }
    let row = |claim: &Claim, s| ClaimRow { claim: claim.clone(), claimed: at(s) };
    let mut all = [row(&two_cards, 0), row(&without, 1), row(&share, 2)];
    all.sort_by_key(|row| row.claim.desktop.to_string());
    assert_eq!(store.claims().await.unwrap(), all);
    assert_eq!(store.node_claims(&node()).await.unwrap(), all);
    assert_eq!(store.node_claims(&"gpu-2".parse().unwrap()).await.unwrap(), []);
    assert_eq!(store.desktop_claim(ids[0]).await.unwrap(), Some(row(&two_cards, 0)));
    assert_eq!(revision(&store).await, 3);

    assert!(store.release_claim(ids[0]).await.unwrap());
    assert!(!store.release_claim(ids[0]).await.unwrap());
    assert_eq!(store.desktop_claim(ids[0]).await.unwrap(), None);
    assert_eq!(store.claims().await.unwrap().len(), 2);
    assert_eq!(revision(&store).await, 4, "who keeps what it read sees that it was given back");
    // What was given back can be taken again.
    assert!(store.claim(&two_cards, 4, at(9)).await.unwrap());

    let unknown = claim(DesktopId::fresh(), &[], 1000);
    let refused = store.claim(&unknown, 5, at(9)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Foreign), "{refused:?}");
    assert_eq!(revision(&store).await, 5, "nothing of it was written");
}

pub(crate) async fn a_claim_on_an_old_look_takes_nothing(store: Store) {
    let ids = desktops(&store, 3).await;
    assert!(store.claim(&claim(ids[0], &[1], 1000), 0, at(0)).await.unwrap());
    // Another card, but what was seen is not what is.
    assert!(!store.claim(&claim(ids[1], &[2], 1000), 0, at(0)).await.unwrap());
    assert!(!store.claim(&claim(ids[1], &[2], 1000), 2, at(0)).await.unwrap());
    assert!(store.claim(&claim(ids[1], &[2], 1000), 1, at(0)).await.unwrap());
    // One desktop is in one place.
    let elsewhere = Claim { node: "gpu-2".parse().unwrap(), ..claim(ids[1], &[7], 1000) };
    assert!(!store.claim(&elsewhere, 0, at(0)).await.unwrap());
    assert!(!store.claim(&claim(ids[1], &[3], 1000), 2, at(0)).await.unwrap());
    // The same address on another node is another card.
    let other = Claim { desktop: ids[2], cards: vec![card(1)], ..elsewhere };
    assert!(store.claim(&other, 0, at(0)).await.unwrap());
    assert_eq!(store.claims().await.unwrap().len(), 3);
}

pub(crate) async fn a_card_is_shared_up_to_the_whole_and_no_further(store: Store) {
    let ids = desktops(&store, 6).await;
    let mut taken = 0;
    for id in &ids {
        let seen = revision(&store).await;
        taken += u32::from(store.claim(&claim(*id, &[1], 300), seen, at(0)).await.unwrap());
    }
    assert_eq!(taken, 3, "900 thousandths, and the fourth would be 1200");
    let seen = revision(&store).await;
    assert!(!store.claim(&claim(ids[5], &[2, 1], 1000), seen, at(0)).await.unwrap());
    assert!(store.claim(&claim(ids[5], &[1], 100), seen, at(0)).await.unwrap());
    // A refused claim left nothing behind: card 2 is whole.
    let seen = revision(&store).await;
    assert!(store.claim(&claim(ids[4], &[2], 1000), seen, at(0)).await.unwrap());
}

pub(crate) async fn no_claim_is_made_on_a_node_that_is_out_of_use(store: Store) {
    let ids = desktops(&store, 1).await;
    let wanted = claim(ids[0], &[1], 1000);
    store.set_maintenance(&node(), true).await.unwrap();
    assert!(!store.claim(&wanted, 0, at(0)).await.unwrap());
    store.set_maintenance(&node(), false).await.unwrap();
    let quarantine = Quarantine { code: "absurd".to_owned(), detail: "x".to_owned() };
    store.quarantine_node(&node(), &quarantine).await.unwrap();
    assert!(!store.claim(&wanted, 0, at(0)).await.unwrap());
    assert!(store.lift_quarantine(&node()).await.unwrap());
    assert!(store.claim(&wanted, 0, at(0)).await.unwrap());
}

/// Some of the 64 looked before another claims and some look after, so that now the revision refuses
/// them and now the card that is taken. Who was refused looks whether the card is gone, or tries
/// again.
pub(crate) async fn of_64_who_want_the_last_card_one_gets_it_1000_times(store: Store) {
    const TASKS: u32 = 64;
    const ROUNDS: usize = 1000;
    let ids = desktops(&store, TASKS).await;
    // All cards but the last are somebody's already.
    let other = scene(&store, "bob").await.desktop;
    assert!(store.claim(&claim(other.id, &[1, 2, 3], 1000), 0, at(0)).await.unwrap());
    let barrier = Arc::new(Barrier::new(ids.len()));
    let mut tasks = JoinSet::new();
    for (place, id) in ids.iter().copied().enumerate() {
        let (store, barrier) = (store.clone(), Arc::clone(&barrier));
        tasks.spawn(async move {
            let mut won = vec![false; ROUNDS];
            for (round, won) in won.iter_mut().enumerate() {
                barrier.wait().await;
                // Each round raises the revision twice: taken, given back. Half of them know what
                // it was before.
                let known = (place % 2 == 0).then(|| 2 * i64::try_from(round).unwrap() + 1);
                *won = get_the_last_card(&store, id, known).await;
                barrier.wait().await;
                if *won {
                    let holders = store.node_claims(&node()).await.unwrap();
                    let held = |row: &&ClaimRow| row.claim.cards.contains(&card(4));
                    assert_eq!(holders.iter().filter(held).count(), 1, "of task {place}");
                    assert!(store.release_claim(id).await.unwrap());
                }
            }
            won
        });
    }
    let won = tasks.join_all().await;
    for round in 0..ROUNDS {
        let winners = won.iter().filter(|won| won[round]).count();
        assert_eq!(winners, 1, "winners of round {round}");
    }
    assert_eq!(store.claims().await.unwrap().len(), 1, "of the other desktop");
    assert_eq!(revision(&store).await, 2 * i64::try_from(ROUNDS).unwrap() + 1);
}

async fn get_the_last_card(store: &Store, id: DesktopId, known: Option<i64>) -> bool {
    let mut known = known;
    loop {
        let seen = match known.take() {
            Some(seen) => seen,
            None => revision(store).await,
        };
        if store.claim(&claim(id, &[4], 1000), seen, at(0)).await.unwrap() {
            return true;
        }
        let claims = store.node_claims(&node()).await.unwrap();
        if claims.iter().any(|row| row.claim.cards.contains(&card(4))) {
            return false;
        }
    }
}

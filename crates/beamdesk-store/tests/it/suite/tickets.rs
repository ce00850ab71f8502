//! Tickets.

use std::{sync::Arc, time::Duration};

use beamdesk_store::{NewTicket, RefusedReason, Store, UserChange};
use beamdesk_types::{Goal, Phase};
use tokio::{sync::Barrier, task::JoinSet};

use crate::world::{LIMITS, Scene, at, digest, gateway, scene};

async fn redeemed(scene: &Scene, text: &str) -> Result<(), RefusedReason> {
    let outcome =
        scene.store.redeem_ticket(&digest(text), &gateway("east"), &[], &digest("bind")).await;
    outcome.unwrap().map(drop)
}

pub(crate) async fn a_ticket_opens_one_stream_however_many_try(store: Store) {
    let ada = scene(&store, "ada").await;
    for round in 0..5 {
        let text = format!("ticket {round}");
        store.add_ticket(&ada.ticket(&text), LIMITS).await.unwrap();
        let barrier = Arc::new(Barrier::new(16));
        let mut racing = JoinSet::new();
        for _ in 0..16 {
            let (ada, text, barrier) = (ada.clone(), text.clone(), Arc::clone(&barrier));
            racing.spawn(async move {
                barrier.wait().await;
                redeemed(&ada, &text).await
            });
        }
        let outcomes = racing.join_all().await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
        for outcome in outcomes.into_iter().filter_map(Result::err) {
            assert_eq!(outcome, RefusedReason::AlreadyUsed);
        }
    }
    assert_eq!(store.live_streams_of(ada.desktop.id).await.unwrap().len(), 5);
    assert_eq!(redeemed(&ada, "nobody's").await, Err(RefusedReason::Unknown));
}

pub(crate) async fn a_refused_ticket_is_burned(store: Store) {
    // Each scene is right but for one thing.
    let ada = scene(&store, "gateway").await;
    store.add_ticket(&ada.ticket("1"), LIMITS).await.unwrap();
    let outcome = store.redeem_ticket(&digest("1"), &gateway("west"), &[], &digest("bind")).await;
    assert_eq!(outcome.unwrap(), Err(RefusedReason::OtherGateway));
    assert_eq!(redeemed(&ada, "1").await, Err(RefusedReason::AlreadyUsed));

    let ada = scene(&store, "browser").await;
    store.add_ticket(&ada.ticket("2"), LIMITS).await.unwrap();
    let outcome = store.redeem_ticket(&digest("2"), &gateway("east"), &[], &digest("other")).await;
    assert_eq!(outcome.unwrap(), Err(RefusedReason::OtherBrowser));
    assert_eq!(redeemed(&ada, "2").await, Err(RefusedReason::AlreadyUsed));

    let ada = scene(&store, "session").await;
    store.add_ticket(&ada.ticket("3"), LIMITS).await.unwrap();
    store.end_session(ada.session.id, at(1)).await.unwrap();
    assert_eq!(redeemed(&ada, "3").await, Err(RefusedReason::SessionEnded));
    assert_eq!(redeemed(&ada, "3").await, Err(RefusedReason::AlreadyUsed));

    let ada = scene(&store, "disabled").await;
    store.add_ticket(&ada.ticket("4"), LIMITS).await.unwrap();
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    store.update_user(ada.user.id, change, at(1)).await.unwrap();
    assert_eq!(redeemed(&ada, "4").await, Err(RefusedReason::UserDisabled));

    let mut ada = scene(&store, "generation").await;
    store.add_ticket(&ada.ticket("5"), LIMITS).await.unwrap();
    ada.desktop.generation += 1;
    assert!(store.save_desktop(&ada.desktop).await.unwrap());
    assert_eq!(redeemed(&ada, "5").await, Err(RefusedReason::OtherGeneration));

    let mut ada = scene(&store, "goal").await;
    store.add_ticket(&ada.ticket("6"), LIMITS).await.unwrap();
    ada.desktop.goal = Goal::Deleted;
    assert!(store.save_desktop(&ada.desktop).await.unwrap());
    assert_eq!(redeemed(&ada, "6").await, Err(RefusedReason::NotRunning));

    let mut ada = scene(&store, "phase").await;
    store.add_ticket(&ada.ticket("7"), LIMITS).await.unwrap();
    ada.desktop.phase = Phase::Stopping;
    assert!(store.save_desktop(&ada.desktop).await.unwrap());
    assert_eq!(redeemed(&ada, "7").await, Err(RefusedReason::NotRunning));
    assert!(store.live_streams_of(ada.desktop.id).await.unwrap().is_empty());

    let refused = store.audit_events(None, 100).await.unwrap();
    let refused = refused.iter().filter(|entry| entry.event.action == "ticket_refused").count();
    assert_eq!(refused, 10, "every refusal of a known ticket is in the audit");
}

pub(crate) async fn a_ticket_dies_by_the_databases_clock(store: Store) {
    let mut ada = scene(&store, "ada").await;
    store.add_ticket(&ada.ticket("in time"), LIMITS).await.unwrap();
    store.add_ticket(&ada.ticket("late"), LIMITS).await.unwrap();
    ada.store = store.with_clock_shift(29_000);
    assert_eq!(redeemed(&ada, "in time").await, Ok(()));
    ada.store = store.with_clock_shift(30_001);
    assert_eq!(redeemed(&ada, "late").await, Err(RefusedReason::Expired));
    // Expired is not used: by the true clock it is still good.
    ada.store = store;
    assert_eq!(redeemed(&ada, "late").await, Ok(()));
}

pub(crate) async fn there_are_only_so_many_tickets(store: Store) {
    let ada = scene(&store, "ada").await;
    let mut asking = JoinSet::new();
    for n in 0..8 {
        let (store, ticket) = (store.clone(), ada.ticket(&format!("ticket {n}")));
        asking.spawn(async move { store.add_ticket(&ticket, LIMITS).await.unwrap() });
    }
    let mut issued = 0;
    for outcome in asking.join_all().await {
        match outcome {
            NewTicket::Issued { .. } => issued += 1,
            NewTicket::TooMany { retry_after } => {
                assert!(retry_after > Duration::from_secs(25), "{retry_after:?}");
                assert!(retry_after <= Duration::from_secs(30), "{retry_after:?}");
            }
        }
    }
    assert_eq!(issued, 3, "live at once for one desktop");

    // The live ones expire, and three more fit; and so on until the minute is full.
    let bob = scene(&store, "bob").await;
    for n in 0..30 {
        let text = format!("bob {n}");
        let outcome = store.add_ticket(&bob.ticket(&text), LIMITS).await.unwrap();
        assert!(matches!(outcome, NewTicket::Issued { .. }), "{n}: {outcome:?}");
        assert_eq!(redeemed(&bob, &text).await, Ok(()));
    }
    let outcome = store.add_ticket(&bob.ticket("one more"), LIMITS).await.unwrap();
    assert!(matches!(outcome, NewTicket::TooMany { .. }), "{outcome:?}");
    let later = store.with_clock_shift(61_000);
    let outcome = later.add_ticket(&bob.ticket("one more"), LIMITS).await.unwrap();
    assert!(matches!(outcome, NewTicket::Issued { .. }), "{outcome:?}");
}

pub(crate) async fn a_ticket_is_good_at_peers_of_its_gateway(store: Store) {
    let ada = scene(&store, "ada").await;
    let peers = [gateway("east"), gateway("west")];
    for (ticket, name, is_good) in [("1", "east", true), ("2", "west", true), ("3", "north", false)]
    {
        store.add_ticket(&ada.ticket(ticket), LIMITS).await.unwrap();
        let opened =
            store.redeem_ticket(&digest(ticket), &gateway(name), &peers, &digest("bind")).await;
        assert_eq!(opened.unwrap().is_ok(), is_good, "{name}");
    }
    store.add_ticket(&ada.ticket("4"), LIMITS).await.unwrap();
    let strangers = [gateway("north"), gateway("west")];
    let opened =
        store.redeem_ticket(&digest("4"), &gateway("west"), &strangers, &digest("bind")).await;
    assert_eq!(opened.unwrap().unwrap_err(), RefusedReason::OtherGateway);
}

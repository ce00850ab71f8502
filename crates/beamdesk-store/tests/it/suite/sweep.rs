//! Sweeping.

use beamdesk_store::{RefusedReason, Store};
use beamdesk_types::CloseReason;

use crate::world::{HOUR, LIMITS, at, digest, gateway, scene};

pub(crate) async fn what_is_over_is_removed_and_nothing_else(store: Store) {
    let ada = scene(&store, "ada").await;
    let bob = scene(&store, "bob").await;
    let adas = ada.open("ada").await.stream;
    let bobs = bob.open("bob").await.stream;
    store.add_ticket(&ada.ticket("unused"), LIMITS).await.unwrap();
    store.end_session(ada.session.id, at(10)).await.unwrap();

    // At first the stream of a dead session is ended, and all rows stay.
    store.sweep(at(20), HOUR).await.unwrap();
    let redeemed = async |text: &str| {
        store.redeem_ticket(&digest(text), &gateway("east"), &[], &digest("bind")).await.unwrap()
    };
    assert_eq!(redeemed("ada").await.unwrap_err(), RefusedReason::AlreadyUsed);
    let ended = store.ended_streams(&gateway("east"), &[adas, bobs], at(20)).await.unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].stream, ended[0].reason), (adas, CloseReason::LoggedOut));

    // After the time to keep them they are gone; what lives is untouched.
    let late = store.with_clock_shift(2 * 3600 * 1000);
    store.touch_session(bob.session.id, at(7000), at(8000)).await.unwrap();
    late.sweep(at(7200), HOUR).await.unwrap();
    assert_eq!(redeemed("ada").await.unwrap_err(), RefusedReason::Unknown);
    assert_eq!(redeemed("unused").await.unwrap_err(), RefusedReason::Unknown);
    let ended = store.ended_streams(&gateway("east"), &[adas, bobs], at(7200)).await.unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].stream, ended[0].reason), (adas, CloseReason::NotAllowed));
    assert!(store.session_by_hash(&bob.session.token_hash).await.unwrap().is_some());
}

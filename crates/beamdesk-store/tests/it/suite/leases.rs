//! Leases.

use beamdesk_store::{Store, UserChange};
use beamdesk_types::{CloseReason, Goal, LeaseEnd, StreamId};

use crate::world::{HOUR, Scene, at, digest, gateway, scene};

async fn verdict(scene: &Scene, stream: StreamId, seconds: i64) -> Option<CloseReason> {
    let ended = scene.store.ended_streams(&gateway("east"), &[stream], at(seconds)).await.unwrap();
    assert!(ended.iter().all(|end| end.stream == stream));
    ended.first().map(|end| end.reason)
}

pub(crate) async fn a_stream_ends_with_what_it_hangs_on(store: Store) {
    // Each change in a scene of its own: the reason it must give.
    let ada = scene(&store, "logout").await;
    let stream = ada.open("1").await.stream;
    assert_eq!(verdict(&ada, stream, 10).await, None);
    store.end_session(ada.session.id, at(10)).await.unwrap();
    assert_eq!(verdict(&ada, stream, 10).await, Some(CloseReason::LoggedOut));

    let ada = scene(&store, "expiry").await;
    let stream = ada.open("2").await.stream;
    assert_eq!(verdict(&ada, stream, 1799).await, None);
    assert_eq!(verdict(&ada, stream, 1800).await, Some(CloseReason::LoggedOut));

    let ada = scene(&store, "disabled").await;
    let stream = ada.open("3").await.stream;
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    store.update_user(ada.user.id, change, at(10)).await.unwrap();
    assert_eq!(verdict(&ada, stream, 10).await, Some(CloseReason::NotAllowed));

    let mut ada = scene(&store, "goal").await;
    let stream = ada.open("4").await.stream;
    ada.desktop.goal = Goal::Stopped;
    assert!(store.save_desktop(&ada.desktop).await.unwrap());
    assert_eq!(verdict(&ada, stream, 10).await, Some(CloseReason::DesktopGone));

    let mut ada = scene(&store, "generation").await;
    let stream = ada.open("5").await.stream;
    ada.desktop.generation += 1;
    assert!(store.save_desktop(&ada.desktop).await.unwrap());
    assert_eq!(verdict(&ada, stream, 10).await, Some(CloseReason::DesktopGone));

    let ada = scene(&store, "deleted").await;
    let stream = ada.open("6").await.stream;
    assert!(store.forget_desktop(ada.desktop.id, 0).await.unwrap());
    assert_eq!(verdict(&ada, stream, 10).await, Some(CloseReason::DesktopGone));

    let ada = scene(&store, "ended").await;
    let stream = ada.open("7").await.stream;
    assert_eq!(store.live_streams_of(ada.desktop.id).await.unwrap().len(), 1);
    assert!(store.end_stream(stream, CloseReason::Ended).await.unwrap());
    assert!(!store.end_stream(stream, CloseReason::NotAllowed).await.unwrap());
    assert_eq!(verdict(&ada, stream, 10).await, Some(CloseReason::Ended));
    assert!(store.live_streams_of(ada.desktop.id).await.unwrap().is_empty());
}

pub(crate) async fn a_gateway_speaks_for_its_own_streams_only(store: Store) {
    let ada = scene(&store, "ada").await;
    let stream = ada.open("1").await.stream;
    let unknown = StreamId::fresh();
    let ended = store.ended_streams(&gateway("west"), &[stream, unknown], at(10)).await.unwrap();
    let refused = |stream| LeaseEnd { stream, reason: CloseReason::NotAllowed };
    assert_eq!(ended, [refused(stream), refused(unknown)]);
    store.end_streams(&gateway("west"), &ended).await.unwrap();
    store.close_streams(&gateway("west"), &[stream]).await.unwrap();
    assert_eq!(verdict(&ada, stream, 10).await, None);
    assert_eq!(store.live_streams_of(ada.desktop.id).await.unwrap().len(), 1);

    // The right one is heard: not watched, then watched again, then over.
    store.close_streams(&gateway("east"), &[stream]).await.unwrap();
    assert!(store.live_streams_of(ada.desktop.id).await.unwrap().is_empty());
    assert_eq!(verdict(&ada, stream, 10).await, None);
    store.note_watched(&gateway("east"), &[stream], at(10), HOUR).await.unwrap();
    let live = store.live_streams_of(ada.desktop.id).await.unwrap();
    assert_eq!(live.iter().map(|row| row.id).collect::<Vec<_>>(), [stream]);
    store.end_streams(&gateway("east"), &[refused(stream)]).await.unwrap();
    assert_eq!(verdict(&ada, stream, 10).await, Some(CloseReason::NotAllowed));
    assert!(store.ended_streams(&gateway("east"), &[], at(10)).await.unwrap().is_empty());
}

pub(crate) async fn watching_keeps_a_session_but_not_past_its_end(store: Store) {
    let ada = scene(&store, "ada").await;
    let bob = scene(&store, "bob").await;
    let stream = ada.open("1").await.stream;
    let expires =
        async |hash: &str| store.session_by_hash(&digest(hash)).await.unwrap().unwrap().0.expires;
    let adas = ada.session.id.to_string();
    store.note_watched(&gateway("east"), &[stream], at(1000), HOUR).await.unwrap();
    assert_eq!(expires(&adas).await, at(4600));
    assert_eq!(expires(&bob.session.id.to_string()).await, bob.session.expires);
    // Never past the absolute end.
    store.note_watched(&gateway("east"), &[stream], at(4500), 24 * HOUR).await.unwrap();
    assert_eq!(expires(&adas).await, ada.session.absolute);
    // A dead one stays dead.
    let late = ada.session.absolute;
    store.note_watched(&gateway("east"), &[stream], late, HOUR).await.unwrap();
    assert_eq!(expires(&adas).await, ada.session.absolute);
    // One its gateway no longer names is not watched, after a while.
    assert_eq!(store.live_streams_of(ada.desktop.id).await.unwrap().len(), 1);
    store.note_watched(&gateway("east"), &[], late, HOUR).await.unwrap();
    assert_eq!(store.live_streams_of(ada.desktop.id).await.unwrap().len(), 1);
    let soon = store.with_clock_shift(61_000);
    soon.note_watched(&gateway("east"), &[], late, HOUR).await.unwrap();
    assert!(store.live_streams_of(ada.desktop.id).await.unwrap().is_empty());
}

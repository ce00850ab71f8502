//! Resume handles.

use std::time::Duration;

use beamdesk_store::{RefusedReason, Rotation, Store};
use beamdesk_types::{CloseReason, GatewayName, StreamId};
use tokio::task::JoinSet;

use crate::world::{at, digest, gateway, scene};

const AGAIN: Duration = Duration::from_secs(10);

fn rotation(stream: StreamId, counter: u64, gateway: &GatewayName) -> Rotation<'_> {
    Rotation {
        stream,
        counter,
        gateway,
        peers: &[],
        bind_hash: digest("bind"),
        now: at(10),
        again: AGAIN,
        per_minute_max: 10,
    }
}

async fn rotated(store: &Store, stream: StreamId, counter: u64) -> Result<u64, RefusedReason> {
    let east = gateway("east");
    let outcome = store.rotate_stream(&rotation(stream, counter, &east)).await.unwrap();
    outcome.map(|resumed| resumed.counter)
}

pub(crate) async fn a_handle_moves_on_with_each_use(store: Store) {
    let ada = scene(&store, "ada").await;
    let opened = ada.open("1").await;
    assert_eq!((opened.counter, &opened.desktop), (1, &ada.desktop));
    store.close_streams(&gateway("east"), &[opened.stream]).await.unwrap();
    assert_eq!(rotated(&store, opened.stream, 1).await, Ok(2));
    // Watched again.
    assert_eq!(store.live_streams_of(ada.desktop.id).await.unwrap().len(), 1);
    assert_eq!(rotated(&store, opened.stream, 2).await, Ok(3));
    // The answer was lost: the same successor, for ten seconds.
    assert_eq!(rotated(&store, opened.stream, 2).await, Ok(3));
    let soon = store.with_clock_shift(9_000);
    assert_eq!(rotated(&soon, opened.stream, 2).await, Ok(3));
    assert_eq!(rotated(&soon, opened.stream, 3).await, Ok(4));
    assert_eq!(rotated(&store, StreamId::fresh(), 1).await, Err(RefusedReason::Unknown));

    // Many at once with the same handle get the same successor.
    let mut racing = JoinSet::new();
    for _ in 0..4 {
        let (soon, stream) = (soon.clone(), opened.stream);
        racing.spawn(async move { rotated(&soon, stream, 4).await });
    }
    assert_eq!(racing.join_all().await, [Ok(5); 4]);

    // A session that is over, by the portal's clock, or a desktop that is not there, resumes
    // nothing, but ends nothing either.
    let east = gateway("east");
    let mut late = rotation(opened.stream, 5, &east);
    late.now = at(1800);
    let refused = store.rotate_stream(&late).await.unwrap().unwrap_err();
    assert_eq!(refused, RefusedReason::SessionEnded);
    let mut moved = ada.desktop.clone();
    moved.address = None;
    assert!(store.save_desktop(&moved).await.unwrap());
    assert_eq!(rotated(&store, opened.stream, 5).await, Err(RefusedReason::NotRunning));
    moved.revision += 1;
    moved.address = Some("127.0.0.1:4001".to_owned());
    assert!(store.save_desktop(&moved).await.unwrap());
    assert_eq!(rotated(&store.with_clock_shift(70_000), opened.stream, 5).await, Ok(6));
}

pub(crate) async fn a_copied_handle_ends_the_stream(store: Store) {
    let ada = scene(&store, "ada").await;
    let (east, west) = (gateway("east"), gateway("west"));
    let ended_by =
        async |name: &str, shift_ms: i64, counter: u64, gateway: &GatewayName, bind: &str| {
            let stream = ada.open(name).await.stream;
            // Two uses, so that 1 is old, 2 the last and 3 the newest.
            assert_eq!(rotated(&store, stream, 1).await, Ok(2));
            assert_eq!(rotated(&store, stream, 2).await, Ok(3));
            let mut copied = rotation(stream, counter, gateway);
            copied.bind_hash = digest(bind);
            let shifted = store.with_clock_shift(shift_ms);
            let refused = shifted.rotate_stream(&copied).await.unwrap().unwrap_err();
            // The family is dead, for the rightful holder too.
            assert_eq!(rotated(&store, stream, 3).await, Err(RefusedReason::StreamEnded));
            let ended = store.ended_streams(&gateway_east(), &[stream], at(10)).await.unwrap();
            assert_eq!(ended[0].reason, CloseReason::NotAllowed);
            refused
        };
    assert_eq!(ended_by("old", 0, 1, &east, "bind").await, RefusedReason::Replayed);
    assert_eq!(ended_by("late", 11_000, 2, &east, "bind").await, RefusedReason::Replayed);
    assert_eq!(ended_by("future", 0, 4, &east, "bind").await, RefusedReason::Replayed);
    assert_eq!(ended_by("bind", 0, 3, &east, "other").await, RefusedReason::OtherBrowser);
    assert_eq!(ended_by("again", 0, 2, &east, "other").await, RefusedReason::OtherBrowser);
    assert_eq!(ended_by("gateway", 0, 3, &west, "bind").await, RefusedReason::OtherGateway);
    let events = store.audit_events(None, 100).await.unwrap();
    let killed = events.iter().filter(|entry| entry.event.action == "stream_killed").count();
    assert_eq!(killed, 6);
}

fn gateway_east() -> GatewayName {
    gateway("east")
}

pub(crate) async fn resumes_are_counted(store: Store) {
    let ada = scene(&store, "ada").await;
    let stream = ada.open("1").await.stream;
    for counter in 1..=10 {
        assert_eq!(rotated(&store, stream, counter).await, Ok(counter + 1));
    }
    assert_eq!(rotated(&store, stream, 11).await, Err(RefusedReason::TooMany));
    assert_eq!(rotated(&store, stream, 11).await, Err(RefusedReason::TooMany));
    // It was only too early.
    assert_eq!(rotated(&store.with_clock_shift(61_000), stream, 11).await, Ok(12));
}

pub(crate) async fn a_stream_goes_on_at_a_peer_of_its_gateway_and_at_no_other(store: Store) {
    let ada = scene(&store, "ada").await;
    let opened = ada.open("1").await;
    let peers = [gateway("east"), gateway("west")];
    let (west, north) = (gateway("west"), gateway("north"));
    let at_peer = Rotation { peers: &peers, ..rotation(opened.stream, 1, &west) };
    assert_eq!(store.rotate_stream(&at_peer).await.unwrap().unwrap().counter, 2);
    // It is the other's now: what the first says of it counts no more.
    let ends = store.ended_streams(&gateway("east"), &[opened.stream], at(11)).await.unwrap();
    assert_eq!(ends.len(), 1);
    assert_eq!(store.ended_streams(&west, &[opened.stream], at(11)).await.unwrap(), []);
    store.end_streams(&gateway("east"), &ends).await.unwrap();
    assert_eq!(store.ended_streams(&west, &[opened.stream], at(11)).await.unwrap(), []);
    let elsewhere = Rotation { peers: &peers, ..rotation(opened.stream, 2, &north) };
    let refused = store.rotate_stream(&elsewhere).await.unwrap().unwrap_err();
    assert_eq!(refused, RefusedReason::OtherGateway);
}

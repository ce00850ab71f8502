//! Recordings and the tickets for them.

use std::time::Duration;

use beamdesk_store::{NewTicket, Play, PlayTicket, RefusedReason, Store, UserChange};
use beamdesk_types::{
    PlayCheck, RecordingEnd, RecordingId, RecordingPolicy, RecordingState, RecordingSync,
    RecordingUse, Role,
};

use crate::world::{HOUR, Scene, at, digest, gateway, scene};

async fn actions(store: &Store) -> Vec<String> {
    let events = store.audit_events(None, 1000).await.unwrap();
    events.into_iter().map(|entry| entry.event.action).rev().collect()
}

async fn count(store: &Store, action: &str) -> usize {
    actions(store).await.iter().filter(|one| *one == action).count()
}

/// One that goes on.
async fn begun(scene: &Scene, ticket: &str) -> RecordingId {
    let stream = scene.open(ticket).await.stream;
    let id = RecordingId::fresh();
    let begun = scene.store.begin_recording(&gateway("east"), stream, id).await.unwrap();
    assert!(begun.is_some());
    id
}

fn state(recording: RecordingId, end: Option<RecordingEnd>) -> RecordingState {
    RecordingState { recording, bytes: 5_000_000_000, duration_ms: 61_000, end }
}

fn states(states: &[RecordingState]) -> RecordingSync {
    RecordingSync { states: states.to_vec(), ..RecordingSync::default() }
}

pub(crate) async fn a_recording_begins_by_policy_for_a_live_stream_of_its_gateway(store: Store) {
    let ada = scene(&store, "ada").await;
    let stream = ada.open("1").await.stream;
    let begin = async |of: &str, stream| {
        let id = RecordingId::fresh();
        store.begin_recording(&gateway(of), stream, id).await.unwrap().map(|_| id)
    };
    assert_eq!(store.recording_policy().await.unwrap(), RecordingPolicy::Off);
    assert_eq!(begin("east", stream).await, None);
    store.put_recording_policy(RecordingPolicy::Allowed).await.unwrap();
    assert_eq!(begin("west", stream).await, None, "not its stream");
    let wished = begin("east", stream).await.unwrap();
    store.put_recording_policy(RecordingPolicy::Always).await.unwrap();
    let required = begin("east", stream).await.unwrap();
    let row = store.recording(wished).await.unwrap().unwrap();
    assert_eq!((row.user, row.desktop), (ada.user.id, ada.desktop.id));
    assert_eq!((row.desktop_name.as_str(), row.end, row.required), ("Beamline 4B9A", None, false));
    assert!(store.recording(required).await.unwrap().unwrap().required);
    store.end_stream(stream, beamdesk_types::CloseReason::Ended).await.unwrap();
    assert_eq!(begin("east", stream).await, None, "it is over");
    assert_eq!(count(&store, "recording_started").await, 2);
}

pub(crate) async fn what_a_gateway_says_is_written_down_once(store: Store) {
    store.put_recording_policy(RecordingPolicy::Allowed).await.unwrap();
    let ada = scene(&store, "ada").await;
    let id = begun(&ada, "1").await;
    let east = gateway("east");
    store.sync_recordings(&east, &states(&[state(id, None)])).await.unwrap();
    let row = store.recording(id).await.unwrap().unwrap();
    assert_eq!((row.bytes, row.duration), (5_000_000_000, Duration::from_secs(61)));
    assert_eq!(row.end, None);
    // Another gateway does not speak for it, and is told to remove what is not its own.
    let ended = states(&[state(id, Some(RecordingEnd::Full))]);
    let orders = store.sync_recordings(&gateway("west"), &ended).await.unwrap();
    assert_eq!(orders.remove, [id]);
    assert_eq!(store.recording(id).await.unwrap().unwrap().end, None);
    for _ in 0..2 {
        let orders = store.sync_recordings(&east, &ended).await.unwrap();
        assert!(orders.remove.is_empty() && orders.end.is_empty());
    }
    assert_eq!(count(&store, "recording_ended").await, 1);
    // An end is the last word.
    let later = states(&[state(id, Some(RecordingEnd::Ended))]);
    store.sync_recordings(&east, &later).await.unwrap();
    assert_eq!(store.recording(id).await.unwrap().unwrap().end, Some(RecordingEnd::Full));
}

pub(crate) async fn a_removed_recording_is_gone_for_people_at_once_and_then_for_all(store: Store) {
    store.put_recording_policy(RecordingPolicy::Allowed).await.unwrap();
    let ada = scene(&store, "ada").await;
    let (id, kept) = (begun(&ada, "1").await, begun(&ada, "2").await);
    let east = gateway("east");
    assert!(store.remove_recording(id).await.unwrap());
    assert!(!store.remove_recording(id).await.unwrap());
    assert!(store.recording(id).await.unwrap().is_none());
    for _ in 0..2 {
        let orders = store.sync_recordings(&east, &RecordingSync::default()).await.unwrap();
        assert_eq!(orders.remove, [id], "until the gateway has done it");
    }
    let removed = RecordingSync { removed: vec![id], ..RecordingSync::default() };
    let orders = store.sync_recordings(&east, &removed).await.unwrap();
    assert!(orders.remove.is_empty());
    // By age, the gateway removes by itself.
    let removed = RecordingSync { removed: vec![kept], ..RecordingSync::default() };
    store.sync_recordings(&east, &removed).await.unwrap();
    assert!(store.recordings(None, None, 100).await.unwrap().is_empty());
    assert_eq!(count(&store, "recording_expired").await, 1, "the person's was noted before");
}

pub(crate) async fn a_gateway_that_lost_its_files_is_believed_but_for_fresh_ones(store: Store) {
    store.put_recording_policy(RecordingPolicy::Allowed).await.unwrap();
    let ada = scene(&store, "ada").await;
    let (old, held) = (begun(&ada, "1").await, begun(&ada, "2").await);
    let east = gateway("east");
    let stray = RecordingId::fresh();
    let said = RecordingSync { held: Some(vec![held, stray]), ..RecordingSync::default() };
    let orders = store.sync_recordings(&east, &said).await.unwrap();
    assert_eq!(orders.remove, [stray]);
    assert!(store.recording(old).await.unwrap().is_some(), "it may have begun just now");
    let later = store.with_clock_shift(61_000);
    later.sync_recordings(&east, &said).await.unwrap();
    assert!(store.recording(old).await.unwrap().is_none());
    assert!(store.recording(held).await.unwrap().is_some());
    assert_eq!(count(&store, "recording_lost").await, 1);
}

pub(crate) async fn a_policy_of_off_ends_what_goes_on(store: Store) {
    store.put_recording_policy(RecordingPolicy::Always).await.unwrap();
    let ada = scene(&store, "ada").await;
    let (live, ended) = (begun(&ada, "1").await, begun(&ada, "2").await);
    let east = gateway("east");
    let said = states(&[state(live, None), state(ended, Some(RecordingEnd::Ended))]);
    assert!(store.sync_recordings(&east, &said).await.unwrap().end.is_empty());
    store.put_recording_policy(RecordingPolicy::Off).await.unwrap();
    let orders = store.sync_recordings(&east, &states(&[state(live, None)])).await.unwrap();
    assert_eq!((orders.end, orders.remove), (vec![live], vec![]));
}

pub(crate) async fn recordings_come_newest_first_and_in_pages(store: Store) {
    store.put_recording_policy(RecordingPolicy::Allowed).await.unwrap();
    let (ada, bob) = (scene(&store, "ada").await, scene(&store, "bob").await);
    let mut all = Vec::new();
    for n in 0..3 {
        all.insert(0, begun(&ada, &format!("ada {n}")).await);
        all.insert(0, begun(&bob, &format!("bob {n}")).await);
    }
    let ids = async |of, before, limit| {
        let rows = store.recordings(of, before, limit).await.unwrap();
        rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(None, None, 100).await, all);
    assert_eq!(ids(Some(bob.user.id), None, 100).await, [all[0], all[2], all[4]]);
    assert_eq!(ids(Some(bob.user.id), Some(all[2]), 100).await, [all[4]]);
    assert_eq!(ids(None, Some(all[1]), 2).await, all[2..4]);
}

fn play_ticket(scene: &Scene, text: &str, recording: RecordingId) -> PlayTicket {
    PlayTicket {
        hash: digest(text),
        user: scene.user.id,
        session: scene.session.id,
        recording,
        purpose: RecordingUse::Play,
        gateway: gateway("east"),
        bind_hash: digest("bind"),
        ttl: Duration::from_secs(30),
    }
}

async fn redeem(store: &Store, text: &str) -> Result<Play, RefusedReason> {
    store.redeem_play_ticket(&digest(text), &gateway("east"), &digest("bind")).await.unwrap()
}

pub(crate) async fn a_recordings_ticket_opens_it_once_for_who_may(store: Store) {
    store.put_recording_policy(RecordingPolicy::Allowed).await.unwrap();
    let (ada, bob) = (scene(&store, "ada").await, scene(&store, "bob").await);
    let root = scene(&store, "root").await;
    let change = UserChange { role: Some(Role::Administrator), ..UserChange::default() };
    store.update_user(root.user.id, change, at(1)).await.unwrap();
    let id = begun(&ada, "stream").await;
    let issue = async |scene: &Scene, text: &str| {
        store.add_play_ticket(&play_ticket(scene, text, id), 30).await.unwrap()
    };
    issue(&ada, "1").await;
    let play = redeem(&store, "1").await.unwrap();
    assert_eq!((play.recording, play.session), (id, ada.session.id));
    assert_eq!(redeem(&store, "1").await, Err(RefusedReason::AlreadyUsed));
    assert_eq!(redeem(&store, "nobody's").await, Err(RefusedReason::Unknown));
    // One that is not this person's is as if it were not there.
    issue(&bob, "2").await;
    assert_eq!(redeem(&store, "2").await, Err(RefusedReason::Unknown));
    // From another place it is burned all the same.
    issue(&ada, "3").await;
    let west = store.redeem_play_ticket(&digest("3"), &gateway("west"), &digest("bind")).await;
    assert_eq!(west.unwrap(), Err(RefusedReason::OtherGateway));
    assert_eq!(redeem(&store, "3").await, Err(RefusedReason::AlreadyUsed));
    issue(&ada, "4").await;
    let other = store.redeem_play_ticket(&digest("4"), &gateway("east"), &digest("other")).await;
    assert_eq!(other.unwrap(), Err(RefusedReason::OtherBrowser));
    issue(&ada, "5").await;
    let late = store.with_clock_shift(31_000);
    assert_eq!(redeem(&late, "5").await, Err(RefusedReason::Expired));
    issue(&ada, "6").await;
    store.remove_recording(id).await.unwrap();
    assert_eq!(redeem(&store, "6").await, Err(RefusedReason::Unknown));
    assert_eq!(count(&store, "recording_played").await, 1);
    assert_eq!(count(&store, "recording_refused").await, 4);
}

pub(crate) async fn a_play_goes_on_as_long_as_its_session_and_its_right(store: Store) {
    store.put_recording_policy(RecordingPolicy::Allowed).await.unwrap();
    let (ada, bob) = (scene(&store, "ada").await, scene(&store, "bob").await);
    let (id, gone) = (begun(&ada, "1").await, begun(&ada, "2").await);
    let may = async |scene: &Scene, recording, now| {
        let check = PlayCheck { recording, session: scene.session.id };
        store.may_play(&check, at(now)).await.unwrap()
    };
    assert!(may(&ada, id, 10).await);
    assert!(!may(&bob, id, 10).await);
    assert!(!may(&ada, RecordingId::fresh(), 10).await);
    assert!(!may(&ada, id, 1800).await, "the session has expired");
    assert!(may(&ada, gone, 10).await);
    store.remove_recording(gone).await.unwrap();
    assert!(!may(&ada, gone, 10).await);
    store.end_session(ada.session.id, at(11)).await.unwrap();
    assert!(!may(&ada, id, 12).await);
}

pub(crate) async fn there_are_only_so_many_tickets_for_recordings(store: Store) {
    store.put_recording_policy(RecordingPolicy::Allowed).await.unwrap();
    let ada = scene(&store, "ada").await;
    let id = begun(&ada, "stream").await;
    for n in 0..3 {
        let ticket = play_ticket(&ada, &format!("play {n}"), id);
        let outcome = store.add_play_ticket(&ticket, 3).await.unwrap();
        assert!(matches!(outcome, NewTicket::Issued { .. }), "{outcome:?}");
    }
    let more = play_ticket(&ada, "one more", id);
    let outcome = store.add_play_ticket(&more, 3).await.unwrap();
    assert!(matches!(outcome, NewTicket::TooMany { .. }), "{outcome:?}");
    // Old ones go with the sweep, and then their session can.
    let late = store.with_clock_shift(3 * 3600 * 1000);
    store.end_session(ada.session.id, at(1)).await.unwrap();
    late.sweep(at(3 * 3600), HOUR).await.unwrap();
    late.sweep(at(3 * 3600), HOUR).await.unwrap();
    assert!(store.session_by_hash(&ada.session.token_hash).await.unwrap().is_none());
    assert_eq!(redeem(&store, "play 1").await, Err(RefusedReason::Unknown));
}

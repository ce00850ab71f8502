//! Recordings: what is in the file, what ends it, and who reads it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use beamdesk_gateway::Recordings;
use beamdesk_proto::{
    control::GateMessage,
    wire::{self, DOWN_BYTES_MAX, HEADER_BYTES, Header, flag, kind, message},
};
use beamdesk_types::CloseReason;
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

use crate::{
    agent::AgentStream,
    browser::{Answer, Viewer, request},
    portal::{self, Answer as Said},
    world::{AGENT, DESKTOP, PORTAL_ORIGIN, STREAM, World},
};

const PATIENCE: Duration = Duration::from_secs(10);
const TIMES: &str = "2026-01-01T00:00:00Z";

fn bounds(folder: &Path) -> Recordings {
    Recordings {
        folder: folder.to_owned(),
        bytes_max: 64 << 20,
        total_bytes_max: 64 << 20,
        age_max: Duration::from_secs(30 * 24 * 3600),
    }
}

/// What the portal says about recordings.
#[derive(Clone)]
struct Rules {
    policy: &'static str,
    begins: bool,
    /// All that go on must end.
    ends: Arc<AtomicBool>,
    /// No play may go on.
    forbids: Arc<AtomicBool>,
}

impl Rules {
    fn of(policy: &'static str) -> Self {
        Self { policy, begins: true, ends: Arc::default(), forbids: Arc::default() }
    }
}

fn follow(world: &World, rules: Rules) {
    let grant = portal::grant(DESKTOP, STREAM, world.agent.address(), AGENT);
    world.portal.answer_with(move |path, body| {
        let refused = Said::Json(403, json!({"refused": true}));
        match path.rsplit_once("/v1/").map_or("", |(_, path)| path) {
            "tickets/redeem" | "streams/resume" => {
                let last = body["handle"].as_str().and_then(|h| h.strip_prefix('h')?.parse().ok());
                let next = last.map_or(0, |n: u32| n + 1);
                let mut grant = grant.clone();
                grant["recording"] = json!(rules.policy);
                grant["handle"] = json!(format!("h{next}"));
                Said::Json(200, grant)
            }
            "recordings/begin" if rules.begins => Said::Json(200, json!({"started": TIMES})),
            "recordings/sync" => {
                let all = body["states"].as_array().cloned().unwrap_or_default();
                let going = all.iter().filter(|state| state["end"].is_null());
                let end: Vec<&Value> = match rules.ends.load(Ordering::Relaxed) {
                    true => going.map(|state| &state["recording"]).collect(),
                    false => Vec::new(),
                };
                Said::Json(200, json!({"end": end, "remove": [], "now": TIMES}))
            }
            "recordings/redeem" => match body["ticket"].as_str().and_then(|t| t.split_once('/')) {
                Some((purpose, recording)) => Said::Json(
                    200,
                    json!({"recording": recording, "session": STREAM, "use": purpose,
                        "desktop_name": "lab"}),
                ),
                None => refused,
            },
            "recordings/allowed" => match rules.forbids.load(Ordering::Relaxed) {
                true => refused,
                false => Said::Json(200, json!({"now": TIMES})),
            },
            "leases/renew" => Said::Json(200, json!({"ended": [], "now": TIMES})),
            _ => refused,
        }
    });
}

/// Connects, attaches with this body and opens the stream; what the welcome says of recording.
async fn open(world: &World, body: &str) -> (Viewer, AgentStream, bool) {
    let cookie = format!("__Host-gws-{DESKTOP}");
    let first = world.connect().await.cookie(&cookie).unwrap();
    let answer = world.attach_with(&first, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let said: Value = serde_json::from_str(&answer.body).unwrap();
    let handle = answer.cookie(&cookie).unwrap();
    let mut viewer = world.socket(&handle).await.unwrap();
    viewer.hello(said["nonce"].as_str().unwrap()).await;
    let mut agent = world.agent.accept().await.unwrap();
    assert_eq!(agent.next().await.unwrap().header.kind, kind::OPEN);
    let Some(GateMessage::Welcome { recording, .. }) = viewer.gate().await else {
        panic!("a welcome comes first")
    };
    (viewer, agent, recording)
}

/// The one file, once the portal has heard that it is whole.
async fn finished(folder: &Path) -> PathBuf {
    let mut looks = interval(Duration::from_millis(10));
    let look = async {
        loop {
            looks.tick().await;
            let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let mut done = files.filter(|path| path.extension().is_some_and(|e| e == "rec"));
            if let Some(path) = done.next() {
                return path;
            }
        }
    };
    timeout(PATIENCE, look).await.expect("the recording ends")
}

/// Head, records with their times, as a player reads them.
fn read(path: &Path) -> (Value, Vec<(u64, Header, Vec<u8>)>) {
    let bytes = fs::read(path).unwrap();
    let (magic, rest) = bytes.split_at(8);
    assert_eq!(magic, b"BEAMREC\x01");
    let (length, rest) = rest.split_at(4);
    let length = usize::try_from(u32::from_le_bytes(length.try_into().unwrap())).unwrap();
    let (head, mut rest) = rest.split_at(length);
    let mut records = Vec::new();
    while !rest.is_empty() {
        let at = u64::from_le_bytes(rest[..8].try_into().unwrap());
        let header = Header::decode(rest[8..16].try_into().unwrap(), DOWN_BYTES_MAX).unwrap();
        let end = 8 + header.message_len();
        records.push((at, header, rest[8 + HEADER_BYTES..end].to_vec()));
        rest = &rest[end..];
    }
    (serde_json::from_slice(head).unwrap(), records)
}

fn id_of(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_message_of_the_agent_is_in_the_file_as_it_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::recording(bounds(folder.path())).await;
    follow(&world, Rules::of("allowed"));
    let (mut viewer, mut agent, recording) = open(&world, r#"{"record":true}"#).await;
    assert!(recording, "the viewer must show it");
    let largest = vec![7; DOWN_BYTES_MAX - HEADER_BYTES];
    let sent: [(u8, u8, &[u8]); 6] = [
        (kind::AGENT, 0, b"{}"),
        (kind::TILES, flag::LAST | flag::ZSTD, &largest),
        (kind::CURSOR, 0, b""),
        (kind::VIDEO, 0, b"one"),
        (kind::VIDEO, flag::LAST, b"two"),
        (kind::SLICE, 0, b"grey"),
    ];
    for (kind, flags, payload) in sent {
        agent.send(&message(kind, flags, payload)).await;
        assert_eq!(viewer.next().await.unwrap().payload, payload);
    }
    // What the viewer does not get is not recorded, and neither is what the viewer says.
    agent.send(&message(0x7f, flag::OPTIONAL, b"new")).await;
    viewer.send(message(kind::VIEWER, 0, b"{\"type\":\"key\"}")).await;
    assert!(agent.next().await.is_some());
    drop(viewer);
    let file = finished(folder.path()).await;
    let (head, records) = read(&file);
    assert_eq!(head["desktop"], json!(DESKTOP));
    assert_eq!((&head["user_name"], &head["started"]), (&json!("ada"), &json!(TIMES)));
    assert_eq!(head["recording"], json!(id_of(&file)));
    let (last, records) = records.split_last().unwrap();
    let kept: Vec<(u8, u8, &[u8])> =
        records.iter().map(|(_, head, payload)| (head.kind, head.flags, &payload[..])).collect();
    assert_eq!(kept, sent);
    assert!(records.is_sorted_by_key(|(at, ..)| *at), "in time");
    assert_eq!(last.1.kind, kind::GATE);
    let mark: Value = wire::json(&last.2).unwrap();
    assert_eq!(mark, json!({"type": "recording_end", "reason": "ended"}));
    let told = world.portal.asked("/internal/v1/recordings/begin");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["stream"], json!(STREAM));
}

#[tokio::test]
async fn the_policy_and_the_wish_decide() {
    for (policy, body, records) in [
        ("off", "", false),
        ("off", r#"{"record":true}"#, false),
        ("allowed", "", false),
        ("allowed", r#"{"record":false}"#, false),
        ("allowed", r#"{"record":true}"#, true),
        ("always", "", true),
        ("always", r#"{"record":false}"#, true),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let world = World::recording(bounds(folder.path())).await;
        follow(&world, Rules::of(policy));
        let (_viewer, _agent, recording) = open(&world, body).await;
        assert_eq!(recording, records, "{policy} {body}");
        let begun = world.portal.asked("/internal/v1/recordings/begin").len();
        assert_eq!(begun, usize::from(records), "{policy} {body}");
    }
}

#[tokio::test]
async fn the_attach_says_what_the_policy_is_and_refuses_noise() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::recording(bounds(folder.path())).await;
    follow(&world, Rules::of("allowed"));
    let said: Value = serde_json::from_str(&world.attach("h0").await.body).unwrap();
    assert_eq!(said["recording"], "allowed");
    for bad in ["{", "[1]", "null", r#"{"record":1}"#, r#"{"recording":true}"#, "{}{}"] {
        assert_eq!(world.attach_with("h0", bad).await.status, 400, "{bad}");
    }
    // A gateway that keeps nothing says so, whatever the policy.
    let world = World::new().await;
    follow(&world, Rules::of("always"));
    let said: Value = serde_json::from_str(&world.attach("h0").await.body).unwrap();
    assert_eq!(said["recording"], "off");
    let (_viewer, _agent, recording) = open(&world, "").await;
    assert!(!recording);
}

#[tokio::test]
async fn a_stream_that_cannot_be_recorded_goes_on_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // The portal says no.
    let world = World::recording(bounds(folder.path())).await;
    follow(&world, Rules { begins: false, ..Rules::of("always") });
    let (mut viewer, mut agent, recording) = open(&world, "").await;
    assert!(!recording);
    agent.send(&message(kind::AGENT, 0, b"{}")).await;
    assert!(viewer.next().await.is_some());
    // There is no room.
    let full = folder.path().join("full");
    let world = World::recording(Recordings { total_bytes_max: 0, ..bounds(&full) }).await;
    follow(&world, Rules::of("always"));
    let (mut viewer, mut agent, recording) = open(&world, "").await;
    assert!(!recording);
    agent.send(&message(kind::AGENT, 0, b"{}")).await;
    assert!(viewer.next().await.is_some());
    let mut looks = interval(Duration::from_millis(10));
    let told = async {
        loop {
            looks.tick().await;
            let syncs = world.portal.asked("/internal/v1/recordings/sync");
            if syncs.iter().any(|sync| sync["states"][0]["end"] == "full") {
                return;
            }
        }
    };
    timeout(PATIENCE, told).await.expect("the portal hears why");
}

#[tokio::test]
async fn a_recording_that_gets_too_long_ends_with_a_mark_and_the_stream_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::recording(Recordings { bytes_max: 1 << 20, ..bounds(folder.path()) }).await;
    follow(&world, Rules::of("always"));
    let (mut viewer, mut agent, recording) = open(&world, "").await;
    assert!(recording);
    let tiles = message(kind::TILES, 0, &vec![7; 100_000]);
    let mut is_told = false;
    for _ in 0..20 {
        agent.send(&tiles).await;
        let mut got = viewer.next().await.unwrap();
        if got.header.kind == kind::GATE {
            let over: GateMessage = wire::json(&got.payload).unwrap();
            assert_eq!(over, GateMessage::Recording { on: false });
            is_told = true;
            got = viewer.next().await.unwrap();
        }
        assert_eq!(got.header.kind, kind::TILES, "every picture comes");
    }
    if !is_told {
        assert_eq!(viewer.gate().await, Some(GateMessage::Recording { on: false }));
    }
    let file = finished(folder.path()).await;
    assert!(fs::metadata(&file).unwrap().len() <= 1 << 20);
    let (_, records) = read(&file);
    let mark: Value = wire::json(&records.last().unwrap().2).unwrap();
    assert_eq!(mark["reason"], "too_long");
    assert_eq!(records.len(), 11, "ten pictures of 100 kB and the mark");
}

#[tokio::test]
async fn an_order_of_the_portal_ends_a_recording_and_not_the_stream() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::recording(bounds(folder.path())).await;
    let rules = Rules::of("always");
    follow(&world, rules.clone());
    rules.ends.store(true, Ordering::Relaxed);
    let (mut viewer, mut agent, recording) = open(&world, "").await;
    assert!(recording);
    assert_eq!(viewer.gate().await, Some(GateMessage::Recording { on: false }));
    agent.send(&message(kind::AGENT, 0, b"{}")).await;
    assert!(viewer.next().await.is_some());
    let (_, records) = read(&finished(folder.path()).await);
    let mark: Value = wire::json(&records.last().unwrap().2).unwrap();
    assert_eq!(mark["reason"], "not_allowed");
}

#[tokio::test]
async fn a_gateway_that_stops_leaves_a_whole_file_and_tells_of_it_at_its_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::recording(bounds(folder.path())).await;
    follow(&world, Rules::of("always"));
    let (mut viewer, mut agent, _) = open(&world, "").await;
    agent.send(&message(kind::TILES, flag::LAST, b"picture")).await;
    assert!(viewer.next().await.is_some());
    world.shutdown.cancel();
    assert_eq!(viewer.closed().await, Some((CloseReason::GatewayClosing, true)));
    world.stop().await.unwrap();
    let world = World::recording(bounds(folder.path())).await;
    follow(&world, Rules::of("always"));
    let file = finished(folder.path()).await;
    assert_eq!(read(&file).1.len(), 2);
    let syncs = world.portal.asked("/internal/v1/recordings/sync");
    let first = syncs.iter().find(|sync| !sync["held"].is_null()).unwrap();
    assert_eq!(first["held"], json!([id_of(&file)]));
    assert_eq!(first["states"][0]["end"], "ended");
}

/// A finished recording of some bytes.
async fn recorded(world: &World, folder: &Path) -> PathBuf {
    let (mut viewer, mut agent, _) = open(world, "").await;
    agent.send(&message(kind::TILES, flag::LAST, &vec![9; 700_000])).await;
    assert!(viewer.next().await.is_some());
    drop(viewer);
    finished(folder).await
}

async fn play(world: &World, ticket: &str) -> Answer {
    let headers = [
        ("origin", PORTAL_ORIGIN),
        ("content-type", "application/x-www-form-urlencoded"),
        ("cookie", "__Secure-bind=b1"),
    ];
    let form = format!("ticket={ticket}&lang=zh&theme=dark");
    request(world.gateway, "POST", "/play", &headers, &form).await
}

async fn get(world: &World, path: &str, cookie: &str, range: Option<&str>) -> Answer {
    let mut headers = vec![("cookie", cookie)];
    headers.extend(range.map(|range| ("range", range)));
    request(world.gateway, "GET", path, &headers, "").await
}

#[tokio::test]
async fn a_ticket_opens_one_recording_for_one_browser() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::recording(bounds(folder.path())).await;
    let rules = Rules::of("always");
    follow(&world, rules.clone());
    let file = recorded(&world, folder.path()).await;
    let id = id_of(&file);
    let length = fs::metadata(&file).unwrap().len();

    let answer = play(&world, &format!("play/{id}")).await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("location"), Some(format!("/r/{id}").as_str()));
    let redeemed = world.portal.asked("/internal/v1/recordings/redeem");
    assert_eq!(redeemed[0]["bind"], "b1");
    let set = answer.cookies().into_iter().find(|line| line.starts_with("__Host-rec-")).unwrap();
    assert!(set.contains("HttpOnly") && set.contains("Secure") && set.contains("SameSite=Strict"));
    let value = answer.cookie(&format!("__Host-rec-{id}")).unwrap();
    let cookie = format!("__Host-rec-{id}={value}");
    let path = format!("/r/{id}/file");

    let whole = get(&world, &path, &cookie, None).await;
    assert_eq!((whole.status, whole.header("content-length")), (200, Some(&*length.to_string())));
    let part = get(&world, &path, &cookie, Some("bytes=0-11")).await;
    let said = format!("bytes 0-11/{length}");
    assert_eq!((part.status, part.header("content-range")), (206, Some(said.as_str())));
    assert!(part.body.starts_with("BEAMREC\u{1}"), "{}", part.body);
    let beyond = get(&world, &path, &cookie, Some(&format!("bytes={length}-"))).await;
    assert_eq!(beyond.status, 416);

    // Nobody else, nothing else.
    let other = "01900000-0000-7000-8000-00000000ffff";
    for (path, cookie) in [
        (path.clone(), String::new()),
        (path.clone(), format!("__Host-rec-{id}=0000")),
        (format!("/r/{other}/file"), format!("__Host-rec-{other}={value}")),
        (format!("/r/{id}/download"), String::new()),
        (format!("{path}?ticket={value}"), String::new()),
    ] {
        assert_eq!(get(&world, &path, &cookie, None).await.status, 403, "{path} {cookie}");
    }
    assert_eq!(get(&world, "/r/not-an-id/file", &cookie, None).await.status, 404);

    // Within two seconds after the portal says no, it is over.
    rules.forbids.store(true, Ordering::Relaxed);
    let mut looks = interval(Duration::from_millis(100));
    let closed = async {
        loop {
            looks.tick().await;
            if get(&world, &path, &cookie, Some("bytes=0-11")).await.status == 403 {
                return;
            }
        }
    };
    timeout(Duration::from_secs(4), closed).await.expect("revoked in time");
    rules.forbids.store(false, Ordering::Relaxed);
    assert_eq!(get(&world, &path, &cookie, None).await.status, 403, "for good");
}

#[tokio::test]
async fn a_download_is_a_file_with_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::recording(bounds(folder.path())).await;
    follow(&world, Rules::of("always"));
    let file = recorded(&world, folder.path()).await;
    let id = id_of(&file);
    let answer = play(&world, &format!("download/{id}")).await;
    let path = format!("/r/{id}/download");
    assert_eq!((answer.status, answer.header("location")), (303, Some(path.as_str())));
    let value = answer.cookie(&format!("__Host-rec-{id}")).unwrap();
    let got = get(&world, &path, &format!("__Host-rec-{id}={value}"), None).await;
    assert_eq!(got.status, 200);
    let name = "attachment; filename=\"beamdesk-20260101-000000Z.beamrec\"";
    assert_eq!(got.header("content-disposition"), Some(name));
    assert_eq!(got.header("content-type"), Some("application/octet-stream"));
    assert_eq!(got.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn what_opens_no_recording_is_one_page() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::recording(bounds(folder.path())).await;
    follow(&world, Rules::of("always"));
    let mut answers = vec![play(&world, "bad").await, play(&world, &"x".repeat(300)).await];
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (method, origin, body) in [
        ("POST", "https://evil.example.org", "ticket=play/x"),
        ("POST", PORTAL_ORIGIN, "nothing=1"),
        ("GET", PORTAL_ORIGIN, ""),
    ] {
        let headers = [("origin", origin), form];
        answers.push(request(world.gateway, method, "/play", &headers, body).await);
    }
    // And one that keeps nothing opens nothing.
    let without = World::new().await;
    follow(&without, Rules::of("always"));
    answers.push(play(&without, "play/01900000-0000-7000-8000-00000000ffff").await);
    for answer in answers {
        assert_eq!(answer.status, 403);
        assert!(answer.body.contains("does not open a recording"), "{}", answer.body);
        assert!(answer.cookies().is_empty());
    }
}

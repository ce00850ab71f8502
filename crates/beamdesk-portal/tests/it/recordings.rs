//! Recordings: policy, list, tickets, removal, and what the audit keeps.

use std::time::Duration;

use beamdesk_store::{SessionRow, TicketLimits, TicketRow};
use beamdesk_types::{
    Clock as _, Desktop, Goal, Phase, RecordingId, RecordingPolicy, SessionId, StreamId, UserId,
};
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    system::{GATEWAY_ORIGIN, System, desktop, gateway},
};

/// A recording of a stream of this user, as the gateway `local` made it; it goes on.
pub(crate) async fn recorded(system: &System, user: UserId) -> RecordingId {
    let store = &system.app.store;
    store.put_recording_policy(RecordingPolicy::Allowed).await.unwrap();
    let stream = stream(system, user).await;
    let id = RecordingId::fresh();
    store.begin_recording(&gateway(), stream, id).await.unwrap().unwrap();
    id
}

/// A stream that was opened, past all that leads there.
async fn stream(system: &System, owner: UserId) -> StreamId {
    let (store, now) = (&system.app.store, system.clock.now());
    let desktop = Desktop {
        name: "hers".to_owned(),
        goal: Goal::Running,
        phase: Phase::Ready,
        generation: 1,
        address: Some("127.0.0.1:1".to_owned()),
        ..desktop(owner, now)
    };
    store.add_desktop(&desktop, u32::MAX).await.unwrap();
    let mut hash = [0; 32];
    hash.iter_mut().zip(desktop.id.to_string().bytes()).for_each(|(to, from)| *to = from);
    let session = SessionRow {
        id: SessionId::fresh(),
        token_hash: hash,
        user: owner,
        created: now,
        last_seen: now,
        expires: now + Duration::from_secs(60),
        absolute: now + Duration::from_secs(60),
    };
    store.add_session(&session).await.unwrap();
    let ticket = TicketRow {
        hash,
        user: owner,
        session: session.id,
        desktop: desktop.id,
        generation: 1,
        gateway: gateway(),
        bind_hash: hash,
        ttl: Duration::from_secs(30),
    };
    let limits = TicketLimits { live_per_desktop_max: 99, per_user_minute_max: 999 };
    store.add_ticket(&ticket, limits).await.unwrap();
    store.redeem_ticket(&hash, &gateway(), &[], &hash).await.unwrap().unwrap().stream
}

async fn id_of(system: &System, name: &str) -> UserId {
    system.app.store.user_by_name(name).await.unwrap().unwrap().id
}

async fn actions(root: &mut Browser) -> Vec<(String, String, String)> {
    let list = root.get("/api/v1/audit").await.expect(200);
    let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
    let events = list["events"].as_array().unwrap().iter().rev();
    let of = |event: &Value| text(event, "action").starts_with("recording");
    let events = events.filter(|event| of(event));
    events
        .map(|event| (text(event, "actor"), text(event, "action"), text(event, "detail")))
        .collect()
}

#[tokio::test]
async fn the_policy_is_off_until_an_administrator_says_otherwise() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut ada = system.account(&mut root, "ada", "user").await;
    let path = "/api/v1/recording-policy";
    assert_eq!(ada.get(path).await.expect(200), json!({ "policy": "off" }));
    let put = reqwest::Method::PUT;
    for policy in ["allowed", "always", "off", "always"] {
        let body = json!({ "policy": policy });
        root.send(put.clone(), path, Some(body.clone())).await.expect(200);
        assert_eq!(ada.get(path).await.expect(200), body);
        let list = ada.get("/api/v1/recordings").await.expect(200);
        assert_eq!(list, json!({ "recordings": [], "policy": policy }));
    }
    for bad in [json!({ "policy": "sometimes" }), json!({}), json!({ "policy": null })] {
        root.send(put.clone(), path, Some(bad)).await.refused(400, "bad_json");
    }
    let last = actions(&mut root).await.pop().unwrap();
    assert_eq!(last, ("root".into(), "recording_policy_changed".into(), "always".into()));
    // It is in what the gateway is told when a stream opens.
    let desktop = ada.ready_desktop("hers").await;
    let ticket = ada.order(&format!("/api/v1/desktops/{desktop}/tickets")).await.expect(201);
    let redeem = json!({ "ticket": ticket["ticket"], "bind": ada.cookies["__Secure-bind"] });
    let (_, grant) = system.internal("/internal/v1/tickets/redeem", &redeem).await;
    assert_eq!(grant["recording"], "always");
    let resume = json!({ "handle": grant["handle"], "bind": ada.cookies["__Secure-bind"] });
    let (_, grant) = system.internal("/internal/v1/streams/resume", &resume).await;
    assert_eq!(grant["recording"], "always");
    system.stop().await;
}

#[tokio::test]
async fn a_recording_from_its_beginning_to_its_removal() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut ada = system.account(&mut root, "ada", "user").await;
    let mut eve = system.account(&mut root, "eve", "user").await;
    let policy = json!({ "policy": "allowed" });
    let put = reqwest::Method::PUT;
    root.send(put.clone(), "/api/v1/recording-policy", Some(policy)).await.expect(200);

    // As a gateway does it.
    let stream = stream(&system, id_of(&system, "ada").await).await;
    let id = RecordingId::fresh();
    let begin = json!({ "recording": id, "stream": stream });
    let (status, begun) = system.internal("/internal/v1/recordings/begin", &begin).await;
    assert_eq!((status, begun["started"].is_string()), (200, true));
    let strange = json!({ "recording": RecordingId::fresh(), "stream": StreamId::fresh() });
    let (status, refused) = system.internal("/internal/v1/recordings/begin", &strange).await;
    assert_eq!((status, refused), (403, json!({ "refused": true })));
    let list = ada.get("/api/v1/recordings").await.expect(200);
    let row = &list["recordings"][0];
    assert_eq!((&row["id"], &row["desktop"]["name"]), (&json!(id), &json!("hers")));
    assert!(row.get("end").is_none(), "it goes on");
    let state = json!({ "recording": id, "bytes": 123_456, "duration_ms": 61_000, "end": "ended" });
    let sync = json!({ "states": [state], "removed": [], "held": null });
    let (status, answer) = system.internal("/internal/v1/recordings/sync", &sync).await;
    assert_eq!((status, &answer["remove"], &answer["end"]), (200, &json!([]), &json!([])));

    // Who sees it.
    let path = format!("/api/v1/recordings/{id}");
    let list = ada.get("/api/v1/recordings").await.expect(200);
    let row = &list["recordings"][0];
    assert_eq!((&row["bytes"], &row["duration_ms"]), (&json!(123_456), &json!(61_000)));
    assert_eq!((&row["end"], &row["user"]["name"]), (&json!("ended"), &json!("ada")));
    assert_eq!(row["may"], json!({ "play": true, "remove": true }));
    for none in [&mut eve, &mut root] {
        assert_eq!(none.get("/api/v1/recordings").await.expect(200)["recordings"], json!([]));
    }
    let all = root.get("/api/v1/recordings?all=true").await.expect(200);
    assert_eq!(all["recordings"][0]["user"]["name"], "ada");
    eve.get("/api/v1/recordings?all=true").await.refused(403, "forbidden");
    for bad in ["?all=2", "?before=x", "?limit=-1", "?of=ada"] {
        ada.get(&format!("/api/v1/recordings{bad}")).await.refused(400, "invalid");
    }

    // To play it: a ticket, redeemed by the gateway, from this browser.
    let play = json!({ "use": "play" });
    eve.post(&format!("{path}/tickets"), play.clone()).await.refused(404, "not_found");
    let ticket = ada.post(&format!("{path}/tickets"), play).await.expect(201);
    assert_eq!(ticket["play_url"], format!("{GATEWAY_ORIGIN}/play"));
    let bind = ada.cookies["__Secure-bind"].clone();
    let redeem = json!({ "ticket": ticket["ticket"], "bind": bind });
    // A ticket for a recording opens no desktop.
    let (status, _) = system.internal("/internal/v1/tickets/redeem", &redeem).await;
    assert_eq!(status, 403);
    let (status, grant) = system.internal("/internal/v1/recordings/redeem", &redeem).await;
    assert_eq!((status, &grant["recording"], &grant["use"]), (200, &json!(id), &json!("play")));
    let (status, _) = system.internal("/internal/v1/recordings/redeem", &redeem).await;
    assert_eq!(status, 403, "once");
    let check = json!({ "recording": id, "session": grant["session"] });
    let (status, _) = system.internal("/internal/v1/recordings/allowed", &check).await;
    assert_eq!(status, 200);
    let download = json!({ "use": "download" });
    let ticket = root.post(&format!("{path}/tickets"), download).await.expect(201);
    let bind = root.cookies["__Secure-bind"].clone();
    let redeem = json!({ "ticket": ticket["ticket"], "bind": bind });
    let (_, grant) = system.internal("/internal/v1/recordings/redeem", &redeem).await;
    assert_eq!(grant["use"], "download");
    // Logging out ends the play.
    ada.delete("/api/v1/session").await.expect(204);
    let (status, _) = system.internal("/internal/v1/recordings/allowed", &check).await;
    assert_eq!(status, 403);

    // Removed: nobody sees it, the gateway is told, and only its owner or an administrator may.
    let mut ada = system.log_in("ada").await;
    eve.delete(&path).await.refused(404, "not_found");
    ada.delete(&path).await.expect(204);
    ada.delete(&path).await.refused(404, "not_found");
    let nothing = json!({ "states": [], "removed": [], "held": null });
    let (_, answer) = system.internal("/internal/v1/recordings/sync", &nothing).await;
    assert_eq!(answer["remove"], json!([id]));
    let words: Vec<_> = actions(&mut root)
        .await
        .into_iter()
        .map(|(who, what, _)| format!("{who} {what}"))
        .collect();
    assert_eq!(
        words,
        [
            "root recording_policy_changed",
            "ada recording_started",
            "ada recording_ended",
            "ada recording_played",
            "root recording_downloaded",
            "ada recording_removed",
        ]
    );
    system.stop().await;
}

#[tokio::test]
async fn what_the_policy_asked_for_its_user_cannot_remove() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut ada = system.account(&mut root, "ada", "user").await;
    let user = id_of(&system, "ada").await;
    let stream = stream(&system, user).await;
    let store = &system.app.store;
    store.put_recording_policy(RecordingPolicy::Always).await.unwrap();
    let id = RecordingId::fresh();
    store.begin_recording(&gateway(), stream, id).await.unwrap().unwrap();
    let path = format!("/api/v1/recordings/{id}");
    let list = ada.get("/api/v1/recordings").await.expect(200);
    assert_eq!(list["recordings"][0]["required"], true);
    assert_eq!(list["recordings"][0]["may"], json!({ "play": true, "remove": false }));
    ada.delete(&path).await.refused(403, "forbidden");
    root.delete(&path).await.expect(204);
    system.stop().await;
}

#[tokio::test]
async fn noise_from_a_gateway_is_refused() {
    let system = System::start().await;
    let ids: Vec<_> = (0..5001).map(|_| RecordingId::fresh()).collect();
    for (path, body) in [
        ("begin", json!({})),
        ("begin", json!({ "recording": "x", "stream": "y" })),
        ("sync", json!({ "states": [{}], "removed": [], "held": null })),
        ("sync", json!({ "states": [], "removed": ids, "held": null })),
        ("sync", json!({ "states": [], "removed": [], "held": ids })),
        ("redeem", json!({ "ticket": 1, "bind": "" })),
        ("allowed", json!({ "recording": "x" })),
    ] {
        let (status, _) = system.internal(&format!("/internal/v1/recordings/{path}"), &body).await;
        assert_eq!(status, 400, "{path}");
    }
    for ticket in ["", "x", &"x".repeat(1000)] {
        let body = json!({ "ticket": ticket, "bind": "" });
        let (status, _) = system.internal("/internal/v1/recordings/redeem", &body).await;
        assert_eq!(status, 403);
    }
    system.stop().await;
}

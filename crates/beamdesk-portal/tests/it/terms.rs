//! How long desktops run, and longer.

use std::time::Duration;

use beamdesk_types::Clock as _;
use serde_json::{Value, json};

use crate::{browser::Browser, system::System};

const MINUTE: Duration = Duration::from_secs(60);

/// A ready desktop that runs for an hour.
async fn ready_for_an_hour(user: &mut Browser) -> String {
    let size = json!({ "id": "hour", "name": "Hour", "vcpus": 16, "memory_mib": 1024,
        "disk_gib": 1, "term_hours": 1, "enabled": true });
    user.post("/api/v1/sizes", size).await.expect(201);
    let body = json!({ "name": "x", "image": "sim-desktop", "size": "hour" });
    let made = user.post("/api/v1/desktops", body).await.expect(201);
    let id = made["id"].as_str().unwrap().to_owned();
    user.until(&id, "ready").await;
    id
}

fn ends(desktop: &Value) -> beamdesk_types::Timestamp {
    desktop["ends"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_desktop_is_stopped_when_its_term_is_over_unless_it_was_extended() {
    let system = System::start().await;
    let mut user = system.administrator().await;
    let id = ready_for_an_hour(&mut user).await;
    let path = format!("/api/v1/desktops/{id}");
    let ready = user.get(&path).await.expect(200);
    let first = ends(&ready);
    assert_eq!((&ready["ends_soon"], &ready["may"]["extend"]), (&json!(false), &json!(true)));
    // In steps: a session that nobody uses for half an hour ends.
    for _ in 0..2 {
        system.clock.advance(20 * MINUTE);
        user.get(&path).await.expect(200);
    }
    assert_eq!(user.get(&path).await.expect(200)["ends_soon"], true);
    let extended = user.post(&format!("{path}/extend"), json!({})).await.expect(200);
    assert_eq!(ends(&extended), first + 60 * MINUTE, "another term");
    let extended = user.post(&format!("{path}/extend"), json!({ "hours": 2 })).await.expect(200);
    assert_eq!(ends(&extended), first + 180 * MINUTE);
    for hours in [0, 721, 4_000_000_000_u32] {
        let body = json!({ "hours": hours });
        user.post(&format!("{path}/extend"), body).await.refused(400, "invalid_hours");
    }
    for _ in 0..11 {
        system.clock.advance(20 * MINUTE);
        user.get(&path).await.expect(200);
    }
    let stopped = user.until(&id, "stopped").await;
    assert_eq!((&stopped["goal"], stopped.get("ends")), (&json!("stopped"), None));
    user.post(&format!("{path}/extend"), json!({})).await.refused(409, "not_now");
    let audit = user.get("/api/v1/audit").await.expect(200);
    let noted = audit["events"].as_array().unwrap().iter().any(|event| {
        event["action"] == "term_ended" && event["subject"] == format!("desktop:{id}")
    });
    assert!(noted, "{audit}");
    user.order(&format!("{path}/start")).await.expect(202);
    let again = user.until(&id, "ready").await;
    let expected = system.clock.now() + 60 * MINUTE;
    assert_eq!(ends(&again).as_millisecond(), expected.as_millisecond(), "a start is a new term");
    system.stop().await;
}

#[tokio::test]
async fn a_term_is_not_extended_into_reserved_room() {
    let system = System::start().await;
    let mut user = system.administrator().await;
    let id = ready_for_an_hour(&mut user).await;
    let path = format!("/api/v1/desktops/{id}");
    let first = ends(&user.get(&path).await.expect(200));
    user.post("/api/v1/stations", json!({ "id": "b7", "name": "B7" })).await.expect(201);
    // Both nodes whole, from half an hour after its end.
    let reserved = first + 30 * MINUTE;
    let body = json!({ "station": "b7", "size": "hour", "count": 2, "from": reserved.to_string(),
        "to": (reserved + 60 * MINUTE).to_string() });
    user.post("/api/v1/reservations", body).await.expect(201);
    let extended = user.post(&format!("{path}/extend"), json!({ "hours": 5 })).await.expect(200);
    assert_eq!(ends(&extended), reserved, "as far as the calendar allows");
    user.post(&format!("{path}/extend"), json!({})).await.refused(409, "cannot_extend");
    system.stop().await;
}

#[tokio::test]
async fn who_has_no_term_needs_no_extension() {
    let system = System::start().await;
    let mut user = system.administrator().await;
    let id = user.ready_desktop("x").await;
    let path = format!("/api/v1/desktops/{id}");
    assert_eq!(user.get(&path).await.expect(200)["may"]["extend"], false);
    user.post(&format!("{path}/extend"), json!({})).await.refused(409, "not_now");
    system.stop().await;
}

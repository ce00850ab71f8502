//! Stations, and room reserved for their beam time.

use std::time::Duration;

use beamdesk_types::Clock as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::system::System;

const HOUR: Duration = Duration::from_secs(3600);

fn reservation(system: &System, size: &str, count: u32, from: Duration) -> Value {
    let from = system.clock.now() + from;
    json!({ "station": "b7", "size": size, "count": count, "from": from.to_string(),
        "to": (from + HOUR).to_string(), "note": "beam time" })
}

#[tokio::test]
async fn a_station_is_added_changed_and_removed() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let station = json!({ "id": "b7", "name": "B7", "nodes": ["sim-001"] });
    let added = root.post("/api/v1/stations", station.clone()).await.expect(201);
    assert_eq!(added["gpu"]["count"], 0);
    root.post("/api/v1/stations", station).await.refused(409, "taken");
    let list = root.get("/api/v1/stations").await.expect(200);
    assert_eq!(list["stations"].as_array().unwrap().len(), 1);
    let put = |id: &str, body: Value| (Method::PUT, format!("/api/v1/stations/{id}"), Some(body));
    for (id, body, status, code) in [
        ("b7", json!({ "id": "b8", "name": "B8" }), 400, "invalid_id"),
        ("b8", json!({ "id": "b8", "name": "B8" }), 404, "not_found"),
        ("b7", json!({ "id": "b7", "name": "" }), 400, "invalid_name"),
        ("b7", json!({ "id": "b7", "name": "B7", "nodes": ["a", "a"] }), 400, "invalid"),
        ("b7", json!({ "id": "b7", "name": "B7", "gpu": { "count": 65 } }), 400, "invalid_gpu"),
    ] {
        let (method, path, body) = put(id, body);
        root.send(method, &path, body).await.refused(status, code);
    }
    let (method, path, body) = put("b7", json!({ "id": "b7", "name": "Imaging" }));
    assert_eq!(root.send(method, &path, body).await.expect(200)["nodes"], json!([]));

    let mut ada = system.account(&mut root, "ada", "user").await;
    let offers = ada.get("/api/v1/offers").await.expect(200);
    assert_eq!(offers["stations"][0]["name"], "Imaging");
    let body = json!({ "name": "x", "image": "sim-desktop", "size": "small", "station": "b7" });
    ada.post("/api/v1/desktops", body).await.expect(201);
    root.delete("/api/v1/stations/b7").await.refused(409, "in_use");
    system.stop().await;
}

#[tokio::test]
async fn what_can_never_be_held_is_refused_with_the_reason() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    root.post("/api/v1/stations", json!({ "id": "b7", "name": "B7" })).await.expect(201);
    let path = "/api/v1/reservations";
    let refused = root.post(path, reservation(&system, "huge", 3, HOUR)).await;
    let message = refused.body["error"]["message"].as_str().unwrap().to_owned();
    refused.refused(409, "cannot_be_held");
    assert!(message.contains("room for 2 of 3"), "{message}");
    let refused = root.post(path, reservation(&system, "gpu", 1, HOUR)).await;
    let message = refused.body["error"]["message"].as_str().unwrap().to_owned();
    refused.refused(409, "cannot_be_held");
    assert!(message.contains("gpus: 2"), "{message}");

    let good = reservation(&system, "huge", 1, HOUR);
    for (field, value, code) in [
        ("count", json!(0), "invalid"),
        ("count", json!(100_000), "invalid"),
        ("station", json!("b8"), "invalid_station"),
        ("size", json!("none"), "invalid_size"),
        ("to", good["from"].clone(), "invalid_time"),
        ("to", json!("2999-01-01T00:00:00Z"), "invalid_time"),
        ("note", json!("x".repeat(201)), "invalid"),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        root.post(path, bad).await.refused(400, code);
    }
    let mut past = good.clone();
    past["from"] = json!("2020-01-01T00:00:00Z");
    past["to"] = json!("2020-01-01T01:00:00Z");
    root.post(path, past).await.refused(400, "invalid_time");

    let made = root.post(path, good).await.expect(201);
    assert_eq!(made["in_time"], 1);
    let list = root.get(path).await.expect(200);
    assert_eq!(list["reservations"], json!([made["reservation"]]));
    let later = (system.clock.now() + 3 * HOUR).to_string();
    let none = root.get(&format!("{path}?from={later}")).await.expect(200);
    assert_eq!(none["reservations"], json!([]));
    root.get(&format!("{path}?from=tomorrow")).await.refused(400, "invalid");
    let id = made["reservation"]["id"].as_str().unwrap().to_owned();
    root.delete(&format!("{path}/{id}")).await.expect(204);
    root.delete(&format!("{path}/{id}")).await.refused(404, "not_found");
    system.stop().await;
}

#[tokio::test]
async fn reserved_room_is_kept_for_the_station() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    root.post("/api/v1/stations", json!({ "id": "b7", "name": "B7" })).await.expect(201);
    let made = root.post("/api/v1/reservations", reservation(&system, "huge", 2, Duration::ZERO));
    let made = made.await.expect(201);
    let id = root.new_desktop("outsider").await;
    let told = root.until_it(&id, |d| d["waiting"].is_object(), "told why it waits").await;
    assert_eq!(told["waiting"]["held"], "reservation", "{told}");
    assert_eq!(told["waiting"]["place"], 1);
    let body = json!({ "name": "x", "image": "sim-desktop", "size": "huge", "station": "b7" });
    let theirs = root.post("/api/v1/desktops", body).await.expect(201);
    root.until(theirs["id"].as_str().unwrap(), "ready").await;
    let reservation = made["reservation"]["id"].as_str().unwrap();
    root.delete(&format!("/api/v1/reservations/{reservation}")).await.expect(204);
    root.until(&id, "ready").await;
    system.stop().await;
}

//! Nodes as administrators see and manage them.

use std::time::Duration;

use beamdesk_types::Clock as _;
use reqwest::Method;
use serde_json::json;

use crate::{
    srm::{Monitor, card, seen},
    system::System,
};

#[tokio::test]
async fn the_last_day_is_shown_in_points_of_five_minutes() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut monitor = Monitor::of(&system, "sim-001");
    for n in 0..8 {
        let mut held = card(1);
        held["state"] = json!(if n < 4 { "free" } else { "assigned" });
        let report = monitor.full(&[held, card(2)]);
        monitor.taken(&report).await;
        system.clock.advance(Duration::from_secs(150));
    }
    let history = root.get("/api/v1/nodes/sim-001/history").await.expect(200);
    assert_eq!(history["slot_s"], 300);
    let samples = history["samples"].as_array().unwrap();
    assert!((4..=6).contains(&samples.len()), "{history}");
    let (first, last) = (&samples[0], &samples[samples.len() - 1]);
    assert_eq!((&first["cpu_busy_permille"], &first["cards_total"]), (&json!(250), &json!(2)));
    assert_eq!((&first["cards_held"], &last["cards_held"]), (&json!(0), &json!(1)));
    assert_eq!(first["cards"][0]["busy_percent"], 7);
    // A day later it is history no more.
    system.clock.advance(Duration::from_secs(25 * 3600));
    let mut root = system.log_in("root").await;
    let history = root.get("/api/v1/nodes/sim-001/history").await.expect(200);
    assert_eq!(history["samples"], json!([]));
    root.get("/api/v1/nodes/nowhere/history").await.refused(404, "not_found");
    system.stop().await;
}

#[tokio::test]
async fn a_node_is_taken_out_of_use_and_put_back() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    assert_eq!(seen(&mut root, "sim-001").await["state"], "silent", "it has no monitor");
    let maintain = |on: bool| json!({ "maintenance": on });
    let path = "/api/v1/nodes/sim-001/maintenance";
    root.send(Method::PUT, path, Some(maintain(true))).await.expect(204);
    let view = seen(&mut root, "sim-001").await;
    assert_eq!((&view["state"], &view["maintenance"]), (&json!("maintenance"), &json!(true)));
    root.send(Method::PUT, path, Some(maintain(false))).await.expect(204);
    assert_eq!(seen(&mut root, "sim-001").await["state"], "silent");
    let nowhere = "/api/v1/nodes/nowhere/maintenance";
    root.send(Method::PUT, nowhere, Some(maintain(true))).await.refused(404, "not_found");
    root.send(Method::PUT, path, Some(json!({}))).await.refused(400, "bad_json");
    let mut operator = system.account(&mut root, "op", "operator").await;
    operator.send(Method::PUT, path, Some(maintain(true))).await.refused(403, "forbidden");
    operator.delete("/api/v1/nodes/sim-001").await.refused(403, "forbidden");
    operator.get("/api/v1/nodes").await.expect(200);
    system.stop().await;
}

#[tokio::test]
async fn a_node_the_cloud_does_not_know_is_shown_until_it_is_forgotten() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut monitor = Monitor::of(&system, "spare-7");
    let report = monitor.full(&[card(1)]);
    monitor.taken(&report).await;
    let view = seen(&mut root, "spare-7").await;
    assert_eq!((&view["state"], &view["is_known"]), (&json!("disabled"), &json!(false)));
    assert_eq!(view["cards"].as_array().unwrap().len(), 1);
    root.delete("/api/v1/nodes/spare-7").await.expect(204);
    root.delete("/api/v1/nodes/spare-7").await.refused(404, "not_found");
    assert!(seen(&mut root, "spare-7").await.is_null());
    // It is there again when its monitor speaks again, whatever its generation.
    let mut monitor = Monitor::of(&system, "spare-7");
    let report = monitor.full(&[card(1)]);
    monitor.taken(&report).await;
    assert_eq!(seen(&mut root, "spare-7").await["record"]["age_s"], 0);
    system.stop().await;
}

#[tokio::test]
async fn a_clock_that_is_a_little_off_is_marked_and_no_more() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut monitor = Monitor::of(&system, "sim-001");
    for (off_s, is_off) in [(290, false), (600, true)] {
        let mut report = monitor.full(&[]);
        report["sampled"] = json!(system.clock.now() + Duration::from_secs(off_s + 10));
        monitor.taken(&report).await;
        let record = &seen(&mut root, "sim-001").await["record"];
        assert_eq!(record["clock_off_s"], off_s);
        assert_eq!((&record["is_clock_off"], &record["is_stale"]), (&json!(is_off), &json!(false)));
    }
    assert_eq!(seen(&mut root, "sim-001").await["state"], "open");
    system.stop().await;
}

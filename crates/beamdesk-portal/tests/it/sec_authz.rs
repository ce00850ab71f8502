//! SR-17: ids in answers are names, not keys.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::{browser::Browser, system::System};

#[tokio::test]
async fn ids_are_not_caps() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut ada = system.account(&mut root, "ada", "user").await;
    let mut eve = system.account(&mut root, "eve", "user").await;
    let desktop = ada.ready_desktop("hers").await;
    let user = system.app.store.user_by_name("ada").await.unwrap().unwrap().id;
    let recording = crate::recordings::recorded(&system, user).await.to_string();

    // Every id that Ada sees, in any answer, and those that gateways see of her.
    let mut ids = BTreeSet::new();
    let pages = ["session", "desktops", "offers", "recordings"];
    for path in pages.map(|page| format!("/api/v1/{page}")) {
        collect(&ada.get(&path).await.expect(200), &mut ids);
    }
    let ticket = ada.order(&format!("/api/v1/desktops/{desktop}/tickets")).await.expect(201);
    let redeem = json!({ "ticket": ticket["ticket"], "bind": ada.cookies["__Secure-bind"] });
    let (status, grant) = system.internal("/internal/v1/tickets/redeem", &redeem).await;
    assert_eq!(status, 200);
    collect(&grant, &mut ids);
    assert!(ids.contains(&desktop) && ids.contains(&recording) && ids.len() >= 3, "{ids:?}");

    let document: Value = serde_json::from_str(&beamdesk_portal::openapi()).unwrap();
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        if !path.contains("{id}") {
            continue;
        }
        for method in methods.as_object().unwrap().keys() {
            for id in &ids {
                let method: Method = method.to_uppercase().parse().unwrap();
                let path = path.replace("{id}", id);
                let body = body_for(&method, &path);
                let answer = eve.send(method, &path, body).await;
                assert!([403, 404].contains(&answer.status), "{}: {}", answer.what, answer.status);
                tried += 1;
            }
        }
    }
    assert!(tried >= 30, "{tried} tried");
    // Nor is a stream's id a handle, nor anything else of hers a ticket.
    for id in &ids {
        let handle = json!({ "handle": id, "bind": eve.cookies["__Secure-bind"] });
        let (status, _) = system.internal("/internal/v1/streams/resume", &handle).await;
        assert_eq!(status, 403);
        let ticket = json!({ "ticket": id, "bind": eve.cookies["__Secure-bind"] });
        let (status, _) = system.internal("/internal/v1/tickets/redeem", &ticket).await;
        assert_eq!(status, 403);
    }
    unchanged(&mut ada, &desktop).await;
    system.stop().await;
}

async fn unchanged(ada: &mut Browser, desktop: &str) {
    let still = ada.get(&format!("/api/v1/desktops/{desktop}")).await.expect(200);
    assert_eq!((&still["name"], &still["phase"]), (&json!("hers"), &json!("ready")));
}

fn body_for(method: &Method, path: &str) -> Option<Value> {
    match *method {
        Method::POST if path.contains("recordings") => Some(json!({ "use": "play" })),
        Method::POST if path.ends_with("/extend") => Some(json!({})),
        Method::PATCH if path.contains("users") => Some(json!({ "disabled": true })),
        Method::PATCH => Some(json!({ "name": "stolen" })),
        Method::PUT => Some(json!({ "id": "x", "name": "x", "description": "", "vcpus": 1,
            "memory_mib": 1024, "disk_gib": 1, "enabled": true })),
        _ => None,
    }
}

fn collect(value: &Value, ids: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if text.len() == 36 && text.split('-').count() == 5 => {
            ids.insert(text.clone());
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, ids)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, ids)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

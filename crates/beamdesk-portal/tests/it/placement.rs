//! Desktops with cards: who gets one, who waits, and what they are told.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use beamdesk_cloud::{
    PowerState,
    sim::{Fault, Sim},
};
use beamdesk_store::{NodeRecord, Store};
use beamdesk_types::{CardAddress, Clock as _, NodeFacts, NodeName, Partitioning};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{browser::Browser, system::System};

/// Nodes of which each has so many cards.
fn sim(nodes: u32, cards: u8, partitioning: &Partitioning) -> Arc<Sim> {
    let mut all = Sim::equal_nodes(nodes, 16, 65_536, 1000);
    for node in &mut all {
        node.cards = Sim::equal_cards(cards, "RTX A6000", 49_152, partitioning);
    }
    Arc::new(Sim::new(1, all))
}

fn wish(size: &str) -> Value {
    json!({ "name": "x", "image": "sim-desktop", "size": size })
}

async fn asked(user: &mut Browser, wish: Value) -> String {
    let made = user.post("/api/v1/desktops", wish).await.expect(201);
    made["id"].as_str().unwrap().to_owned()
}

async fn waiting(user: &Browser, id: &str) -> Value {
    user.until_it(id, |d| d["waiting"].is_object(), "told why it waits").await["waiting"].clone()
}

/// Thousandths of each card that claims hold.
async fn claimed(store: &Store) -> BTreeMap<(NodeName, CardAddress), u32> {
    let mut held = BTreeMap::new();
    for row in store.claims().await.unwrap() {
        for card in row.claim.cards {
            *held.entry((row.claim.node.clone(), card)).or_default() += row.claim.share_milli;
        }
    }
    held
}

#[tokio::test]
async fn a_desktop_waits_for_a_card_is_told_why_and_starts_when_one_is_released() {
    let system = System::start_over(sim(1, 1, &Partitioning::Whole)).await;
    let mut user = system.administrator().await;
    let first = asked(&mut user, wish("gpu")).await;
    let ready = user.until(&first, "ready").await;
    assert_eq!(ready["gpu"]["count"], 1);
    let second = asked(&mut user, wish("gpu")).await;
    let told = waiting(&user, &second).await;
    assert_eq!(told["misfits"], json!([{ "code": "gpus", "nodes": 1 }]));
    assert_eq!((&told["place"], &told["never"]), (&json!(1), &json!(false)));
    assert_eq!(told["nearest"], json!([{ "id": "small", "name": "small" }]));

    let offers = user.get("/api/v1/offers").await.expect(200);
    assert_eq!(offers["free"]["gpus"], 0);
    assert_eq!((&offers["cards"][0]["total"], &offers["cards"][0]["free"]), (&json!(1), &json!(0)));
    let gpu = offers["sizes"].as_array().unwrap().iter().find(|s| s["size"]["id"] == "gpu");
    assert_eq!(gpu.unwrap()["fits_now"], false);

    user.order(&format!("/api/v1/desktops/{first}/stop")).await.expect(202);
    user.until(&second, "ready").await;
    let servers = system.sim.servers();
    let on: Vec<_> = servers.iter().filter(|s| s.state == PowerState::Active).collect();
    assert_eq!((on.len(), on[0].cards.len()), (1, 1));
    assert_eq!(on[0].desktop.to_string(), second);

    // Who stopped comes back into the queue: its card is another's now.
    user.order(&format!("/api/v1/desktops/{first}/start")).await.expect(202);
    let told = waiting(&user, &first).await;
    assert_eq!(told["misfits"], json!([{ "code": "gpus", "nodes": 1 }]));
    user.delete(&format!("/api/v1/desktops/{second}")).await.expect(202);
    user.until(&first, "ready").await;
    user.delete(&format!("/api/v1/desktops/{first}")).await.expect(202);
    user.until_it(&first, Value::is_null, "deleted").await;
    let store = system.stop().await;
    assert_eq!(store.claims().await.unwrap(), []);
}

#[tokio::test]
async fn a_card_is_shared_up_to_the_whole() {
    let system = System::start_over(sim(1, 1, &Partitioning::Shared)).await;
    let mut user = system.administrator().await;
    let share = json!({ "count": 1, "share_milli": 400 });
    let mut ids = Vec::new();
    for _ in 0..3 {
        let mut wish = wish("small");
        wish["gpu"] = share.clone();
        ids.push(asked(&mut user, wish).await);
    }
    let told = waiting(&user, &ids[2]).await;
    assert_eq!(told["misfits"], json!([{ "code": "gpus", "nodes": 1 }]));
    let ready = user.until(&ids[0], "ready").await;
    assert_eq!(ready["gpu"]["share_milli"], 400);
    user.until(&ids[1], "ready").await;
    assert_eq!(claimed(&system.app.store).await.into_values().collect::<Vec<_>>(), [800]);
    system.stop().await;
}

#[tokio::test]
async fn what_is_asked_beyond_the_size_is_checked() {
    let system = System::start_over(sim(1, 2, &Partitioning::Whole)).await;
    let mut user = system.administrator().await;
    let ask = |gpu: Value| {
        let mut wish = wish("small");
        wish["gpu"] = gpu;
        wish
    };
    for (gpu, key) in [
        (json!({ "count": 1_000_000_000 }), "heps:gpu_num"),
        (json!({ "count": 3 }), "heps:gpu_num"),
        (json!({ "count": 1, "models": ["T4"] }), "heps:gpu_model"),
        (json!({ "count": 1, "memory_mib": 49_153 }), "heps:gpu_mem_mib"),
        (json!({ "count": 1, "share_milli": 500 }), "heps:gpu_share"),
        (json!({ "count": 1, "share_milli": 0 }), "heps:gpu_share"),
    ] {
        let refused = user.post("/api/v1/desktops", ask(gpu.clone())).await;
        let message = refused.body["error"]["message"].as_str().unwrap().to_owned();
        refused.refused(400, "invalid_gpu");
        assert!(message.starts_with(key), "{gpu}: {message}");
        user.post(
            "/api/v1/offers/check",
            json!({ "image": "sim-desktop", "size": "small", "gpu": gpu }),
        )
        .await
        .refused(400, "invalid_gpu");
    }
    let mut odd = wish("small");
    odd["gpu"] = json!({ "count": -1 });
    assert_eq!(user.post("/api/v1/desktops", odd).await.status, 400);

    let two = ask(json!({ "count": 2, "memory_mib": 40_000 }));
    let id = asked(&mut user, two.clone()).await;
    user.until(&id, "ready").await;
    assert_eq!(system.sim.servers()[0].cards.len(), 2);

    user.send(Method::PUT, "/api/v1/placement", Some(json!({ "gpu_additions": false })))
        .await
        .expect(200);
    user.post("/api/v1/desktops", two).await.refused(400, "invalid");
    system.stop().await;
}

#[tokio::test]
async fn a_wish_can_be_tried_before_it_is_asked_for() {
    let system = System::start_over(sim(1, 1, &Partitioning::Whole)).await;
    let mut user = system.administrator().await;
    let body = json!({ "image": "sim-desktop", "size": "gpu" });
    let fits = user.post("/api/v1/offers/check", body.clone()).await.expect(200);
    assert_eq!((&fits["fits_now"], &fits["gpu"]["count"]), (&json!(true), &json!(1)));
    assert!(fits.get("waiting").is_none());
    let id = asked(&mut user, wish("gpu")).await;
    user.until(&id, "ready").await;
    let full = user.post("/api/v1/offers/check", body).await.expect(200);
    assert_eq!(full["fits_now"], false);
    assert_eq!(full["waiting"]["misfits"], json!([{ "code": "gpus", "nodes": 1 }]));
    assert_eq!(system.app.store.open_desktops().await.unwrap().len(), 1, "nothing was asked for");
    system.stop().await;
}

#[tokio::test]
async fn who_waits_may_take_another_size() {
    let system = System::start_over(sim(1, 1, &Partitioning::Whole)).await;
    let mut user = system.administrator().await;
    let first = asked(&mut user, wish("gpu")).await;
    user.until(&first, "ready").await;
    let second = asked(&mut user, wish("gpu")).await;
    waiting(&user, &second).await;
    let path = format!("/api/v1/desktops/{second}");
    let both = Some(json!({ "name": "y", "size": "small" }));
    user.send(Method::PATCH, &path, both).await.refused(400, "invalid");
    let none = Some(json!({ "size": "none" }));
    user.send(Method::PATCH, &path, none).await.refused(400, "invalid_size");
    let small = Some(json!({ "size": "small" }));
    user.send(Method::PATCH, &path, small.clone()).await.expect(200);
    let ready = user.until(&second, "ready").await;
    assert_eq!(ready["size"]["id"], "small");
    user.send(Method::PATCH, &path, small).await.refused(409, "not_now");
    system.stop().await;
}

#[tokio::test]
async fn a_node_whose_monitor_is_silent_gives_no_cards() {
    let sim = sim(1, 1, &Partitioning::Whole);
    let system = System::start_over(sim.clone()).await;
    let mut user = system.administrator().await;
    let mut record = NodeRecord {
        machine: Some("m".to_owned()),
        generation: 1,
        sampled: Some(system.clock.now()),
        received: Some(system.clock.now()),
        interval_s: 10,
        facts: Some(NodeFacts::default()),
        cards: sim.true_nodes()[0].cards.clone(),
        ..NodeRecord::new(sim.true_nodes()[0].name.clone())
    };
    assert!(system.app.store.put_node_report(&record, 0).await.unwrap());
    system.clock.advance(Duration::from_secs(31));
    let id = asked(&mut user, wish("gpu")).await;
    let told = waiting(&user, &id).await;
    assert_eq!(told["misfits"], json!([{ "code": "stale", "nodes": 1 }]));
    user.ready_desktop("without cards").await;
    record.generation = 2;
    record.received = Some(system.clock.now());
    assert!(system.app.store.put_node_report(&record, 1).await.unwrap());
    user.until(&id, "ready").await;
    system.stop().await;
}

#[tokio::test]
async fn a_card_that_strangers_hold_is_not_given() {
    let sim = sim(1, 1, &Partitioning::Whole);
    let system = System::start_over(sim.clone()).await;
    let mut user = system.administrator().await;
    let mut cards = sim.true_nodes()[0].cards.clone();
    cards[0].state = beamdesk_types::CardState::Assigned;
    cards[0].owner = Some("somebody's virtual machine".to_owned());
    let record = NodeRecord {
        generation: 1,
        received: Some(system.clock.now()),
        interval_s: 3600,
        facts: Some(NodeFacts::default()),
        cards,
        ..NodeRecord::new(sim.true_nodes()[0].name.clone())
    };
    assert!(system.app.store.put_node_report(&record, 0).await.unwrap());
    let id = asked(&mut user, wish("gpu")).await;
    let told = waiting(&user, &id).await;
    assert_eq!(told["misfits"], json!([{ "code": "gpus", "nodes": 1 }]));
    assert_eq!(system.app.store.claims().await.unwrap(), []);
    system.stop().await;
}

#[tokio::test]
async fn a_node_in_maintenance_gets_nobody_until_it_is_back() {
    let system = System::start_over(sim(1, 1, &Partitioning::Whole)).await;
    let mut user = system.administrator().await;
    let path = format!("/api/v1/nodes/{}/maintenance", system.sim.true_nodes()[0].name);
    let body = |maintenance: bool| Some(json!({ "maintenance": maintenance }));
    user.send(Method::PUT, &path, body(true)).await;
    let id = user.new_desktop("x").await;
    let told = waiting(&user, &id).await;
    assert_eq!(told["misfits"], json!([{ "code": "maintenance", "nodes": 1 }]));
    user.send(Method::PUT, &path, body(false)).await;
    user.until(&id, "ready").await;
    system.stop().await;
}

#[tokio::test]
async fn a_node_that_has_no_room_after_all_is_left_alone_and_another_taken() {
    let system = System::start_over(sim(2, 1, &Partitioning::Whole)).await;
    let mut user = system.administrator().await;
    system.sim.order(Fault::NoCapacity);
    let id = asked(&mut user, wish("gpu")).await;
    user.until(&id, "ready").await;
    let servers = system.sim.servers();
    let claims = system.app.store.claims().await.unwrap();
    assert_eq!((servers.len(), claims.len()), (1, 1));
    assert_eq!(servers[0].node, claims[0].claim.node);
    assert_eq!(servers[0].cards, claims[0].claim.cards);
    system.stop().await;
}

#[tokio::test]
async fn a_station_has_its_nodes_for_itself() {
    let system = System::start_over(sim(2, 1, &Partitioning::Whole)).await;
    let mut user = system.administrator().await;
    let kept = system.sim.true_nodes()[0].name.to_string();
    let station = json!({ "id": "b7", "name": "B7", "nodes": [kept],
        "gpu": { "count": 1, "memory_mib": 8192 } });
    user.post("/api/v1/stations", station).await.expect(201);
    let mut hers = wish("small");
    hers["station"] = json!("b7");
    let hers = asked(&mut user, hers).await;
    let ready = user.until(&hers, "ready").await;
    assert_eq!((&ready["node"], &ready["gpu"]["count"]), (&json!(kept), &json!(1)));
    assert_eq!(ready["station"], json!({ "id": "b7", "name": "B7" }));
    let one = asked(&mut user, wish("gpu")).await;
    let ready = user.until(&one, "ready").await;
    assert_ne!(ready["node"], json!(kept));
    let two = asked(&mut user, wish("gpu")).await;
    let told = waiting(&user, &two).await;
    let misfits = json!([{ "code": "station", "nodes": 1 }, { "code": "gpus", "nodes": 1 }]);
    assert_eq!(told["misfits"], misfits);
    let mut none = wish("small");
    none["station"] = json!("b8");
    user.delete(&format!("/api/v1/desktops/{two}")).await.expect(202);
    user.until_it(&two, Value::is_null, "deleted").await;
    user.post("/api/v1/desktops", none).await.refused(400, "invalid_station");
    system.stop().await;
}

#[tokio::test]
async fn two_portals_never_give_one_card_twice() {
    let sim = sim(2, 1, &Partitioning::Whole);
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("beamdesk.db").display());
    let one = System::start_with(sim.clone(), Store::open(&url).await.unwrap()).await;
    let mut user = one.administrator().await;
    let other = System::start_with(sim.clone(), Store::open(&url).await.unwrap()).await;
    let mut same = other.log_in("root").await;
    let mut ids = Vec::new();
    for round in 0..4 {
        let asks = if round % 2 == 0 { &mut user } else { &mut same };
        ids.push(asked(asks, wish("gpu")).await);
    }
    for _ in 0..6 {
        let is_on = |id: &String, phase: &str, list: &Value| {
            let desktops = list["desktops"].as_array().unwrap();
            desktops.iter().any(|d| d["id"] == **id && d["phase"] == phase)
        };
        let mut events = user.events("").await;
        let list = loop {
            let list = events.next().await.unwrap();
            if ids.iter().filter(|id| is_on(id, "ready", &list)).count() == 2 {
                break list;
            }
        };
        let held = claimed(&one.app.store).await;
        assert!(held.values().all(|&share| share == 1000), "{held:?}");
        let gone = ids.iter().position(|id| is_on(id, "ready", &list)).unwrap();
        let gone = ids.remove(gone);
        same.delete(&format!("/api/v1/desktops/{gone}")).await.expect(202);
        user.until_it(&gone, Value::is_null, "deleted").await;
        ids.push(asked(&mut user, wish("gpu")).await);
    }
    let servers = sim.servers();
    assert!(servers.iter().all(|server| server.cards.len() == 1), "{servers:?}");
    other.stop().await;
    one.stop().await;
}

#[tokio::test]
async fn a_desktop_that_ran_without_a_claim_gets_one() {
    let system = System::start_over(sim(1, 1, &Partitioning::Whole)).await;
    let mut user = system.administrator().await;
    let id = asked(&mut user, wish("gpu")).await;
    user.until(&id, "ready").await;
    let before = system.app.store.claims().await.unwrap();
    assert!(system.app.store.release_claim(id.parse().unwrap()).await.unwrap());
    // Renaming it makes the portal look at once.
    let name = Some(json!({ "name": "again" }));
    user.send(Method::PATCH, &format!("/api/v1/desktops/{id}"), name).await.expect(200);
    let claims = async {
        loop {
            let claims = system.app.store.claims().await.unwrap();
            if !claims.is_empty() {
                return claims;
            }
            tokio::task::yield_now().await;
        }
    };
    let claims = tokio::time::timeout(crate::system::DEADLINE, claims).await.expect("adopted");
    assert_eq!(claims[0].claim, before[0].claim);
    system.stop().await;
}

#[tokio::test]
async fn the_policy_is_chosen_by_an_administrator_and_kept() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let view = root.get("/api/v1/placement").await.expect(200);
    assert_eq!(view["settings"]["policy"], view["default_policy"]);
    assert!(view["policies"].as_array().unwrap().len() >= 12);
    let put = |body: Value| (Method::PUT, "/api/v1/placement", Some(body));
    for (body, code) in [
        (json!({ "policy": "none" }), "invalid_policy"),
        (json!({ "policy": "fit", "cpu_weight": -1.0 }), "invalid"),
        (
            json!({ "policy": "fit", "guard": { "vcpus_per_card": 5000, "memory_mib_per_card": 0 } }),
            "invalid",
        ),
    ] {
        let (method, path, body) = put(body);
        root.send(method, path, body).await.refused(400, code);
    }
    let chosen = json!({ "policy": "fit", "cpu_weight": 0.7, "memory_weight": 0.3, "guard": null,
        "gpu_additions": true });
    let (method, path, body) = put(chosen.clone());
    root.send(method, path, body).await.expect(200);
    let store = system.stop().await;
    let system =
        System::start_with(Arc::new(Sim::new(1, Sim::equal_nodes(1, 4, 8192, 100))), store).await;
    let mut root = system.log_in("root").await;
    assert_eq!(root.get("/api/v1/placement").await.expect(200)["settings"], chosen);
    root.ready_desktop("placed by it").await;
    system.stop().await;
}

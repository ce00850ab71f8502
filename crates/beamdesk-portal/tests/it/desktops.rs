//! The life of a desktop through the API, over a simulated cloud.

use std::{sync::Arc, time::Duration};

use beamdesk_cloud::{
    PowerState,
    sim::{Fault, Faults, Pace, Sim},
};
use beamdesk_store::Store;
use serde_json::json;

use crate::system::{DESKTOPS_MAX, GATEWAY_ORIGIN, System};

#[tokio::test]
async fn a_desktop_lives_from_request_to_deletion() {
    let system = System::start().await;
    let mut user = system.administrator().await;
    let id = user.new_desktop("first").await;
    let ready = user.until(&id, "ready").await;
    assert_eq!(ready["name"], "first");
    assert_eq!(ready["owner"]["name"], "root");
    assert_eq!(ready["image"]["name"], "Simulated desktop");
    assert_eq!(ready["size"]["vcpus"], 1);
    assert_eq!(ready["generation"], 1);
    assert_eq!(ready["may"]["connect"], true);
    assert_eq!(ready["may"]["start"], false);
    assert!(ready["progress"].is_null() && ready["failure"].is_null());

    let path = format!("/api/v1/desktops/{id}");
    let ticket = user.order(&format!("{path}/tickets")).await.expect(201);
    assert_eq!(ticket["connect_url"], format!("{GATEWAY_ORIGIN}/connect"));
    assert!(ticket["ticket"].as_str().unwrap().len() >= 43);

    user.order(&format!("{path}/restart")).await.expect(202);
    let again =
        user.until_it(&id, |d| d["phase"] == "ready" && d["generation"] == 2, "restarted").await;
    assert_eq!(again["may"]["restart"], true);

    user.order(&format!("{path}/stop")).await.expect(202);
    let stopped = user.until(&id, "stopped").await;
    assert_eq!(stopped["may"]["start"], true);
    assert_eq!(stopped["may"]["connect"], false);
    assert_eq!(system.sim.servers()[0].state, PowerState::Off);
    user.order(&format!("{path}/tickets")).await.refused(409, "desktop_not_ready");
    user.order(&format!("{path}/restart")).await.refused(409, "not_now");

    user.order(&format!("{path}/start")).await.expect(202);
    let started = user.until(&id, "ready").await;
    assert_eq!(started["generation"], 3);

    let renamed = user.send(reqwest::Method::PATCH, &path, Some(json!({ "name": " neu " }))).await;
    assert_eq!(renamed.expect(200)["name"], "neu");

    user.delete(&path).await.expect(202);
    user.until_it(&id, serde_json::Value::is_null, "deleted").await;
    user.get(&path).await.refused(404, "not_found");
    assert!(system.sim.servers().is_empty());
    system.stop().await;
}

#[tokio::test]
async fn delete_wins_while_it_is_being_made() {
    let system = System::start().await;
    let mut user = system.administrator().await;
    system.sim.order(Fault::BuildStuck);
    let id = user.new_desktop("doomed").await;
    let building = user.until(&id, "building").await;
    assert_eq!(building["progress"], json!({ "step": 2, "steps": 3 }));
    let path = format!("/api/v1/desktops/{id}");
    user.delete(&path).await.expect(202);
    user.order(&format!("{path}/start")).await;
    user.until_it(&id, serde_json::Value::is_null, "deleted").await;
    assert!(system.sim.servers().is_empty());
    system.stop().await;
}

#[tokio::test]
async fn a_desktop_without_room_says_why_and_comes_when_there_is_some() {
    let system = System::start().await;
    let mut user = system.administrator().await;
    let ask = |size: &str| json!({ "name": "x", "image": "sim-desktop", "size": size });
    let mut huge = Vec::new();
    for _ in 0..3 {
        let made = user.post("/api/v1/desktops", ask("huge")).await.expect(201);
        huge.push(made["id"].as_str().unwrap().to_owned());
    }
    user.until(&huge[0], "ready").await;
    user.until(&huge[1], "ready").await;
    let misfits = json!([{ "code": "vcpus", "nodes": 2 }]);
    let is_told = |d: &serde_json::Value| d["waiting"]["misfits"] == misfits;
    let waiting = user.until_it(&huge[2], is_told, "waiting").await;
    let told = &waiting["waiting"];
    assert_eq!(
        (&told["place"], &told["queue_length"], &told["nodes"]),
        (&json!(1), &json!(1), &json!(2))
    );
    assert_eq!((&told["never"], &told["nearest"]), (&json!(false), &json!([])), "all is taken");
    assert!(told.get("estimate").is_none(), "both others run without end: {told}");
    assert_eq!(waiting["phase"], "pending");
    assert_eq!(waiting["progress"]["step"], 1);

    let offers = user.get("/api/v1/offers").await.expect(200);
    assert_eq!(offers["free"]["vcpus"], 0);
    assert_eq!(offers["quota"], json!({ "desktops_max": DESKTOPS_MAX, "desktops": 3 }));
    let sizes = offers["sizes"].as_array().unwrap();
    let small = sizes.iter().find(|offer| offer["size"]["id"] == "small").unwrap();
    assert_eq!(small["fits_now"], false);
    assert_eq!(small["misfits"], json!([{ "code": "vcpus", "nodes": 2 }]));

    user.delete(&format!("/api/v1/desktops/{}", huge[0])).await.expect(202);
    user.until(&huge[2], "ready").await;
    system.stop().await;
}

#[tokio::test]
async fn a_failed_desktop_says_why_and_can_be_tried_again() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut user = system.account(&mut root, "ada", "user").await;
    for _ in 0..3 {
        system.sim.order(Fault::BuildError);
    }
    let id = user.new_desktop("unlucky").await;
    let failed = user.until(&id, "failed").await;
    assert_eq!(failed["failure"], json!({ "code": "build_failed" }), "causes are for operators");
    assert_eq!(failed["may"]["retry"], true);
    let path = format!("/api/v1/desktops/{id}");
    let told = root.get(&path).await.expect(200);
    assert_eq!(told["failure"]["detail"], "simulated build error");
    user.order(&format!("{path}/retry")).await.expect(202);
    let ready = user.until(&id, "ready").await;
    assert!(ready["failure"].is_null());
    assert_eq!(system.sim.servers().len(), 1);
    system.stop().await;
}

#[tokio::test]
async fn a_cloud_that_loses_answers_gets_no_second_server() {
    let system = System::start().await;
    let mut user = system.administrator().await;
    system.sim.set_faults(Faults { lost_answer: 500, unavailable: 50, ..Faults::default() });
    let mut ids = Vec::new();
    for n in 0..DESKTOPS_MAX {
        ids.push(user.new_desktop(&format!("d{n}")).await);
    }
    for id in &ids {
        user.until(id, "ready").await;
    }
    assert_eq!(system.sim.servers().len(), ids.len());
    system.stop().await;
}

#[tokio::test]
async fn one_that_is_stuck_stops_nobody_else() {
    let system = System::start().await;
    let mut user = system.administrator().await;
    system.sim.order(Fault::BuildStuck);
    let stuck = user.new_desktop("stuck").await;
    user.until(&stuck, "building").await;
    user.ready_desktop("quick").await;
    system.stop().await;
}

#[tokio::test]
async fn a_restarted_portal_finds_all_as_it_was() {
    let system = System::start().await;
    let mut user = system.administrator().await;
    let running = user.ready_desktop("running").await;
    let stopped = user.ready_desktop("stopped").await;
    user.order(&format!("/api/v1/desktops/{stopped}/stop")).await.expect(202);
    user.until(&stopped, "stopped").await;
    let sim = system.sim.clone();
    // An orderly end stops the servers too; how often that happens must not count against them.
    let mut store = system.stop().await;
    for _ in 0..4 {
        sim.pull_plug(running.parse().unwrap());
        let system = System::start_with(sim.clone(), store).await;
        let mut user = system.log_in("root").await;
        user.until_it(
            &running,
            |d| {
                d["phase"] == "ready" && {
                    let servers = system.sim.servers();
                    servers
                        .iter()
                        .any(|s| s.desktop.to_string() == running && s.state == PowerState::Active)
                }
            },
            "ready again",
        )
        .await;
        let there = user.get(&format!("/api/v1/desktops/{stopped}")).await.expect(200);
        assert_eq!(there["phase"], "stopped");
        store = system.stop().await;
    }
    assert_eq!(sim.servers().len(), 2);
}

#[tokio::test]
async fn a_request_that_an_earlier_portal_began_is_adopted() {
    let sim = Arc::new(Sim::new(7, Sim::equal_nodes(1, 4, 8192, 100)));
    sim.set_pace(Pace { build: Duration::from_secs(5), ..Pace::default() });
    let system = System::start_over(sim.clone()).await;
    let mut user = system.administrator().await;
    let id = user.new_desktop("half").await;
    user.until_it(&id, |_| sim.servers().len() == 1, "begun").await;
    let store = system.stop().await;
    let system = System::start_with(sim.clone(), store).await;
    let user = system.log_in("root").await;
    sim.tick(Duration::from_secs(5));
    let ready = user.until(&id, "ready").await;
    assert_eq!(ready["generation"], 1, "the same server");
    assert_eq!(sim.servers().len(), 1);
    system.stop().await;
}

#[tokio::test]
async fn the_quota_holds_under_a_race() {
    let system = System::start().await;
    let user = system.administrator().await;
    let body = json!({ "name": "x", "image": "sim-desktop", "size": "small" });
    let asked = (0..12).map(|_| {
        let request = user
            .request(reqwest::Method::POST, "/api/v1/desktops")
            .header("x-beamdesk", "1")
            .json(&body);
        async move { request.send().await.unwrap().status().as_u16() }
    });
    let statuses = futures_util::future::join_all(asked).await;
    let made = statuses.iter().filter(|status| **status == 201).count();
    let refused = statuses.iter().filter(|status| **status == 409).count();
    assert_eq!((made, refused), (DESKTOPS_MAX as usize, 12 - DESKTOPS_MAX as usize));
    system.stop().await;
}

#[tokio::test]
async fn an_event_stream_ends_with_its_session() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut user = system.account(&mut root, "ada", "user").await;
    let mut events = user.events("").await;
    assert_eq!(events.next().await.unwrap(), json!({ "desktops": [] }));
    user.delete("/api/v1/session").await.expect(204);
    let ended = tokio::time::timeout(crate::system::DEADLINE, events.next()).await;
    assert_eq!(ended.expect("ends soon"), None);
    system.stop().await;
}

#[tokio::test]
async fn operators_see_everybody_and_connect_to_nobody() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut ada = system.account(&mut root, "ada", "user").await;
    let mut olaf = system.account(&mut root, "olaf", "operator").await;
    let id = ada.ready_desktop("hers").await;
    let path = format!("/api/v1/desktops/{id}");
    assert_eq!(olaf.get("/api/v1/desktops").await.expect(200), json!({ "desktops": [] }));
    let all = olaf.get("/api/v1/desktops?all=true").await.expect(200);
    let seen = &all["desktops"][0];
    assert_eq!(seen["owner"]["name"], "ada");
    assert!(seen["node"].as_str().unwrap().starts_with("sim-"));
    assert_eq!(seen["may"]["connect"], false);
    olaf.order(&format!("{path}/tickets")).await.refused(403, "forbidden");
    olaf.order(&format!("{path}/stop")).await.expect(202);
    ada.until(&id, "stopped").await;
    let own = ada.get(&path).await.expect(200);
    assert!(own.get("node").is_none(), "hosts are for operators: {own}");
    system.stop().await;
}

#[tokio::test]
async fn a_silent_agent_fails_the_desktop_and_a_retry_starts_it_anew() {
    let system = System::start().await;
    let mut user = system.administrator().await;
    system.sim.order(Fault::AgentSilent);
    let id = user.new_desktop("mute").await;
    user.until(&id, "booting").await;
    system.clock.advance(Duration::from_secs(200));
    let failed = user.until(&id, "failed").await;
    assert_eq!(failed["failure"]["code"], "agent_silent");
    assert_eq!(system.sim.servers().len(), 1, "an operator may look inside");
    user.order(&format!("/api/v1/desktops/{id}/retry")).await.expect(202);
    let ready = user.until(&id, "ready").await;
    assert_eq!(ready["generation"], 2);
    system.stop().await;
}

#[tokio::test]
async fn a_desktop_that_dies_under_its_user_comes_back() {
    let system = System::start().await;
    let mut user = system.administrator().await;
    let id = user.ready_desktop("x").await;
    system.sim.pull_plug(id.parse().unwrap());
    let again = user.until_it(&id, |d| d["generation"] == 2 && d["phase"] == "ready", "back").await;
    assert!(again["failure"].is_null());
    system.stop().await;
}

#[tokio::test]
async fn a_portal_killed_at_any_moment_loses_and_leaks_nothing() {
    // A file: a database in memory goes with the connection that a kill cuts off.
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("beamdesk.db").display());
    let sim = Arc::new(Sim::new(1, Sim::equal_nodes(2, 16, 65_536, 1000)));
    let mut system = System::start_with(sim, Store::open(&url).await.unwrap()).await;
    let mut root = system.administrator().await;
    let kept = root.ready_desktop("kept").await;
    // A little later each round: from the request's answer to after all is done.
    for round in 0..40_u32 {
        let mut user = system.log_in("root").await;
        let id = user.new_desktop(&format!("round {round}")).await;
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        if round % 2 == 0 {
            user.delete(&format!("/api/v1/desktops/{id}")).await.expect(202);
        }
        system = system.kill().await;
        let mut user = system.log_in("root").await;
        if round % 2 == 1 {
            user.until(&id, "ready").await;
            user.delete(&format!("/api/v1/desktops/{id}")).await.expect(202);
        }
        user.until_it(&id, serde_json::Value::is_null, "deleted").await;
    }
    let servers = system.sim.servers();
    assert_eq!(servers.len(), 1, "{servers:?}");
    assert_eq!(servers[0].desktop.to_string(), kept);
    let user = system.log_in("root").await;
    user.until(&kept, "ready").await;
    system.stop().await;
}

#[tokio::test]
async fn a_session_nobody_uses_ends_and_its_event_stream_too() {
    let system = System::start().await;
    let mut user = system.administrator().await;
    let mut events = user.events("").await;
    events.next().await.unwrap();
    system.clock.advance(Duration::from_secs(31 * 60));
    let ended = tokio::time::timeout(crate::system::DEADLINE, events.next()).await;
    assert_eq!(ended.expect("ends soon"), None, "watching is not using");
    user.get("/api/v1/session").await.refused(401, "unauthenticated");
    system.stop().await;
}

#[tokio::test]
async fn one_session_has_a_bounded_number_of_event_streams() {
    let system = System::start().await;
    let mut user = system.administrator().await;
    let mut open = Vec::new();
    for _ in 0..32 {
        open.push(user.events("").await);
    }
    user.get("/api/v1/events").await.refused(429, "too_many");
    // Places are given back as soon as the portal notices that the other side is gone.
    drop(open);
    let again = async {
        loop {
            let request = user.request(reqwest::Method::GET, "/api/v1/events");
            if request.send().await.unwrap().status() == 200 {
                return;
            }
        }
    };
    tokio::time::timeout(crate::system::DEADLINE, again).await.expect("a place is free again");
    system.stop().await;
}

#[tokio::test]
async fn a_desktop_that_dies_again_and_again_is_not_started_for_ever() {
    let system = System::start().await;
    let mut user = system.administrator().await;
    let id = user.ready_desktop("x").await;
    let path = format!("/api/v1/desktops/{id}");
    for generation in [2, 3] {
        system.sim.pull_plug(id.parse().unwrap());
        // Renaming it makes the portal look at once.
        let name = Some(json!({ "name": format!("x{generation}") }));
        user.send(reqwest::Method::PATCH, &path, name).await.expect(200);
        let is_back =
            |d: &serde_json::Value| d["generation"] == generation && d["phase"] == "ready";
        user.until_it(&id, is_back, "back").await;
    }
    system.sim.pull_plug(id.parse().unwrap());
    let failed = user.until(&id, "failed").await;
    assert_eq!(failed["failure"]["code"], "agent_silent");
    system.stop().await;
}

//! What a cloud says of itself and of desktops: shown, and never more done than was asked.

use std::{sync::Arc, time::Duration};

use beamdesk_cloud::{
    Compute as _, ServerNote, ServerSpec,
    sim::{Fault, Pace, Sim},
};
use beamdesk_portal::Orphans;
use beamdesk_store::Store;
use beamdesk_types::{
    AgentConfig, AgentStart, DesktopId, GpuRequest, Image, Secret, SessionConfig, Size, UserId,
    WHOLE_CARD,
};
use serde_json::{Value, json};

use crate::system::System;

fn sim() -> Arc<Sim> {
    Arc::new(Sim::new(1, Sim::equal_nodes(2, 16, 65_536, 1000)))
}

/// A server of a desktop of which no database knows.
pub(crate) async fn unclaimed(sim: &Sim) -> DesktopId {
    let desktop = DesktopId::fresh();
    let spec = ServerSpec {
        desktop,
        owner: UserId::fresh(),
        node: "sim-001".parse().unwrap(),
        image: Image {
            id: "sim-desktop".parse().unwrap(),
            name: String::new(),
            description: String::new(),
            gpu: GpuRequest::default(),
            enabled: true,
        },
        size: Size {
            id: "small".parse().unwrap(),
            name: String::new(),
            vcpus: 1,
            memory_mib: 1024,
            disk_gib: 10,
            gpu: GpuRequest::default(),
            term_hours: 0,
            enabled: true,
        },
        cards: Vec::new(),
        share_milli: WHOLE_CARD,
        agent: AgentStart::Handed(AgentConfig {
            desktop,
            generation: 3,
            certificate: String::new(),
            key: Secret::new(String::new()),
            authority: String::new(),
            session: SessionConfig {
                name: String::new(),
                language: "en".to_owned(),
                width: 1,
                height: 1,
            },
        }),
    };
    sim.create(&spec).await.unwrap();
    desktop
}

#[tokio::test]
async fn a_restored_database_deletes_nothing_and_people_decide() {
    let system = System::start_over(sim()).await;
    let mut user = system.administrator().await;
    let old = user.ready_desktop("before the backup").await;
    let sim = system.sim.clone();
    system.stop().await;

    // The database of before: it knows nobody.
    let system =
        System::start_with(sim.clone(), Store::open("sqlite::memory:").await.unwrap()).await;
    drop(system.administrator().await);
    let mut orphans = Orphans::default();
    for _ in 0..3 {
        orphans.look(&system.app).await.unwrap();
        system.clock.advance(Duration::from_secs(600));
    }
    assert_eq!(sim.servers().len(), 1, "nothing was deleted");
    let mut root = system.log_in("root").await;
    let cloud = root.get("/api/v1/cloud").await.expect(200);
    assert_eq!(cloud["unclaimed_total"], 1);
    let shown = &cloud["unclaimed"][0];
    assert_eq!((&shown["desktop"], &shown["state"]), (&json!(old), &json!("active")));
    assert_eq!((&shown["image"], &shown["size"]), (&json!("sim-desktop"), &json!("small")));
    assert!(shown["owner"].is_string(), "{shown}");
    assert!(cloud["inventory"].is_null() && cloud["trouble"].is_null());

    // Its owner has another account by now.
    let me = root.get("/api/v1/session").await.expect(200)["user"]["id"].clone();
    let path = format!("/api/v1/cloud/unclaimed/{old}");
    let body = |owner: &Value, size: &str| json!({ "owner": owner, "image": "sim-desktop", "size": size, "name": "found again" });
    root.post(&path, body(&shown["owner"], "small")).await.refused(400, "invalid");
    root.post(&path, body(&me, "nowhere")).await.refused(400, "invalid_size");
    root.post(&path, body(&me, "small")).await.expect(204);
    let found = root.until(&old, "ready").await;
    assert_eq!((&found["name"], &found["generation"]), (&json!("found again"), &json!(1)));
    assert_eq!(sim.servers().len(), 1, "the same server");
    assert_eq!(system.app.store.claims().await.unwrap().len(), 1, "and what it has is its own");
    root.post(&path, body(&me, "small")).await.refused(404, "not_found");
    let audit = root.get("/api/v1/audit").await.expect(200).to_string();
    assert!(audit.contains("server_adopted"), "{audit}");
    system.stop().await;
}

#[tokio::test]
async fn a_server_that_nobody_claims_is_deleted_when_an_administrator_says_so() {
    let system = System::start_over(sim()).await;
    let mut root = system.administrator().await;
    let nobody = unclaimed(&system.sim).await;
    let mine = root.ready_desktop("mine").await;
    let path = format!("/api/v1/cloud/unclaimed/{nobody}");
    root.delete(&format!("/api/v1/cloud/unclaimed/{mine}")).await.refused(404, "not_found");
    root.delete(&path).await.expect(204);
    assert_eq!(system.sim.servers().len(), 1);
    root.delete(&path).await.refused(404, "not_found");
    system.stop().await;
}

#[tokio::test]
async fn the_server_of_a_deleted_desktop_goes_after_its_time() {
    let system = System::start_over(sim()).await;
    let mut root = system.administrator().await;
    let id = unclaimed(&system.sim).await;
    let owner = system.app.store.user_by_name("root").await.unwrap().unwrap().id;
    let now = beamdesk_types::Clock::now(system.clock.as_ref());
    let row = beamdesk_types::Desktop {
        id,
        phase: beamdesk_types::Phase::Deleted,
        ..crate::system::desktop(owner, now)
    };
    system.app.store.add_desktop(&row, u32::MAX).await.unwrap();
    let cloud = root.get("/api/v1/cloud").await.expect(200);
    assert_eq!(cloud["unclaimed_total"], 0, "it is known whose it was");
    let mut orphans = Orphans::default();
    orphans.look(&system.app).await.unwrap();
    assert_eq!(system.sim.servers().len(), 1, "seen once");
    system.clock.advance(Duration::from_secs(31));
    system.sim.set_note(id, Some(ServerNote::Rescued));
    orphans.look(&system.app).await.unwrap();
    assert_eq!(system.sim.servers().len(), 1, "somebody has it in hand");
    system.sim.set_note(id, None);
    orphans.look(&system.app).await.unwrap();
    system.clock.advance(Duration::from_secs(31));
    orphans.look(&system.app).await.unwrap();
    assert_eq!(system.sim.servers(), []);
    system.stop().await;
}

#[tokio::test]
async fn what_the_clouds_administrator_does_is_shown_and_left_alone() {
    let system = System::start_over(sim()).await;
    let mut root = system.administrator().await;
    let id = root.ready_desktop("held").await;
    let writes = system.sim.writes();
    let desktop = id.parse().unwrap();
    system.sim.set_note(desktop, Some(ServerNote::Paused));
    let held =
        root.until_it(&id, |d| d["cloud"]["state"] == "paused" && d["phase"] == "booting", "held");
    assert_eq!(held.await["may"]["connect"], false);
    assert_eq!(system.sim.writes(), writes, "nothing was done");
    system.sim.set_note(desktop, None);
    let free = root.until(&id, "ready").await;
    assert!(free["cloud"].is_null(), "{free}");
    assert_eq!((&free["generation"], system.sim.writes()), (&json!(1), writes));
    system.stop().await;
}

#[tokio::test]
async fn a_trouble_says_who_can_mend_it_and_ends_with_it() {
    let system = System::start_over(sim()).await;
    let mut root = system.administrator().await;
    let mut user = system.account(&mut root, "ada", "user").await;
    system.sim.order(Fault::Quota);
    let id = user.new_desktop("waits").await;
    let told = user.until_it(&id, |d| d["cloud"]["trouble"] == "cloud_quota", "told why").await;
    assert_eq!(told["phase"], "pending");
    assert!(told["cloud"]["detail"].is_null(), "what the cloud said is for operators");
    let seen = root.get(&format!("/api/v1/desktops/{id}")).await.expect(200);
    assert!(seen["cloud"]["detail"].as_str().unwrap().contains("req-simulated"), "{seen}");
    // Ten seconds later it is tried again.
    let ready = user.until(&id, "ready").await;
    assert!(ready["cloud"].is_null(), "{ready}");

    for (fault, code) in [(Fault::ImageGone, "image_gone"), (Fault::FlavorChanged, "size_changed")]
    {
        system.sim.order(fault);
        let id = user.new_desktop(code).await;
        assert_eq!(user.until(&id, "failed").await["failure"]["code"], code);
    }
    // A host that was closed in between: another takes it.
    system.sim.order(Fault::NodeDisabled);
    let id = user.new_desktop("elsewhere").await;
    user.until(&id, "ready").await;
    system.stop().await;
}

#[tokio::test]
async fn no_more_are_begun_than_the_cloud_makes_at_once_and_the_others_are_told() {
    let sim = sim();
    sim.set_builds_max(1);
    sim.set_pace(Pace { build: Duration::from_secs(60), ..Pace::default() });
    let system = System::start_over(sim.clone()).await;
    let mut user = system.administrator().await;
    let first = user.new_desktop("first").await;
    user.until(&first, "building").await;
    let second = user.new_desktop("second").await;
    let third = user.new_desktop("third").await;
    let told = user.until_it(&third, |d| d["waiting"]["place"] == 2, "told its place").await;
    assert_eq!((&told["waiting"]["held"], &told["phase"]), (&json!("pace"), &json!("pending")));
    assert_eq!(sim.servers().len(), 1);
    sim.tick(Duration::from_secs(61));
    user.until(&second, "building").await;
    let told = user.until_it(&third, |d| d["waiting"]["place"] == 1, "told its place").await;
    assert_eq!(told["waiting"]["held"], "pace");
    assert_eq!(sim.servers().len(), 2);
    system.stop().await;
}

#[tokio::test]
async fn where_the_cloud_shows_no_hosts_desktops_go_to_those_that_report() {
    let sim = sim();
    sim.hide_nodes();
    let system = System::start_over(sim).await;
    let mut root = system.administrator().await;
    let id = root.new_desktop("waits").await;
    let waiting = root.until_it(&id, |d| d["waiting"].is_object(), "told that it waits").await;
    assert_eq!(waiting["waiting"]["nodes"], 0);
    let mut monitor = crate::srm::Monitor::of(&system, "sim-001");
    let report = monitor.full(&[]);
    monitor.taken(&report).await;
    let ready = root.until(&id, "ready").await;
    assert_eq!(ready["node"], "sim-001");
    let nodes = root.get("/api/v1/nodes").await.expect(200);
    let node = &nodes["nodes"][0];
    assert_eq!((&node["is_known"], &node["state"]), (&json!(true), &json!("open")));
    assert_eq!(node["node"]["vcpus_used"], 1);
    system.stop().await;
}

#[tokio::test]
async fn a_cloud_in_trouble_is_told_to_its_administrator() {
    let system = System::start_over(sim()).await;
    let mut root = system.administrator().await;
    let cloud = root.get("/api/v1/cloud").await.expect(200);
    assert_eq!(cloud["images"][0]["id"], "sim-desktop");
    assert_eq!(cloud["images"][0]["drift"], json!([]));
    let refused = root.order("/api/v1/cloud/sizes/small").await;
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("no flavors"));
    refused.refused(409, "cloud_refused");
    root.order("/api/v1/cloud/sizes/nowhere").await.refused(404, "not_found");
    root.order("/api/v1/cloud/images/nowhere").await.refused(404, "not_found");
    root.order("/api/v1/cloud/images/sim-desktop").await.expect(204);
    let id = root.ready_desktop("x").await;
    let log = root.get(&format!("/api/v1/desktops/{id}/console-log")).await.expect(200);
    assert!(log["text"].is_null(), "the simulated cloud keeps none");
    let console = root.order(&format!("/api/v1/desktops/{id}/console")).await.expect(200);
    assert!(console["url"].is_null());
    system.stop().await;
}

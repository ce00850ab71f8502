//! Monitors: how they are let in, what is believed of what they say, and what the portal does when it
//! is not.

use std::time::Duration;

use beamdesk_auth::Identity;
use beamdesk_types::{Claim, Clock, DesktopId, NodeName, Secret, Timestamp};
use serde_json::{Value, json};

use crate::{browser::Browser, system::System};

const REPORTS: &str = "/srm/v1/reports";

/// One monitor with an identity of its own.
pub(crate) struct Monitor<'a> {
    system: &'a System,
    pub(crate) node: NodeName,
    identity: Identity,
    generation: u64,
}

impl<'a> Monitor<'a> {
    pub(crate) fn of(system: &'a System, node: &str) -> Self {
        let node: NodeName = node.parse().unwrap();
        let identity = system.authority().monitor_identity(&node).unwrap();
        Self { system, node, identity, generation: 0 }
    }

    /// The next full report, with a machine of the node's name and these cards.
    pub(crate) fn full(&mut self, cards: &[Value]) -> Value {
        self.generation += 1;
        json!({
            "node": self.node, "machine": format!("machine-of-{}", self.node),
            "generation": self.generation, "sampled": self.system.clock.now(),
            "interval_s": 10, "version": "0.1.0",
            "content": { "kind": "full", "facts": facts(), "cards": cards },
        })
    }

    /// Posts it ten seconds after the one before.
    pub(crate) async fn post(&self, report: &Value) -> (u16, Value) {
        self.system.clock.advance(Duration::from_secs(10));
        self.post_now(&report.to_string()).await
    }

    pub(crate) async fn post_now(&self, body: &str) -> (u16, Value) {
        self.system.monitor(Some(&self.identity), REPORTS, body).await.unwrap()
    }

    pub(crate) async fn taken(&self, report: &Value) {
        let (status, answer) = self.post(report).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["wants_full"], false, "{answer}");
    }

    async fn refused(&self, report: &Value, status: u16, code: &str) {
        let (got, answer) = self.post(report).await;
        assert_eq!((got, &answer["error"]["code"]), (status, &json!(code)), "{answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|text| text.len() > 10));
    }
}

fn facts() -> Value {
    json!({ "cpus": 16, "cpu_model": "EPYC", "cpu_busy_permille": 250, "memory_mib": 65536,
        "memory_mib_used": 1024, "disk_gib": 1000, "disk_gib_used": 100 })
}

pub(crate) fn card(n: u32) -> Value {
    json!({ "address": format!("0000:{n:02x}:00.0"), "pci_id": "10de:2230", "model": "RTX A6000",
        "memory_mib": 49140, "cores": 10752, "bandwidth_gb_s": 768, "clock_mhz": 1800,
        "gflops": 38709, "numa_node": 0, "state": "free", "busy_percent": 7 })
}

/// What the administrator sees of this node.
pub(crate) async fn seen(root: &mut Browser, node: &str) -> Value {
    let list = root.get("/api/v1/nodes").await.expect(200);
    let nodes = list["nodes"].as_array().unwrap();
    nodes.iter().find(|view| view["node"]["name"] == node).cloned().unwrap_or(Value::Null)
}

async fn enrolment(root: &mut Browser, uses: u32) -> Value {
    root.post("/api/v1/nodes/enrolments", json!({ "uses": uses })).await.expect(201)
}

async fn enrol(system: &System, secret: &Value, node: &str, machine: &str) -> (u16, Value) {
    let body = json!({ "secret": secret, "node": node, "machine": machine });
    system.monitor(None, "/srm/v1/enrol", &body.to_string()).await.unwrap()
}

#[tokio::test]
async fn a_secret_becomes_an_identity_that_reports_and_is_renewed() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let made = enrolment(&mut root, 1).await;
    let command = made["command"].as_str().unwrap();
    assert!(command.contains("https://127.0.0.1:"), "{command}");
    assert!(!command.contains(made["secret"].as_str().unwrap()), "commands are seen by all");
    let (status, answer) = enrol(&system, &made["secret"], "sim-001", "m1").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["authority"], system.authority().authority_pem());
    let identity = Identity {
        certificate_pem: answer["certificate"].as_str().unwrap().to_owned(),
        key_pem: Secret::new(answer["key"].as_str().unwrap().to_owned()),
    };
    let mut monitor = Monitor { identity, ..Monitor::of(&system, "sim-001") };
    let mut report = monitor.full(&[card(1), card(2)]);
    report["machine"] = json!("m1");
    monitor.taken(&report).await;

    let view = seen(&mut root, "sim-001").await;
    assert_eq!(view["state"], "open", "{view}");
    assert_eq!(view["is_known"], true);
    assert_eq!(view["node"]["vcpus"], 16);
    assert_eq!(view["record"]["facts"]["cpu_model"], "EPYC");
    assert_eq!(view["record"]["age_s"], 0);
    assert_eq!(view["cards"].as_array().unwrap().len(), 2);
    assert_eq!(view["cards"][0]["model"], "RTX A6000");
    assert_eq!(view["cards"][0]["free_milli"], 1000);

    let (status, renewed) =
        system.monitor(Some(&monitor.identity), "/srm/v1/renew", "{}").await.unwrap();
    assert_eq!(status, 200, "{renewed}");
    assert_ne!(renewed["key"], answer["key"]);
    // The secret was for one.
    let (status, answer) = enrol(&system, &made["secret"], "sim-002", "m2").await;
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("wrong_secret")));
    let audit = root.get("/api/v1/audit").await.expect(200).to_string();
    assert!(audit.contains("node_enrolled") && audit.contains("enrolment_made"), "{audit}");
    assert!(!audit.contains(made["secret"].as_str().unwrap()));
    system.stop().await;
}

#[tokio::test]
async fn who_may_not_come_in_learns_why() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let secret = enrolment(&mut root, 100).await["secret"].clone();
    let code = async |secret: &Value, node: &str, machine: &str| {
        let (status, answer) = enrol(&system, secret, node, machine).await;
        (status, answer["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    let is = |status: u16, code: &str| (status, code.to_owned());
    for wrong in [json!(""), json!("x"), json!("x".repeat(1000))] {
        assert_eq!(code(&wrong, "sim-001", "m1").await, is(403, "wrong_secret"));
    }
    assert_eq!(code(&secret, "sim-001", "").await, is(400, "invalid_machine"));
    assert_eq!(code(&secret, "sim-001", &"m".repeat(129)).await, is(400, "invalid_machine"));
    assert_eq!(code(&secret, &"n".repeat(64), "m1").await, is(400, "invalid_name"));
    assert_eq!(code(&secret, "NODE", "m1").await.0, 400);
    assert_eq!(code(&secret, "sim-001", "m1").await.0, 200);
    assert_eq!(code(&secret, "sim-001", "m1").await.0, 200, "one that lost its state");
    assert_eq!(code(&secret, "sim-001", "m2").await, is(409, "machine"));
    assert_eq!(code(&secret, "sim-002", "m1").await, is(409, "twin"));
    assert_eq!(seen(&mut root, "sim-001").await["state"], "silent");

    // An operator cannot make a secret, and nobody a senseless one.
    let mut operator = system.account(&mut root, "op", "operator").await;
    operator.post("/api/v1/nodes/enrolments", json!({})).await.refused(403, "forbidden");
    for uses in [0, 1001] {
        root.post("/api/v1/nodes/enrolments", json!({ "uses": uses }))
            .await
            .refused(400, "invalid");
    }
    // Guessing is slowed down.
    let mut statuses = Vec::new();
    for _ in 0..60 {
        statuses.push(enrol(&system, &json!("guess"), "sim-001", "m1").await.0);
    }
    assert_eq!(statuses.last(), Some(&429));
    system.clock.advance(Duration::from_secs(1));
    assert_eq!(enrol(&system, &json!("guess"), "sim-001", "m1").await.0, 403);
    system.stop().await;
}

#[tokio::test]
async fn only_monitors_report() {
    let system = System::start().await;
    let mut monitor = Monitor::of(&system, "sim-001");
    let report = monitor.full(&[]).to_string();
    let authority = system.authority();
    let gateway = authority.gateway_identity(&crate::system::gateway()).unwrap();
    let agent = authority.agent_identity(DesktopId::fresh(), 1).unwrap();
    for path in [REPORTS, "/srm/v1/renew"] {
        for identity in [None, Some(&gateway)] {
            let (status, answer) = system.monitor(identity, path, &report).await.unwrap();
            assert_eq!((status, &answer["error"]["code"]), (403, &json!("not_a_monitor")));
        }
        // An agent's certificate is no client's: TLS refuses it.
        system.monitor(Some(&agent), path, &report).await.unwrap_err();
    }
    // And a monitor is no gateway.
    let body = json!({ "ticket": "x", "bind": "x" });
    let answer = system.internal_as(&monitor.identity, "/internal/v1/tickets/redeem", &body).await;
    assert_eq!(answer.unwrap().0, 403);
    system.stop().await;
}

#[tokio::test]
async fn changes_build_on_what_the_portal_has() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut monitor = Monitor::of(&system, "sim-001");
    let changes = |generation: u64, since: u64, content: Value| {
        let mut all = json!({ "kind": "changes", "since": since });
        all.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
        json!({ "node": "sim-001", "machine": "machine-of-sim-001", "generation": generation,
            "sampled": system.clock.now(), "interval_s": 10, "version": "0.1.0", "content": all })
    };
    let (status, answer) = monitor.post(&changes(1, 0, json!({}))).await;
    assert_eq!((status, &answer["wants_full"]), (200, &json!(true)));
    // All of it at once is no flood.
    let all = monitor_full(&mut monitor, 5);
    monitor.taken(&all).await;
    let mut held = card(2);
    held["state"] = json!("assigned");
    held["owner"] = json!("vm-1");
    let next = changes(6, 5, json!({ "cards": [held, card(3)], "gone": ["0000:01:00.0"] }));
    monitor.taken(&next).await;
    let view = seen(&mut root, "sim-001").await;
    let cards: Vec<_> = view["cards"].as_array().unwrap().iter().map(|c| &c["address"]).collect();
    assert_eq!(cards, ["0000:02:00.0", "0000:03:00.0"]);
    assert_eq!(view["cards"][0]["free_milli"], 0, "somebody else holds it");
    // Nothing new: only its age is.
    system.clock.advance(Duration::from_secs(20));
    monitor.taken(&changes(7, 6, json!({}))).await;
    let view = seen(&mut root, "sim-001").await;
    assert_eq!((&view["record"]["age_s"], &view["state"]), (&json!(0), &json!("open")));
    // What was lost is asked for again.
    let (_, answer) = monitor.post(&changes(9, 8, json!({ "gone": ["0000:02:00.0"] }))).await;
    assert_eq!(answer["wants_full"], true);
    // Silent for more than three intervals.
    system.clock.advance(Duration::from_secs(31));
    assert_eq!(seen(&mut root, "sim-001").await["state"], "stale");
    system.stop().await;
}

fn monitor_full(monitor: &mut Monitor<'_>, generation: u64) -> Value {
    monitor.generation = generation - 1;
    monitor.full(&[card(1), card(2)])
}

/// A change to a good report, and what it must lead to.
struct Lie {
    what: &'static str,
    status: u16,
    code: &'static str,
    lie: fn(&mut Value),
}

#[tokio::test]
async fn a_monitor_that_lies_is_shown_and_gets_no_desktops_until_somebody_looked() {
    let lies = [
        Lie {
            what: "another's name",
            status: 403,
            code: "name",
            lie: |r| r["node"] = json!("sim-002"),
        },
        Lie {
            what: "another machine",
            status: 409,
            code: "machine",
            lie: |r| r["machine"] = json!("m2"),
        },
        Lie {
            what: "negative memory",
            status: 400,
            code: "unreadable",
            lie: |r| {
                r["content"]["facts"]["memory_mib"] = json!(-1);
            },
        },
        Lie {
            what: "memory of 2^64",
            status: 400,
            code: "absurd",
            lie: |r| {
                r["content"]["facts"]["memory_mib"] = json!(u64::MAX);
            },
        },
        Lie {
            what: "ten thousand cards",
            status: 400,
            code: "absurd",
            lie: |r| {
                r["content"]["cards"] = (0..10_000).map(card).collect();
            },
        },
        Lie {
            what: "300 cards",
            status: 400,
            code: "absurd",
            lie: |r| {
                r["content"]["cards"] = (0..300).map(card).collect();
            },
        },
        Lie {
            what: "one card twice",
            status: 400,
            code: "absurd",
            lie: |r| {
                r["content"]["cards"] = json!([card(1), card(1)]);
            },
        },
        Lie {
            what: "a field nobody knows",
            status: 400,
            code: "unreadable",
            lie: |r| r["x"] = json!(1),
        },
        Lie {
            what: "an hour ahead",
            status: 400,
            code: "clock",
            lie: |r| {
                let sampled: Timestamp = r["sampled"].as_str().unwrap().parse().unwrap();
                r["sampled"] = json!(sampled + Duration::from_secs(3600));
            },
        },
        Lie {
            what: "an hour behind",
            status: 400,
            code: "clock",
            lie: |r| {
                let sampled: Timestamp = r["sampled"].as_str().unwrap().parse().unwrap();
                r["sampled"] = json!(sampled - Duration::from_secs(3600));
            },
        },
    ];
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut monitor = Monitor::of(&system, "sim-001");
    for Lie { what, status, code, lie } in lies {
        let good = monitor.full(&[card(1)]);
        monitor.taken(&good).await;
        assert_eq!(seen(&mut root, "sim-001").await["state"], "open", "before {what}");
        let mut report = monitor.full(&[card(1)]);
        lie(&mut report);
        monitor.refused(&report, status, code).await;
        let view = seen(&mut root, "sim-001").await;
        assert_eq!(
            (&view["state"], &view["quarantine"]["code"]),
            (&json!("quarantined"), &json!(code)),
            "{what}"
        );
        assert!(view["quarantine"]["detail"].as_str().unwrap().len() > 10, "{what}");
        assert_eq!(seen(&mut root, "sim-002").await["quarantine"], Value::Null, "{what}");
        // The claim itself is refused: even a plan made a moment ago comes to nothing.
        assert!(!claim(&system, &mut root, "sim-001").await, "{what}");

        let good = monitor.full(&[card(1)]);
        monitor.taken(&good).await;
        let heals = code == "clock" || code == "unreadable";
        let state = if heals { "open" } else { "quarantined" };
        assert_eq!(seen(&mut root, "sim-001").await["state"], state, "after {what}");
        if !heals {
            root.delete("/api/v1/nodes/sim-001/quarantine").await.expect(204);
            assert_eq!(seen(&mut root, "sim-001").await["state"], "open", "after {what}");
        }
    }
    let audit = root.get("/api/v1/audit").await.expect(200).to_string();
    for action in ["node_quarantined", "node_believed", "node_quarantine_lifted"] {
        assert!(audit.contains(action), "{action}");
    }
    system.stop().await;
}

/// Whether a desktop that wants a card may claim one there; what it got it gives back.
async fn claim(system: &System, root: &mut Browser, node: &str) -> bool {
    let store = &system.app.store;
    let owner = store.user_by_name("root").await.unwrap().unwrap().id;
    let now = system.clock.now();
    let desktop = crate::system::desktop(owner, now);
    store.add_desktop(&desktop, u32::MAX).await.unwrap();
    let node: NodeName = node.parse().unwrap();
    let revision = store.claims_revisions().await.unwrap().get(&node).copied().unwrap_or(0);
    let cards = vec!["0000:01:00.0".parse().unwrap()];
    let claim = Claim {
        desktop: desktop.id,
        node,
        vcpus: 1,
        memory_mib: 1,
        disk_gib: 1,
        cards,
        share_milli: 1000,
    };
    let is_claimed = store.claim(&claim, revision, now).await.unwrap();
    store.release_claim(desktop.id).await.unwrap();
    store.forget_desktop(desktop.id, desktop.revision).await.unwrap();
    root.get("/api/v1/session").await.expect(200);
    is_claimed
}

#[tokio::test]
async fn two_hosts_with_one_id_are_not_both_believed() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let (mut one, mut two) = (Monitor::of(&system, "sim-001"), Monitor::of(&system, "sim-002"));
    let report = one.full(&[card(1)]);
    one.taken(&report).await;
    let mut copied = two.full(&[card(1)]);
    copied["machine"] = report["machine"].clone();
    two.refused(&copied, 409, "twin").await;
    let view = seen(&mut root, "sim-002").await;
    assert_eq!(view["state"], "quarantined");
    assert!(view["quarantine"]["detail"].as_str().unwrap().contains("sim-001"), "{view}");
    assert_eq!(seen(&mut root, "sim-001").await["state"], "open");
    assert!(claim(&system, &mut root, "sim-001").await);
    // No new identity either, for as long as nobody looked.
    let renewed = system.monitor(Some(&two.identity), "/srm/v1/renew", "{}").await.unwrap();
    assert_eq!((renewed.0, &renewed.1["error"]["code"]), (403, &json!("quarantined")));
    // Put right: its own id, and somebody has looked.
    root.delete("/api/v1/nodes/sim-002/quarantine").await.expect(204);
    let report = two.full(&[card(1)]);
    two.taken(&report).await;
    assert_eq!(seen(&mut root, "sim-002").await["state"], "open");
    system.stop().await;
}

#[tokio::test]
async fn what_is_replayed_changes_nothing() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut monitor = Monitor::of(&system, "sim-001");
    let old = monitor.full(&[card(1), card(2)]);
    monitor.taken(&old).await;
    let new = monitor.full(&[card(1)]);
    monitor.taken(&new).await;
    monitor.refused(&old, 409, "old_generation").await;
    // The newest again is answered as before, but makes nothing younger.
    assert_eq!(monitor.post(&new).await.0, 200);
    let view = seen(&mut root, "sim-001").await;
    assert_eq!(view["cards"].as_array().unwrap().len(), 1);
    assert_eq!(view["record"]["age_s"], 20);
    assert_eq!(
        (&view["refused"]["code"], &view["refused"]["count"]),
        (&json!("old_generation"), &json!(1))
    );
    for _ in 0..3 {
        monitor.refused(&old, 409, "old_generation").await;
    }
    let view = seen(&mut root, "sim-001").await;
    assert_eq!((&view["state"], &view["refused"]["count"]), (&json!("stale"), &json!(4)));
    system.stop().await;
}

#[tokio::test]
async fn a_flood_is_slowed_to_one_a_second_and_shown() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let (mut monitor, mut other) =
        (Monitor::of(&system, "sim-001"), Monitor::of(&system, "sim-002"));
    let first = monitor.full(&[card(1)]);
    monitor.taken(&first).await;
    let mut taken = 0;
    for _ in 0..50 {
        let report = monitor.full(&[card(1)]).to_string();
        match monitor.post_now(&report).await {
            (200, _) => taken += 1,
            (429, answer) => assert_eq!(answer["error"]["code"], "too_many"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(taken, 4, "five at once, of which one was the first");
    let report = other.full(&[card(1)]).to_string();
    assert_eq!(other.post_now(&report).await.0, 200, "others are not held up");
    let view = seen(&mut root, "sim-001").await;
    assert_eq!(
        (&view["refused"]["code"], &view["refused"]["count"]),
        (&json!("flood"), &json!(46))
    );
    let next = monitor.full(&[card(1)]);
    monitor.taken(&next).await;
    system.stop().await;
}

#[tokio::test]
async fn garbage_is_refused_whatever_it_is() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let monitor = Monitor::of(&system, "sim-001");
    let deep = "[".repeat(100_000);
    let long = "x".repeat(600 << 10);
    for (body, code) in [
        ("", "unreadable"),
        ("null", "unreadable"),
        ("{}", "unreadable"),
        ("\u{0}\u{1b}[2J", "unreadable"),
        (deep.as_str(), "unreadable"),
        (long.as_str(), "absurd"),
    ] {
        system.clock.advance(Duration::from_secs(10));
        let (status, answer) = monitor.post_now(body).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code)), "{answer}");
        assert!(answer.to_string().len() < 500);
    }
    let view = seen(&mut root, "sim-001").await;
    assert_eq!(view["quarantine"]["code"], "absurd", "the worse of the two");
    system.stop().await;
}

#[tokio::test]
async fn a_card_that_vanishes_under_a_desktop_is_out_of_use_and_told_of() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut monitor = Monitor::of(&system, "sim-001");
    let report = monitor.full(&[card(1), card(2)]);
    monitor.taken(&report).await;
    let store = &system.app.store;
    let owner = store.user_by_name("root").await.unwrap().unwrap().id;
    let mut desktop = crate::system::desktop(owner, system.clock.now());
    desktop.name = "Tomography".to_owned();
    store.add_desktop(&desktop, 9).await.unwrap();
    let claim = Claim {
        desktop: desktop.id,
        node: monitor.node.clone(),
        vcpus: 1,
        memory_mib: 1,
        disk_gib: 1,
        cards: vec!["0000:02:00.0".parse().unwrap()],
        share_milli: 500,
    };
    assert!(store.claim(&claim, 0, system.clock.now()).await.unwrap());
    let view = seen(&mut root, "sim-001").await;
    let holder = json!([{ "desktop": desktop.id, "name": "Tomography", "owner": "root",
        "share_milli": 500 }]);
    assert_eq!(view["cards"][1]["holders"], holder);
    assert_eq!(view["cards"][1]["free_milli"], 500);

    let report = monitor.full(&[card(1)]);
    monitor.taken(&report).await;
    let view = seen(&mut root, "sim-001").await;
    let gone = &view["cards"][1];
    assert_eq!((&gone["state"], &gone["free_milli"]), (&json!("faulty"), &json!(0)), "{view}");
    assert!(gone["fault"].as_str().unwrap().contains(&desktop.id.to_string()), "{gone}");
    let events = store.audit_events(None, 100).await.unwrap();
    let told = events.iter().find(|entry| entry.event.action == "card_gone").unwrap();
    assert_eq!(told.event.subject, format!("desktop:{}", desktop.id));
    system.stop().await;
}

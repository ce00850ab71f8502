//! What is known of nodes.

use std::time::Duration;

use beamdesk_store::{CardSample, NodeRecord, NodeSample, Quarantine, Store, StoreError};
use beamdesk_types::{Card, CardState, Claim, NodeFacts, NodeName, Partitioning, Timestamp};

use crate::world::{HOUR, at, scene};

fn name() -> NodeName {
    "gpu-1".parse().unwrap()
}

fn card(address: &str) -> Card {
    Card {
        address: address.parse().unwrap(),
        pci_id: "10de:2230".to_owned(),
        model: "RTX A6000".to_owned(),
        memory_mib: 49_140,
        cores: 10_752,
        bandwidth_gb_s: 768,
        clock_mhz: 1800,
        gflops: 38_709,
        numa_node: Some(1),
        iommu_group: None,
        partitioning: Partitioning::Mig {
            profile: "1g.5gb".to_owned(),
            parent: "0000:81:00.0".parse().unwrap(),
        },
        state: CardState::Assigned,
        owner: Some("某人 \"x\"".to_owned()),
        fault: String::new(),
        busy_percent: Some(3),
        memory_mib_used: None,
    }
}

fn record(generation: u64) -> NodeRecord {
    NodeRecord {
        machine: Some("4c4c4544".to_owned()),
        generation,
        sampled: Some(at(10)),
        received: Some(at(11)),
        interval_s: 10,
        version: "0.1.0".to_owned(),
        facts: Some(NodeFacts {
            cpus: 64,
            cpu_model: "EPYC".to_owned(),
            cpu_busy_permille: 37,
            memory_mib: 262_144,
            memory_mib_used: 1,
            disk_gib: 4000,
            disk_gib_used: 5,
            hints: vec!["IOMMU is off".to_owned()],
        }),
        cards: vec![card("0000:41:00.0"), card("mig-1")],
        ..NodeRecord::new(name())
    }
}

fn doubt(code: &str) -> Quarantine {
    Quarantine { code: code.to_owned(), detail: format!("because of {code}") }
}

pub(crate) async fn a_record_comes_back_as_it_was_put(store: Store) {
    assert_eq!(store.node_record(&name()).await.unwrap(), None);
    assert_eq!(store.node_of_machine("4c4c4544").await.unwrap(), None);
    assert!(store.put_node_report(&record(5), 0).await.unwrap());
    assert_eq!(store.node_record(&name()).await.unwrap(), Some(record(5)));
    assert_eq!(store.node_of_machine("4c4c4544").await.unwrap(), Some(name()));
    let other = NodeRecord { name: "a-node".parse().unwrap(), machine: None, ..record(1) };
    assert!(store.put_node_report(&other, 0).await.unwrap());
    assert_eq!(store.node_records().await.unwrap(), [other, record(5)]);

    let r = record(5);
    assert!(!r.is_stale(at(11 + 30)), "three intervals");
    assert!(r.is_stale(at(11 + 31)));
    assert!(NodeRecord::new(name()).is_stale(at(0)), "one that never reported");
}

pub(crate) async fn an_older_report_does_not_overwrite_a_newer(store: Store) {
    assert!(store.put_node_report(&record(5), 0).await.unwrap());
    // Two portals took the reports 6 and 7, both on top of 5: the second has to look again.
    assert!(store.put_node_report(&record(7), 5).await.unwrap());
    assert!(!store.put_node_report(&record(6), 5).await.unwrap());
    assert!(!store.touch_node(&record(6), 5).await.unwrap());
    assert!(!store.put_node_report(&record(6), 0).await.unwrap());
    let touched = NodeRecord { received: Some(at(99)), ..record(8) };
    assert!(store.touch_node(&touched, 7).await.unwrap());
    assert_eq!(store.node_record(&name()).await.unwrap(), Some(touched));
    assert!(!store.touch_node(&NodeRecord::new("other".parse().unwrap()), 0).await.unwrap());
}

pub(crate) async fn a_quarantine_is_lifted_or_heals(store: Store) {
    assert!(!store.lift_quarantine(&name()).await.unwrap());
    // Also of a node that never sent anything that could be believed.
    store.quarantine_node(&name(), &doubt("unreadable")).await.unwrap();
    let of = async || store.node_record(&name()).await.unwrap().unwrap();
    assert_eq!(of().await.quarantine, Some(doubt("unreadable")));
    // A report changes nothing about it.
    assert!(store.put_node_report(&record(5), 0).await.unwrap());
    assert_eq!(of().await.quarantine, Some(doubt("unreadable")));
    assert!(!store.heal_quarantine(&name(), "clock").await.unwrap());
    assert!(store.heal_quarantine(&name(), "unreadable").await.unwrap());
    assert_eq!(of().await, record(5));

    store.quarantine_node(&name(), &doubt("machine")).await.unwrap();
    assert!(store.lift_quarantine(&name()).await.unwrap());
    assert!(!store.lift_quarantine(&name()).await.unwrap());
    assert_eq!(of().await, NodeRecord { machine: None, ..record(5) }, "any machine may report now");
}

pub(crate) async fn maintenance_needs_no_monitor(store: Store) {
    store.set_maintenance(&name(), true).await.unwrap();
    let out_of_use = NodeRecord { maintenance: true, ..NodeRecord::new(name()) };
    assert_eq!(store.node_records().await.unwrap(), [out_of_use]);
    assert!(store.put_node_report(&record(5), 0).await.unwrap());
    let seen = store.node_record(&name()).await.unwrap().unwrap();
    assert_eq!(seen, NodeRecord { maintenance: true, ..record(5) });
    store.set_maintenance(&name(), false).await.unwrap();
    assert_eq!(store.node_record(&name()).await.unwrap(), Some(record(5)));
}

pub(crate) async fn a_node_in_use_is_not_forgotten(store: Store) {
    assert!(!store.remove_node(&name()).await.unwrap());
    assert!(store.put_node_report(&record(5), 0).await.unwrap());
    store.put_node_sample(&name(), &sample(at(0))).await.unwrap();
    let desktop = scene(&store, "ada").await.desktop.id;
    let claim = Claim {
        desktop,
        node: name(),
        vcpus: 1,
        memory_mib: 1,
        disk_gib: 1,
        cards: vec!["0000:41:00.0".parse().unwrap()],
        share_milli: 1000,
    };
    assert!(store.claim(&claim, 0, at(0)).await.unwrap());
    let refused = store.remove_node(&name()).await.unwrap_err();
    assert!(matches!(refused, StoreError::InUse), "{refused:?}");
    assert!(store.release_claim(desktop).await.unwrap());
    assert!(store.remove_node(&name()).await.unwrap());
    assert_eq!(store.node_records().await.unwrap(), []);
    assert_eq!(store.node_samples(&name(), at(0)).await.unwrap(), []);
}

fn sample(at: Timestamp) -> NodeSample {
    NodeSample {
        at,
        cpu_busy_permille: 500,
        memory_mib: 10,
        memory_mib_used: 3,
        disk_gib: 7,
        disk_gib_used: 1,
        cards: vec![CardSample {
            address: "0000:41:00.0".parse().unwrap(),
            state: CardState::Free,
            busy_percent: None,
            memory_mib_used: Some(2),
            held_milli: 250,
        }],
    }
}

pub(crate) async fn the_last_day_is_kept_in_points_of_five_minutes(store: Store) {
    let refused = store.put_node_sample(&name(), &sample(at(0))).await.unwrap_err();
    assert!(matches!(refused, StoreError::Foreign), "{refused:?}");
    assert!(store.put_node_report(&record(5), 0).await.unwrap());
    // Slots begin at whole five minutes, and so does at(0).
    for second in [0, 299, 300, 86_399] {
        store.put_node_sample(&name(), &sample(at(second))).await.unwrap();
    }
    let seen = store.node_samples(&name(), at(0)).await.unwrap();
    assert_eq!(seen, [sample(at(299)), sample(at(300)), sample(at(86_399))]);
    assert_eq!(store.node_samples(&name(), at(300)).await.unwrap().len(), 2);

    store.sweep(at(86_400 + 299), HOUR).await.unwrap();
    assert_eq!(store.node_samples(&name(), at(0)).await.unwrap().len(), 2);
    let kept = Duration::from_secs(3 * 86_400);
    store.sweep(at(86_400 + 301), kept).await.unwrap();
    assert_eq!(store.node_samples(&name(), at(0)).await.unwrap(), [sample(at(86_399))]);
}

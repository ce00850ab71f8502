//! What the page says.

use std::time::Duration;

use beamdesk_store::{ClaimRow, NodeRecord};
use beamdesk_types::{Card, CardState, Claim, DesktopId, Node, NodeFacts, Partitioning, Timestamp};

use super::{Decision, Metrics, ReportVerdict, render};
use crate::app::nodes::Overview;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn card(address: &str, model: &str, state: CardState) -> Card {
    Card {
        address: address.parse().unwrap(),
        pci_id: "10de:2230".to_owned(),
        model: model.to_owned(),
        memory_mib: 49_140,
        cores: 0,
        bandwidth_gb_s: 0,
        clock_mhz: 0,
        gflops: 0,
        numa_node: None,
        iommu_group: None,
        partitioning: Partitioning::Whole,
        state,
        owner: None,
        fault: String::new(),
        busy_percent: None,
        memory_mib_used: None,
    }
}

fn overview() -> Overview {
    let node = Node {
        name: "gpu-1".parse().unwrap(),
        vcpus: 8,
        vcpus_used: 0,
        memory_mib: 1,
        memory_mib_used: 0,
        disk_gib: 1,
        disk_gib_used: 0,
        cards: Vec::new(),
        enabled: true,
    };
    let cards = vec![
        card("a", "A40", CardState::Assigned),
        card("b", "A40", CardState::Free),
        card("c", "\"T4\\\n", CardState::Faulty),
    ];
    let record = NodeRecord {
        received: Some(at(-7)),
        interval_s: 10,
        facts: Some(NodeFacts::default()),
        cards,
        ..NodeRecord::new("gpu-1".parse().unwrap())
    };
    let claim = |share_milli| ClaimRow {
        claim: Claim {
            desktop: DesktopId::fresh(),
            node: "gpu-1".parse().unwrap(),
            vcpus: 1,
            memory_mib: 1,
            disk_gib: 1,
            cards: vec!["a".parse().unwrap()],
            share_milli,
        },
        claimed: at(0),
    };
    let silent = NodeRecord::new("cpu-1".parse().unwrap());
    Overview {
        nodes: [node].into(),
        records: vec![silent, record],
        claims: vec![claim(250), claim(500)],
    }
}

#[test]
fn the_page_says_what_there_is() {
    let metrics = Metrics::default();
    metrics.reported(ReportVerdict::Flood);
    for us in [400, 1500, 1_999, 20_000, 20_001, 3_000_000] {
        metrics.decided(Decision::Placed, Duration::from_micros(us));
    }
    metrics.decided(Decision::Waits, Duration::from_micros(1));
    let page = render(&metrics, &overview(), &[], at(0));
    for line in [
        "beamdesk_nodes{state=\"open\"} 1",
        "beamdesk_nodes{state=\"disabled\"} 1",
        "beamdesk_nodes{state=\"quarantined\"} 0",
        "beamdesk_report_age_seconds{node=\"gpu-1\"} 7",
        "beamdesk_cards{model=\"A40\",state=\"held\"} 1",
        "beamdesk_cards{model=\"A40\",state=\"free\"} 1",
        "beamdesk_cards{model=\"\\\"T4\\\\\\n\",state=\"faulty\"} 1",
        "beamdesk_cards_claimed_ratio{model=\"A40\"} 0.750",
        "beamdesk_desktops{phase=\"ready\"} 0",
        "beamdesk_queue_length 0",
        "beamdesk_decisions_total{outcome=\"placed\"} 6",
        "beamdesk_decisions_total{outcome=\"waits\"} 1",
        "beamdesk_decision_seconds_bucket{le=\"0.0005\"} 2",
        "beamdesk_decision_seconds_bucket{le=\"0.002\"} 4",
        "beamdesk_decision_seconds_bucket{le=\"0.02\"} 5",
        "beamdesk_decision_seconds_bucket{le=\"1\"} 6",
        "beamdesk_decision_seconds_bucket{le=\"+Inf\"} 7",
        "beamdesk_decision_seconds_sum 3.043901",
        "beamdesk_decision_seconds_count 7",
        "beamdesk_reports_total{verdict=\"flood\"} 1",
    ] {
        assert!(page.lines().any(|found| found == line), "no {line} in\n{page}");
    }
    assert!(!page.contains("{node=\"cpu-1\"}"), "it never reported");
}

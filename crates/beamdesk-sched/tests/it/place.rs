//! Placement: a few cases a person can check, and properties over many.

use beamdesk_sched::{Misfit, Request, fits, place};
use beamdesk_types::{GpuRequest, Node, NodeName};
use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

fn node(name: &str, vcpus: u32, memory_mib: u64, cards: &[u64]) -> Node {
    Node {
        name: name.parse().unwrap(),
        vcpus,
        vcpus_used: 0,
        memory_mib,
        memory_mib_used: 0,
        disk_gib: 100,
        disk_gib_used: 0,
        gpus_free_mib: cards.to_vec(),
        gpus: u32::try_from(cards.len()).unwrap(),
        enabled: true,
    }
}

fn request(vcpus: u32, memory_mib: u64) -> Request {
    Request { vcpus, memory_mib, disk_gib: 10, gpu: GpuRequest::default() }
}

fn cards(count: u32, memory_mib: u64) -> Request {
    Request { gpu: GpuRequest { count, memory_mib }, ..request(1, 1024) }
}

fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

#[test]
fn the_fullest_node_that_fits_is_taken() {
    let mut half = node("a-half", 16, 65536, &[]);
    half.vcpus_used = 8;
    half.memory_mib_used = 32768;
    let empty = node("b-empty", 16, 65536, &[]);
    assert_eq!(place(&request(4, 8192), &[empty.clone(), half.clone()]).unwrap(), name("a-half"));
    assert_eq!(place(&request(12, 8192), &[empty, half]).unwrap(), name("b-empty"));
}

#[test]
fn a_desktop_without_card_leaves_cards_to_others() {
    let with = node("a", 8, 16384, &[24576]);
    let without = node("b", 64, 262_144, &[]);
    assert_eq!(place(&request(2, 2048), &[with.clone(), without]).unwrap(), name("b"));
    // If there is nothing else, it may still go there.
    assert_eq!(place(&request(2, 2048), &[with]).unwrap(), name("a"));
}

#[test]
fn the_smallest_card_that_does_is_taken() {
    let nodes = [node("a", 64, 262_144, &[81920]), node("b", 64, 262_144, &[24576])];
    assert_eq!(place(&cards(1, 16384), &nodes).unwrap(), name("b"));
    assert_eq!(place(&cards(1, 48000), &nodes).unwrap(), name("a"));
}

#[test]
fn ties_go_to_the_lower_name() {
    let nodes = [node("n2", 8, 8192, &[]), node("n10", 8, 8192, &[]), node("n1", 8, 8192, &[])];
    assert_eq!(place(&request(1, 1024), &nodes).unwrap(), name("n1"));
}

#[test]
fn no_room_says_why_for_each_node() {
    let mut off = node("a", 64, 262_144, &[24576, 24576]);
    off.enabled = false;
    let mut full_disk = node("d", 64, 262_144, &[24576]);
    full_disk.disk_gib_used = 200; // more than it has
    let nodes = [
        off,
        node("b", 1, 262_144, &[24576]),
        node("c", 64, 512, &[24576]),
        full_disk,
        node("e", 64, 262_144, &[]),
        node("f", 64, 262_144, &[16384]),
    ];
    let wanted = Request { vcpus: 2, ..cards(1, 24000) };
    let told = place(&wanted, &nodes).unwrap_err();
    let expected = [
        ("a", Misfit::Disabled),
        ("b", Misfit::Vcpus),
        ("c", Misfit::Memory),
        ("d", Misfit::Disk),
        ("e", Misfit::Gpus),
        ("f", Misfit::GpuMemory),
    ];
    assert_eq!(told.misfits, expected.map(|(n, m)| (name(n), m)));
    assert!(place(&wanted, &[]).unwrap_err().misfits.is_empty());
}

fn any_node() -> impl Strategy<Value = Node> {
    (
        0_u32..6,
        0_u32..32,
        0_u32..40,
        0_u64..64,
        0_u64..80,
        0_u64..8,
        proptest::collection::vec(0_u64..5, 0..4),
        proptest::bool::weighted(0.9),
    )
        .prop_map(|(n, vcpus, used, memory, memory_used, disk_used, cards, enabled)| Node {
            name: name(&format!("n{n}")),
            vcpus,
            vcpus_used: used,
            memory_mib: memory * 1024,
            memory_mib_used: memory_used * 1024,
            disk_gib: 100,
            disk_gib_used: disk_used * 16,
            gpus: u32::try_from(cards.len()).unwrap(),
            gpus_free_mib: cards.iter().map(|c| c * 8192).collect(),
            enabled,
        })
}

fn any_nodes() -> impl Strategy<Value = Vec<Node>> {
    proptest::collection::vec(any_node(), 0..6).prop_map(|mut nodes| {
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes.dedup_by(|a, b| a.name == b.name);
        nodes
    })
}

fn any_request() -> impl Strategy<Value = Request> {
    (0_u32..20, 0_u64..40, 0_u64..60, 0_u32..3, 0_u64..4).prop_map(|(v, m, d, count, gpu)| {
        Request {
            vcpus: v,
            memory_mib: m * 1024,
            disk_gib: d,
            gpu: GpuRequest { count, memory_mib: gpu * 8192 },
        }
    })
}

/// Takes what was asked from the node, as a driver would.
fn taken(request: &Request, node: &Node) -> Node {
    let mut after = node.clone();
    after.vcpus_used += request.vcpus;
    after.memory_mib_used += request.memory_mib;
    after.disk_gib_used += request.disk_gib;
    after.gpus_free_mib.sort_unstable();
    for _ in 0..request.gpu.count {
        let i = after.gpus_free_mib.iter().position(|&m| m >= request.gpu.memory_mib);
        after.gpus_free_mib.remove(i.expect("a card that fits"));
    }
    after
}

proptest! {
    #[test]
    fn what_is_placed_fits_and_overfills_nothing(wanted in any_request(), nodes in any_nodes()) {
        if let Ok(chosen) = place(&wanted, &nodes) {
            let node = nodes.iter().find(|n| n.name == chosen).unwrap();
            prop_assert_eq!(fits(&wanted, node), Ok(()));
            let after = taken(&wanted, node);
            prop_assert!(wanted.vcpus == 0 || after.vcpus_used <= after.vcpus);
            prop_assert!(wanted.memory_mib == 0 || after.memory_mib_used <= after.memory_mib);
            prop_assert!(wanted.disk_gib == 0 || after.disk_gib_used <= after.disk_gib);
        }
    }

    #[test]
    fn it_is_placed_when_any_node_fits(wanted in any_request(), nodes in any_nodes()) {
        let any = nodes.iter().any(|n| fits(&wanted, n).is_ok());
        prop_assert_eq!(place(&wanted, &nodes).is_ok(), any);
    }

    #[test]
    fn no_room_lists_every_node_once(wanted in any_request(), nodes in any_nodes()) {
        if let Err(told) = place(&wanted, &nodes) {
            let listed: Vec<_> = told.misfits.iter().map(|(n, _)| n.clone()).collect();
            let all: Vec<_> = nodes.iter().map(|n| n.name.clone()).collect();
            prop_assert_eq!(listed, all);
        }
    }

    #[test]
    fn the_order_of_nodes_changes_nothing(
        wanted in any_request(), nodes in any_nodes(), turn in 0_usize..6,
    ) {
        let mut turned = nodes.clone();
        if !turned.is_empty() {
            let by = turn % turned.len();
            turned.rotate_left(by);
        }
        prop_assert_eq!(place(&wanted, &nodes).ok(), place(&wanted, &turned).ok());
    }

    #[test]
    fn cards_are_taken_only_on_need(wanted in any_request(), nodes in any_nodes()) {
        let plain = Request { gpu: GpuRequest::default(), ..wanted };
        if let Ok(chosen) = place(&plain, &nodes) {
            let node = nodes.iter().find(|n| n.name == chosen).unwrap();
            let cardless = nodes.iter().any(|n| n.gpus_free_mib.is_empty() && fits(&plain, n).is_ok());
            prop_assert!(!cardless || node.gpus_free_mib.is_empty());
        }
    }
}

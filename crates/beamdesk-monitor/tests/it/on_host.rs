//! Nodes whose desktops are programs of the host: cards on its own driver, and MIG instances.

use std::{collections::BTreeMap, path::Path};

use beamdesk_monitor::{DriverCard, DriverPart, Given, Probe, ProbeConfig, Sample};
use beamdesk_types::{CardState, Partitioning};

use crate::fixture::{CARD, Function, Machine};

fn host(root: &Path, id: &'static str) -> Machine {
    let machine = Machine::new(root, "sandbox", 16, 64).unwrap();
    machine.function(Function { id, driver: Some("nvidia"), ..CARD }).unwrap();
    let information = "Model: \t\t NVIDIA RTX A6000\nDevice Minor: \t 3\n";
    machine
        .file(&format!("proc/driver/nvidia/gpus/{}/information", CARD.address), information)
        .unwrap();
    machine
}

fn probe(root: &Path, driver: Option<DriverCard>) -> Sample {
    let mut config = ProbeConfig { root: root.to_owned(), ..ProbeConfig::here(Given::Host) };
    let table = root.join("my.toml");
    config.cards = table.exists().then_some(table);
    let driver = driver.map(|card| BTreeMap::from([(CARD.address.to_owned(), card)]));
    Probe::new(config).unwrap().sample_with(driver.as_ref())
}

#[test]
fn a_card_is_free_until_a_program_opens_it_and_helpers_do_not_count() {
    let root = tempfile::tempdir().unwrap();
    let machine = host(root.path(), "10de:2230");
    machine.link(&format!("sys/devices/pci0000:40/{}/drm/renderD128", CARD.address), "x").unwrap();
    machine.process(5, &["nvidia-persistenced"], &["/dev/nvidia3", "/dev/nvidiactl"]).unwrap();
    machine.process(6, &["/usr/bin/beamdesk"], &["/dev/nvidia3"]).unwrap();
    machine.process(7, &["/usr/bin/python3"], &["/dev/nvidia0", "/dev/nvidiactl"]).unwrap();
    let card = || probe(root.path(), Some(DriverCard::default())).cards.remove(0);
    assert_eq!((card().state, card().owner), (CardState::Free, None));
    machine.process(8, &["/usr/bin/blender"], &["/dev/dri/renderD128"]).unwrap();
    assert_eq!((card().state, card().owner.as_deref()), (CardState::Assigned, Some("blender")));
}

#[test]
fn the_driver_tells_use_and_faults() {
    let root = tempfile::tempdir().unwrap();
    host(root.path(), "10de:2230");
    let said = DriverCard {
        memory_mib: 49_140,
        memory_mib_used: 1234,
        busy_percent: Some(42),
        fault: "3 memory errors".to_owned(),
        ..DriverCard::default()
    };
    let card = probe(root.path(), Some(said)).cards.remove(0);
    assert_eq!((card.busy_percent, card.memory_mib_used), (Some(42), Some(1234)));
    assert_eq!((card.memory_mib, card.fault.as_str()), (49_152, "3 memory errors"));

    // NVML works and does not know the card: the driver has lost it.
    let mut other = ProbeConfig::here(Given::Host);
    other.root = root.path().to_owned();
    let lost = Probe::new(other).unwrap().sample_with(Some(&BTreeMap::new())).cards.remove(0);
    assert_eq!((lost.state, lost.fault.as_str()), (CardState::Faulty, "its driver has lost it"));
    // Without NVML nobody can say so.
    let sample = probe(root.path(), None);
    assert_eq!(sample.cards.first().map(|card| card.state), Some(CardState::Free));
    assert!(sample.facts.hints.iter().any(|hint| hint.contains("NVML")));
}

#[test]
fn a_card_of_no_table_is_what_its_driver_calls_it() {
    let root = tempfile::tempdir().unwrap();
    host(root.path(), "10de:3fff");
    let name = "NVIDIA RTX Next".to_owned();
    let said = DriverCard { name, memory_mib: 24_000, ..DriverCard::default() };
    let card = probe(root.path(), Some(said)).cards.remove(0);
    assert_eq!((card.model.as_str(), card.memory_mib), ("RTX Next", 24_000));
}

#[test]
fn mig_instances_are_parts_and_the_card_is_reserved() {
    let root = tempfile::tempdir().unwrap();
    let machine = host(root.path(), "10de:20b2");
    machine.process(77, &["/usr/bin/python3"], &[]).unwrap();
    let part = |uuid: &str, profile: &str, memory_mib, multiprocessors, process| DriverPart {
        uuid: uuid.to_owned(),
        profile: profile.to_owned(),
        memory_mib,
        memory_mib_used: 12,
        multiprocessors,
        processes: Vec::from_iter(process),
    };
    let parts = vec![
        part("MIG-C6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "3g.40gb", 40_192, 42, Some(77)),
        part("MIG-d6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "1g.10gb", 9728, 14, None),
    ];
    let said = DriverCard { is_mig: true, parts, ..DriverCard::default() };
    let cards = probe(root.path(), Some(said)).cards;
    assert_eq!(cards.len(), 3);
    let states: Vec<_> = cards.iter().map(|card| (card.address.as_str(), card.state)).collect();
    assert_eq!(
        states,
        [
            ("0000:41:00.0", CardState::Reserved),
            ("mig-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", CardState::Assigned),
            ("mig-d6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", CardState::Free),
        ]
    );
    let large = cards.get(1).unwrap();
    assert_eq!(
        (large.model.as_str(), large.memory_mib, large.cores),
        ("A100 SXM4 80GB", 40_192, 2688)
    );
    assert_eq!((large.owner.as_deref(), large.gflops), (Some("python3"), 7579));
    let parent = CARD.address.parse().unwrap();
    let profile = "3g.40gb".to_owned();
    assert_eq!(large.partitioning, Partitioning::Mig { profile, parent });
    // MIG switched on and nothing cut yet: nothing to be had.
    let empty = DriverCard { is_mig: true, ..DriverCard::default() };
    let cards = probe(root.path(), Some(empty)).cards;
    assert_eq!(cards.iter().map(|card| card.state).collect::<Vec<_>>(), [CardState::Reserved]);
}

#[test]
fn a_card_named_as_shared_is_given_in_shares() {
    let root = tempfile::tempdir().unwrap();
    let machine = host(root.path(), "10de:1eb8");
    machine.file("my.toml", "shared = [\"0000:41:00.0\"]").unwrap();
    let card = probe(root.path(), None).cards.remove(0);
    assert_eq!((card.partitioning, card.state), (Partitioning::Shared, CardState::Free));
}

#[test]
fn a_card_kept_for_machines_is_not_for_desktops_of_the_host() {
    let root = tempfile::tempdir().unwrap();
    let machine = host(root.path(), "10de:2230");
    machine.bind(CARD.address, Some("vfio-pci")).unwrap();
    let sample = probe(root.path(), None);
    assert_eq!(sample.cards.first().map(|card| card.state), Some(CardState::Reserved));
    assert!(sample.facts.hints.iter().any(|hint| hint.contains("vfio-pci")));
}

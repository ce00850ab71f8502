//! Nodes whose desktops are virtual machines: cards on vfio-pci, and vGPUs.

use std::path::Path;

use beamdesk_monitor::{Given, Probe, ProbeConfig, Sample};
use beamdesk_types::{Card, CardState, Partitioning};

use crate::fixture::{CARD, Function, Machine, SOUND, three_a6000};

const UUID: &str = "7f5f2a38-6f0e-4b6e-9c8e-0d3a4f1b2c3d";

fn probe(root: &Path, table: Option<&Path>) -> Sample {
    let config = ProbeConfig {
        root: root.to_owned(),
        cards: table.map(Path::to_owned),
        ..ProbeConfig::here(Given::Passthrough)
    };
    Probe::new(config).unwrap().sample()
}

fn card<'a>(sample: &'a Sample, address: &str) -> &'a Card {
    let mut found = sample.cards.iter().filter(|card| card.address.as_str() == address);
    let card = found.next().unwrap_or_else(|| panic!("no {address} in {:?}", sample.cards));
    assert_eq!(found.next(), None, "each stands once");
    card
}

fn has_hint(sample: &Sample, words: &[&str]) -> bool {
    sample.facts.hints.iter().any(|hint| words.iter().all(|word| hint.contains(word)))
}

#[test]
fn three_a6000_on_vfio_are_seen_as_exactly_those() {
    let root = tempfile::tempdir().unwrap();
    three_a6000(root.path()).unwrap();
    let sample = probe(root.path(), None);
    let places: Vec<_> = sample
        .cards
        .iter()
        .map(|card| (card.address.as_str(), card.numa_node, card.iommu_group))
        .collect();
    assert_eq!(
        places,
        [
            ("0000:41:00.0", Some(0), Some(41)),
            ("0000:61:00.0", Some(0), Some(61)),
            ("0000:c1:00.0", Some(1), Some(93)),
        ]
    );
    for card in &sample.cards {
        assert_eq!((card.model.as_str(), card.pci_id.as_str()), ("RTX A6000", "10de:2230"));
        assert_eq!((card.memory_mib, card.cores, card.bandwidth_gb_s), (49_152, 10_752, 768));
        assert_eq!((card.clock_mhz, card.gflops), (1800, 38_700));
        assert_eq!((card.state, card.partitioning.clone()), (CardState::Free, Partitioning::Whole));
        assert_eq!((card.owner.as_deref(), card.fault.as_str()), (None, ""));
    }
    assert_eq!((sample.facts.cpus, sample.facts.memory_mib), (32, 262_144));
    assert_eq!((sample.facts.memory_mib_used, sample.facts.cpu_busy_permille), (65_536, 30));
    assert_eq!(sample.facts.cpu_model, "AMD EPYC 9354 32-Core Processor");
    assert!(sample.facts.disk_gib > 0);
    assert_eq!(sample.facts.hints, Vec::<String>::new());
}

#[test]
fn a_node_without_cards_has_none_and_no_complaints() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::new(root.path(), "cpu-node", 4, 16).unwrap();
    machine.console().unwrap();
    let sample = probe(root.path(), None);
    assert_eq!((sample.cards.len(), sample.facts.hints.len()), (0, 0));
    assert_eq!((sample.facts.cpus, sample.facts.memory_mib), (4, 16_384));
}

#[test]
fn mixed_cards_are_told_apart_and_one_held_by_qemu_is_assigned() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::new(root.path(), "mixed", 16, 64).unwrap();
    let (a40, t4) = ("0000:81:00.0", "0000:82:00.0");
    let a40_card = Function { address: a40, id: "10de:2235", class: "0x030200", ..CARD };
    machine.function(Function { group: Some(81), ..a40_card }).unwrap();
    machine
        .function(Function { address: t4, id: "10de:1eb8", group: Some(82), ..a40_card })
        .unwrap();
    let device = format!(r#"{{"driver":"vfio-pci","host":"{a40}","id":"hostdev0"}}"#);
    let words = ["/usr/bin/qemu-system-x86_64", "-uuid", UUID, "-device", &device];
    machine.process(4711, &words, &["/dev/null", "/dev/vfio/vfio", "/dev/vfio/81"]).unwrap();

    let sample = probe(root.path(), None);
    let (a40, t4) = (card(&sample, a40), card(&sample, t4));
    assert_eq!((a40.model.as_str(), a40.state), ("A40", CardState::Assigned));
    assert_eq!(a40.owner.as_deref(), Some(UUID));
    assert_eq!((t4.model.as_str(), t4.memory_mib, t4.state), ("T4", 16_384, CardState::Free));

    machine.remove("proc/4711").unwrap();
    assert_eq!(card(&probe(root.path(), None), "0000:81:00.0").state, CardState::Free);
}

#[test]
fn libvirts_notes_name_the_holder_while_its_process_lives() {
    let root = tempfile::tempdir().unwrap();
    let machine = three_a6000(root.path()).unwrap();
    let note = format!(
        "<domstatus state='running' pid='900'><domain><uuid>{UUID}</uuid><devices>\
         <hostdev type='pci'><source><address domain='0x0000' bus='0x61' slot='0x00' function='0x0'/>\
         </source></hostdev></devices></domain></domstatus>"
    );
    machine.file("run/libvirt/qemu/instance-1.xml", &note).unwrap();
    assert_eq!(
        card(&probe(root.path(), None), "0000:61:00.0").state,
        CardState::Free,
        "left behind"
    );
    machine.process(900, &["/usr/bin/qemu-system-x86_64"], &[]).unwrap();
    let sample = probe(root.path(), None);
    assert_eq!(card(&sample, "0000:61:00.0").owner.as_deref(), Some(UUID));
    assert_eq!(card(&sample, "0000:41:00.0").state, CardState::Free);
}

#[test]
fn any_program_that_has_the_group_open_holds_the_card() {
    let root = tempfile::tempdir().unwrap();
    let machine = three_a6000(root.path()).unwrap();
    let address = "0000:c1:00.0";
    machine.process(12, &["/opt/cloud-hypervisor"], &["socket:[1]", "/dev/vfio/93"]).unwrap();
    // Not looked for while nothing says that the card is in use.
    assert_eq!(card(&probe(root.path(), None), address).state, CardState::Free);
    machine.set(address, "enable", "1").unwrap();
    let sample = probe(root.path(), None);
    assert_eq!(card(&sample, address).state, CardState::Assigned);
    assert_eq!(card(&sample, address).owner.as_deref(), Some("cloud-hyperviso"));
}

#[test]
fn a_card_that_shares_its_group_with_something_in_use_is_not_to_be_had() {
    let root = tempfile::tempdir().unwrap();
    let machine = three_a6000(root.path()).unwrap();
    machine.bind("0000:41:00.1", Some("snd_hda_intel")).unwrap();
    let sample = probe(root.path(), None);
    assert_eq!(card(&sample, "0000:41:00.0").state, CardState::Reserved);
    assert!(has_hint(&sample, &["0000:41:00.0", "0000:41:00.1 (snd_hda_intel)", "IOMMU group"]));
    assert_eq!(card(&sample, "0000:61:00.0").state, CardState::Free);
    // Without a driver it does not hinder.
    machine.bind("0000:41:00.1", None).unwrap();
    assert_eq!(card(&probe(root.path(), None), "0000:41:00.0").state, CardState::Free);
}

#[test]
fn two_cards_in_one_group_are_held_together() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::new(root.path(), "twins", 8, 32).unwrap();
    machine.function(CARD).unwrap();
    machine.function(Function { address: "0000:42:00.0", ..CARD }).unwrap();
    let device = "vfio-pci,host=41:00.0";
    machine.process(7, &["qemu-kvm", "-name", "guest=lab", "-device", device], &[]).unwrap();
    let sample = probe(root.path(), None);
    for card in &sample.cards {
        assert_eq!((card.state, card.owner.as_deref()), (CardState::Assigned, Some("lab")));
    }
    assert!(has_hint(&sample, &["0000:41:00.0", "0000:42:00.0", "one IOMMU group"]));
}

#[test]
fn what_keeps_a_card_back_is_said() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::new(root.path(), "hints", 8, 32).unwrap();
    machine.function(CARD).unwrap();
    let address = CARD.address;
    let state = || card(&probe(root.path(), None), address).state;

    machine.bind(address, Some("nouveau")).unwrap();
    assert!(has_hint(&probe(root.path(), None), &[address, "nouveau"]));
    assert_eq!(state(), CardState::Reserved);
    machine.bind(address, Some("nvidia")).unwrap();
    assert!(has_hint(&probe(root.path(), None), &[address, "bound to nvidia", "vfio-pci"]));
    assert_eq!(state(), CardState::Reserved);
    machine.bind(address, None).unwrap();
    assert!(has_hint(&probe(root.path(), None), &[address, "no driver"]));
    assert_eq!(state(), CardState::Reserved);
    machine.link(&format!("sys/devices/pci0000:40/{address}/driver"), "x/vfio-pci").unwrap();
    assert_eq!(state(), CardState::Free);

    machine.set(address, "sriov_totalvfs", "32").unwrap();
    assert!(has_hint(&probe(root.path(), None), &[address, "SR-IOV", "type-PF"]));
    assert_eq!(state(), CardState::Free);
    machine.set(address, "reset_method", "").unwrap();
    assert!(has_hint(&probe(root.path(), None), &[address, "cannot be reset"]));

    machine.remove("sys/kernel/iommu_groups").unwrap();
    assert!(has_hint(&probe(root.path(), None), &["IOMMU is off"]));
    assert_eq!(state(), CardState::Reserved);
}

#[test]
fn a_card_that_fell_off_the_bus_is_faulty_and_a_sleeping_one_is_not_woken() {
    let root = tempfile::tempdir().unwrap();
    let machine = three_a6000(root.path()).unwrap();
    machine.set("0000:41:00.0", "config", "\u{0}").unwrap();
    let path = root.path().join("sys/devices/pci0000:40/0000:41:00.0/config");
    std::fs::write(path, [0xff; 64]).unwrap();
    let sample = probe(root.path(), None);
    assert_eq!(card(&sample, "0000:41:00.0").state, CardState::Faulty);
    assert!(card(&sample, "0000:41:00.0").fault.contains("PCI bus"));
    assert_eq!(card(&sample, "0000:61:00.0").state, CardState::Free);
    machine.set("0000:41:00.0", "power/runtime_status", "suspended").unwrap();
    assert_eq!(card(&probe(root.path(), None), "0000:41:00.0").state, CardState::Free);
}

#[test]
fn an_unknown_card_counts_with_half_its_window_until_it_is_described() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::new(root.path(), "unknown", 8, 32).unwrap();
    machine.function(Function { id: "10de:3fff", bar_mib: 32_768, ..CARD }).unwrap();
    let sample = probe(root.path(), None);
    let found = card(&sample, CARD.address);
    assert_eq!((found.model.as_str(), found.memory_mib), ("10de:3fff", 16_384));
    assert!(has_hint(&sample, &["10de:3fff", "16384 MiB", "--cards"]));

    machine
        .file(
            "my.toml",
            "[[card]]\nid = \"10de:3fff\"\nmodel = \"RTX Next\"\nmemory_mib = 24576\ncores = 9000\n\
             bandwidth_gb_s = 700\nclock_mhz = 2000\ngflops = 36000\n",
        )
        .unwrap();
    let sample = probe(root.path(), Some(&root.path().join("my.toml")));
    let found = card(&sample, CARD.address);
    assert_eq!((found.model.as_str(), found.memory_mib), ("RTX Next", 24_576));
    assert_eq!(sample.facts.hints, Vec::<String>::new());

    machine.file("my.toml", &format!("kept = [\"{}\"]\n", CARD.address)).unwrap();
    let kept = probe(root.path(), Some(&root.path().join("my.toml")));
    assert_eq!(card(&kept, CARD.address).state, CardState::Reserved);
}

#[test]
fn a_wrong_table_is_refused_with_what_is_wrong() {
    let root = tempfile::tempdir().unwrap();
    let machine = three_a6000(root.path()).unwrap();
    for (text, word) in [
        ("[[card]]\nid = \"10de:3fff\"\n", "cards"),
        ("shared = [\"everything\"]", "everything"),
        ("colour = \"blue\"", "cards"),
        (
            "[[card]]\nid = \"3fff\"\nmodel = \"a\"\nmemory_mib = 1\ncores = 1\nbandwidth_gb_s = 1\n\
             clock_mhz = 1\ngflops = 1\n",
            "3fff",
        ),
    ] {
        machine.file("cards.toml", text).unwrap();
        let config = ProbeConfig {
            root: root.path().to_owned(),
            cards: Some(root.path().join("cards.toml")),
            ..ProbeConfig::here(Given::Passthrough)
        };
        let error = Probe::new(config).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

/// A40 with two virtual functions, as NVIDIA's driver makes them, and one vGPU on each.
fn vgpu_host(root: &Path) -> Machine {
    let machine = Machine::new(root, "vgpu", 32, 256).unwrap();
    let a40 = Function { id: "10de:2235", driver: Some("nvidia"), vfs_max: 32, ..CARD };
    machine.function(a40).unwrap();
    machine.set(CARD.address, "sriov_numvfs", "2").unwrap();
    for (address, group) in [("0000:41:00.4", 100), ("0000:41:00.5", 101)] {
        machine.function(Function { address, group: Some(group), vfs_max: 0, ..a40 }).unwrap();
        machine
            .link(&format!("sys/devices/pci0000:40/{address}/physfn"), "../0000:41:00.0")
            .unwrap();
        machine
            .mdev_type(address, "nvidia-558", "NVIDIA A40-12Q", "num_heads=4, framebuffer=12288M")
            .unwrap();
    }
    machine
}

#[test]
fn vgpus_are_parts_with_their_share_of_the_card_and_the_card_itself_is_reserved() {
    let root = tempfile::tempdir().unwrap();
    let machine = vgpu_host(root.path());
    let (one, two) =
        ("c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "d6d4f1ef-42e4-5de3-91c7-45d71c87eb3f");
    machine.mdev(one, "0000:41:00.4", "nvidia-558", 200).unwrap();
    machine.mdev(two, "0000:41:00.5", "nvidia-558", 201).unwrap();
    let sysfs = format!("vfio-pci,sysfsdev=/sys/bus/mdev/devices/{two}");
    machine.process(7, &["qemu-kvm", "-uuid", UUID, "-device", &sysfs], &[]).unwrap();
    let sample = probe(root.path(), None);
    assert_eq!(sample.cards.len(), 3, "{:?}", sample.cards);
    assert_eq!(card(&sample, CARD.address).state, CardState::Reserved);
    let (one, two) = (card(&sample, one), card(&sample, two));
    assert_eq!((one.model.as_str(), one.memory_mib, one.cores), ("A40", 12_288, 2688));
    assert_eq!((one.bandwidth_gb_s, one.gflops, one.iommu_group), (174, 9350, Some(200)));
    let parent = CARD.address.parse().unwrap();
    let profile = "NVIDIA A40-12Q".to_owned();
    assert_eq!(one.partitioning, Partitioning::Mdev { profile, parent });
    assert_eq!((one.state, two.state), (CardState::Free, CardState::Assigned));
    assert_eq!(two.owner.as_deref(), Some(UUID));
}

#[test]
fn a_card_given_in_shares_is_one_card_however_it_is_cut() {
    let root = tempfile::tempdir().unwrap();
    let machine = vgpu_host(root.path());
    machine
        .mdev("c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f", "0000:41:00.4", "nvidia-558", 200)
        .unwrap();
    machine.file("my.toml", "shared = [\"10de:2235\"]").unwrap();
    let sample = probe(root.path(), Some(&root.path().join("my.toml")));
    assert_eq!(sample.cards.len(), 1);
    let found = card(&sample, CARD.address);
    assert_eq!((found.partitioning.clone(), found.state), (Partitioning::Shared, CardState::Free));
    assert_eq!(found.memory_mib, 49_152);
}

#[test]
fn virtual_functions_on_vfio_are_cards_by_themselves() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::new(root.path(), "flex", 8, 32).unwrap();
    let flex = Function { id: "8086:56c0", driver: Some("i915"), vfs_max: 31, ..CARD };
    machine.function(flex).unwrap();
    machine.set(CARD.address, "sriov_numvfs", "4").unwrap();
    for (address, group) in [("0000:41:00.1", 50), ("0000:41:00.2", 51)] {
        let function =
            Function { driver: Some("vfio-pci"), vfs_max: 0, group: Some(group), ..flex };
        machine.function(Function { address, ..function }).unwrap();
        machine
            .link(&format!("sys/devices/pci0000:40/{address}/physfn"), "../0000:41:00.0")
            .unwrap();
    }
    let sample = probe(root.path(), None);
    let part = card(&sample, "0000:41:00.2");
    assert_eq!((part.memory_mib, part.cores, part.state), (4096, 1024, CardState::Free));
    assert_eq!(part.partitioning, Partitioning::Vf { parent: CARD.address.parse().unwrap() });
    assert_eq!((card(&sample, CARD.address).state, sample.cards.len()), (CardState::Reserved, 3));
}

#[test]
fn sound_alone_is_no_card() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::new(root.path(), "sound", 2, 4).unwrap();
    machine.function(SOUND).unwrap();
    assert_eq!(probe(root.path(), None).cards, []);
}

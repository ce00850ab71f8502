//! Trees that no kernel makes: nothing in them may hold up the monitor, or make it believe things.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Write as _,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::Path,
};

use beamdesk_monitor::{Given, Probe, ProbeConfig, Sample};
use beamdesk_types::{CARDS_MAX, CardState};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::fixture::{CARD, Function, Machine, three_a6000};

fn probe(root: &Path) -> Sample {
    let config = |given| ProbeConfig { root: root.to_owned(), ..ProbeConfig::here(given) };
    Probe::new(config(Given::Host)).unwrap().sample();
    Probe::new(config(Given::Passthrough)).unwrap().sample()
}

#[test]
fn loops_pipes_devices_and_endless_files_read_as_absent() {
    let root = tempfile::tempdir().unwrap();
    let machine = three_a6000(root.path()).unwrap();
    let path = |name: &str| root.path().join("sys/devices/pci0000:40/0000:41:00.0").join(name);
    for name in ["numa_node", "resource", "subsystem_device", "enable"] {
        fs::remove_file(path(name)).unwrap();
    }
    symlink("numa_node", path("numa_node")).unwrap();
    symlink("/dev/zero", path("resource")).unwrap();
    mknodat(CWD, path("subsystem_device"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    fs::create_dir(path("enable")).unwrap();
    machine.remove("proc/cpuinfo").unwrap();
    symlink("/dev/zero", root.path().join("proc/cpuinfo")).unwrap();

    let sample = probe(root.path());
    assert_eq!(sample.cards.len(), 3);
    let card = sample.cards.first().unwrap();
    assert_eq!((card.numa_node, card.state), (None, CardState::Free));
    assert_eq!(sample.facts.cpu_model, "");
}

#[test]
fn a_huge_file_is_cut_and_not_swallowed() {
    let root = tempfile::tempdir().unwrap();
    let machine = three_a6000(root.path()).unwrap();
    let huge = File::create(root.path().join("proc/meminfo")).unwrap();
    huge.set_len(1 << 40).unwrap();
    let mut vendor =
        File::create(root.path().join("sys/devices/pci0000:40/0000:41:00.0/vendor")).unwrap();
    vendor.write_all(&vec![b'1'; 4 << 20]).unwrap();
    machine.file("run/libvirt/qemu/x.xml", &"<hostdev".repeat(200_000)).unwrap();
    machine.process(3, &["qemu-kvm", "-device", &"{".repeat(100_000)], &[]).unwrap();
    machine.set("0000:61:00.0", "device", "0x3fff").unwrap();
    let window = "0x0 0xffffffffffffffff 0x200";
    machine.set("0000:61:00.0", "resource", window).unwrap();
    let sample = probe(root.path());
    assert_eq!((sample.facts.memory_mib, sample.cards.len()), (0, 2));
    assert!(sample.cards.iter().all(|card| card.memory_mib <= 16 << 20));
}

#[test]
fn names_that_are_no_text_or_no_address_are_passed_over() {
    let root = tempfile::tempdir().unwrap();
    three_a6000(root.path()).unwrap();
    let devices = root.path().join("sys/bus/pci/devices");
    for name in [&b"\xff\xfe"[..], b"0000:41:00", b"..:..", b"0000:zz:00.0", b"-rf"] {
        fs::create_dir(devices.join(OsStr::from_bytes(name))).unwrap();
    }
    let processes = root.path().join("proc");
    for name in [&b"99999999999999999999"[..], b"\xff", b"1x"] {
        fs::create_dir(processes.join(OsStr::from_bytes(name))).unwrap();
    }
    assert_eq!(probe(root.path()).cards.len(), 3);
}

#[test]
fn nonsense_in_every_file_of_a_card_is_no_panic() {
    let texts = ["", "0x", "0xffffffffffffffffff", "-1", "\u{fffd}", "99999999999", "a b\nc\n\n"];
    for text in texts {
        let root = tempfile::tempdir().unwrap();
        let machine = three_a6000(root.path()).unwrap();
        for name in [
            "vendor",
            "device",
            "class",
            "subsystem_vendor",
            "numa_node",
            "enable",
            "resource",
            "reset_method",
            "sriov_numvfs",
            "sriov_totalvfs",
            "nvidia/current_vgpu_type",
            "config",
        ] {
            machine.set("0000:61:00.0", name, text).unwrap();
            assert!(probe(root.path()).cards.len() >= 2, "{name} {text:?}");
        }
    }
}

#[test]
fn a_card_that_is_its_own_parent_or_a_part_of_nothing_is_nobodys() {
    let root = tempfile::tempdir().unwrap();
    let machine = three_a6000(root.path()).unwrap();
    let path = |address: &str| format!("sys/devices/pci0000:40/{address}/physfn");
    machine.link(&path("0000:41:00.0"), "../0000:41:00.0").unwrap();
    machine.link(&path("0000:61:00.0"), "../0000:ff:00.0").unwrap();
    machine.mdev("not-a-parent", "0000:ee:00.0", "nvidia-1", 9).unwrap();
    machine.link("sys/bus/mdev/devices/odd", "/").unwrap();
    let sample = probe(root.path());
    let addresses: Vec<_> = sample.cards.iter().map(|card| card.address.as_str()).collect();
    assert_eq!(addresses, ["0000:c1:00.0"]);
}

#[test]
fn no_more_cards_are_told_than_a_portal_believes() {
    let root = tempfile::tempdir().unwrap();
    let machine = Machine::new(root.path(), "many", 2, 4).unwrap();
    machine.function(Function { driver: Some("nvidia"), ..CARD }).unwrap();
    for number in 0..CARDS_MAX + 50 {
        let uuid = format!("{number:08x}-42e4-5de3-91c7-45d71c87eb3f");
        machine.mdev(&uuid, CARD.address, "nvidia-558", 300).unwrap();
    }
    assert_eq!(probe(root.path()).cards.len(), CARDS_MAX);
}

#[test]
fn what_is_no_id_is_not_taken_for_one() {
    let root = tempfile::tempdir().unwrap();
    for id in ["", "a b", "../../x", &"f".repeat(65)] {
        fs::create_dir_all(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/machine-id"), id).unwrap();
        let config = ProbeConfig { root: root.path().to_owned(), ..ProbeConfig::here(Given::Host) };
        let probe = Probe::new(config).unwrap();
        assert_eq!(probe.machine(), None, "{id:?}");
    }
}

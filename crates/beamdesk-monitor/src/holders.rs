//! Who holds a card: virtual machines and programs, found by what they were told and have open.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    libvirt,
    mdev::Mdev,
    pci::{Device, dri_names, group, is_address, vfio_names},
    tree::Tree,
};

/// Open files looked at in one pass; what is open beyond counts as not seen.
const FILES_MAX: usize = 262_144;
/// As long as a UUID or a program's name and a bit.
const OWNER_CHARS_MAX: usize = 64;

/// Programs that have cards open without using them: drivers' helpers, monitors, the seat's keeper.
/// Names are cut to 15 characters by the kernel.
const BYSTANDERS: [&str; 9] = [
    "nvidia-persiste",
    "nvidia-powerd",
    "nvidia-vgpu-mgr",
    "nvidia-smi",
    "nv-hostengine",
    "nv-fabricmanage",
    "dcgm-exporter",
    "systemd-logind",
    "beamdesk",
];

/// Who holds what, by PCI address or UUID of a vGPU.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    by_device: BTreeMap<String, String>,
    /// Some programs' open files may not be seen.
    pub(crate) is_partial: bool,
}

impl Holders {
    pub(crate) fn of(&self, device: &str) -> Option<&str> {
        self.by_device.get(device).map(String::as_str)
    }

    fn add(&mut self, device: &str, owner: &str) {
        let owner: String =
            owner.trim().chars().filter(|c| !c.is_control()).take(OWNER_CHARS_MAX).collect();
        if !owner.is_empty() {
            self.by_device.entry(device.to_owned()).or_insert(owner);
        }
    }
}

/// Looks through libvirt's notes, the command lines of QEMU, and open files; of programs other than
/// QEMU where `programs` may use cards, or where nothing else explains that a card is in use.
pub(crate) fn holders(tree: &Tree, devices: &[Device], mdevs: &[Mdev], programs: bool) -> Holders {
    let mut holders = Holders::default();
    if devices.is_empty() {
        return holders;
    }
    for domain in libvirt::domains(tree) {
        for device in &domain.devices {
            holders.add(device, &domain.uuid);
        }
    }
    let processes = tree.names("proc");
    let processes: Vec<&String> =
        processes.iter().filter(|name| name.bytes().all(|c| c.is_ascii_digit())).collect();
    let mut machines = BTreeMap::new();
    for pid in &processes {
        if let Some(machine) = tree.bytes(&format!("proc/{pid}/cmdline")).and_then(|l| machine(&l))
        {
            for device in &machine.devices {
                holders.add(device, &machine.name);
            }
            machines.insert(pid.as_str(), machine.name);
        }
    }
    let nodes = nodes(tree, devices, mdevs);
    let mut left = FILES_MAX;
    for (pid, name) in &machines {
        for device in opened(tree, pid, &nodes, &mut left).unwrap_or_default() {
            holders.add(&device, name);
        }
    }
    if is_unexplained(&holders, devices, programs) {
        for pid in processes.iter().filter(|pid| !machines.contains_key(pid.as_str())) {
            look_at_program(tree, pid, &nodes, &mut left, &mut holders);
        }
    }
    with_groups(tree, devices, &mut holders);
    holders
}

/// Whether a program of this name has cards open only to look at them or to keep them ready.
pub(crate) fn is_bystander(name: &str) -> bool {
    BYSTANDERS.contains(&name)
}

/// Whether all programs must be looked at, which costs: one may use a card on the host's driver, or a
/// card is switched on under vfio-pci, and no machine that we know of is the reason.
fn is_unexplained(holders: &Holders, devices: &[Device], programs: bool) -> bool {
    devices.iter().filter(|device| holders.of(&device.address).is_none()).any(|device| {
        if device.is_given() { device.is_enabled } else { programs && device.driver.is_some() }
    })
}

fn look_at_program(
    tree: &Tree,
    pid: &str,
    nodes: &BTreeMap<String, String>,
    left: &mut usize,
    holders: &mut Holders,
) {
    let Some(devices) = opened(tree, pid, nodes, left) else {
        // One that has ended meanwhile holds nothing.
        holders.is_partial |= tree.exists(&format!("proc/{pid}/comm"));
        return;
    };
    if devices.is_empty() {
        return;
    }
    let name = tree.text(&format!("proc/{pid}/comm")).unwrap_or_default();
    if is_bystander(&name) {
        return;
    }
    let name = if name.is_empty() { format!("process {pid}") } else { name };
    for device in devices {
        holders.add(&device, &name);
    }
}

/// Who has one device of an IOMMU group has the group: the kernel gives no second machine a part of it.
fn with_groups(tree: &Tree, devices: &[Device], holders: &mut Holders) {
    let groups: BTreeSet<u32> = devices.iter().filter_map(|device| device.iommu_group).collect();
    for number in groups {
        let members = group(tree, number);
        let given = || members.iter().filter(|peer| peer.is_given());
        let holder = given().find_map(|peer| holders.of(&peer.address)).map(str::to_owned);
        if let Some(holder) = holder {
            for peer in given() {
                holders.add(&peer.address, &holder);
            }
        }
    }
}

/// Device nodes, and the device behind each.
fn nodes(tree: &Tree, devices: &[Device], mdevs: &[Mdev]) -> BTreeMap<String, String> {
    let mut nodes = BTreeMap::new();
    for mdev in mdevs {
        if let Some(group) = mdev.iommu_group {
            nodes.insert(format!("/dev/vfio/{group}"), mdev.uuid.clone());
        }
    }
    for device in devices {
        let address = &device.address;
        if let Some(group) = device.iommu_group {
            nodes.insert(format!("/dev/vfio/{group}"), address.clone());
        }
        for name in vfio_names(tree, address) {
            nodes.insert(format!("/dev/vfio/devices/{name}"), address.clone());
        }
        for name in dri_names(tree, address) {
            nodes.insert(format!("/dev/dri/{name}"), address.clone());
        }
        let information = tree.text(&format!("proc/driver/nvidia/gpus/{address}/information"));
        let minor = information
            .as_deref()
            .unwrap_or_default()
            .lines()
            .find_map(|line| line.strip_prefix("Device Minor:")?.trim().parse::<u32>().ok());
        if let Some(minor) = minor {
            nodes.insert(format!("/dev/nvidia{minor}"), address.clone());
        }
    }
    nodes
}

/// Which of the devices a process has open; `None` when that may not be seen.
fn opened(
    tree: &Tree,
    pid: &str,
    nodes: &BTreeMap<String, String>,
    left: &mut usize,
) -> Option<BTreeSet<String>> {
    let folder = format!("proc/{pid}/fd");
    let names = tree.try_names(&folder)?;
    *left = left.checked_sub(names.len())?;
    let device = |name: &String| nodes.get(&tree.link(&format!("{folder}/{name}"))?).cloned();
    Some(names.iter().filter_map(device).collect())
}

/// A virtual machine by its command line.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    /// Its UUID, or how else it is called.
    name: String,
    devices: Vec<String>,
}

/// What QEMU was told (`-uuid`, `-name`, `-device vfio-pci,…`); `None` if it is no QEMU.
fn machine(command_line: &[u8]) -> Option<Machine> {
    let words: Vec<_> = command_line.split(|&c| c == 0).map(String::from_utf8_lossy).collect();
    let program = words.first()?.rsplit('/').next()?.to_owned();
    if !program.starts_with("qemu-system") && program != "qemu-kvm" && program != "kvm" {
        return None;
    }
    let after = |option: &'static str| {
        words
            .windows(2)
            .filter(move |pair| pair.first().is_some_and(|word| word == option))
            .filter_map(|pair| pair.last())
    };
    let uuid = after("-uuid").next().map(ToString::to_string);
    let guest = after("-name").next().and_then(|text| {
        let first = text.split(',').next()?;
        Some(first.strip_prefix("guest=").unwrap_or(first).to_owned())
    });
    let devices = after("-device").filter_map(|text| device(text)).collect();
    Some(Machine { name: uuid.or(guest).unwrap_or(program), devices })
}

/// Of `vfio-pci,host=0000:41:00.0,id=hostdev0`, or the same as JSON, which libvirt 7 and later writes.
fn device(text: &str) -> Option<String> {
    if text.starts_with('{') {
        let options: Value = serde_json::from_str(text).ok()?;
        let option = |name: &str| options[name].as_str();
        option("driver").filter(|driver| driver.starts_with("vfio-"))?;
        return place(option("host"), option("sysfsdev"));
    }
    let mut options = text.split(',');
    options.next().filter(|driver| driver.starts_with("vfio-"))?;
    let options: Vec<(&str, &str)> = options.filter_map(|option| option.split_once('=')).collect();
    let option = |name: &str| options.iter().find(|(key, _)| *key == name).map(|&(_, value)| value);
    place(option("host"), option("sysfsdev"))
}

fn place(host: Option<&str>, sysfs: Option<&str>) -> Option<String> {
    if let Some(host) = host {
        let host = host.to_ascii_lowercase();
        // QEMU also takes `41:00.0`.
        return [format!("0000:{host}"), host].into_iter().find(|address| is_address(address));
    }
    let name = sysfs?.trim_end_matches('/').rsplit('/').next()?;
    (!name.is_empty()).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::machine;

    fn command(words: &[&str]) -> Vec<u8> {
        words.join("\0").into_bytes()
    }

    #[test]
    fn qemu_tells_its_machine_and_its_cards() {
        let line = command(&[
            "/usr/bin/qemu-system-x86_64",
            "-name",
            "guest=instance-0000002a,debug-threads=on",
            "-uuid",
            "7f5f2a38-6f0e-4b6e-9c8e-0d3a4f1b2c3d",
            "-device",
            r#"{"driver":"vfio-pci","host":"0000:41:00.0","id":"hostdev0","bus":"pci.6"}"#,
            "-device",
            "vfio-pci,host=C1:00.0,multifunction=on",
            "-device",
            "vfio-pci,sysfsdev=/sys/bus/mdev/devices/C6D4F1EF-42e4-5de3-91c7-45d71c87eb3f",
            "-device",
            "virtio-net-pci,host=0000:43:00.0",
        ]);
        let found = machine(&line).unwrap();
        assert_eq!(found.name, "7f5f2a38-6f0e-4b6e-9c8e-0d3a4f1b2c3d");
        assert_eq!(
            found.devices,
            ["0000:41:00.0", "0000:c1:00.0", "c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"]
        );
    }

    #[test]
    fn a_machine_without_uuid_has_its_name_and_other_programs_are_none() {
        let line = command(&["qemu-kvm", "-name", "lab,process=x", "-device", "vfio-pci"]);
        let found = machine(&line).unwrap();
        assert_eq!((found.name.as_str(), found.devices.len()), ("lab", 0));
        for other in [&["grep", "qemu-system-x86_64"][..], &["qemu-img", "-device"], &[""]] {
            assert_eq!(machine(&command(other)), None, "{other:?}");
        }
        let odd = [&b"qemu-system-x86_64\0-device\0"[..], &[0xff, 0xfe], b"\0\0-uuid"];
        for line in odd {
            assert!(machine(line).is_none_or(|found| found.devices.is_empty()));
        }
    }
}

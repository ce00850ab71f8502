//! One physical card.

use beamdesk_types::{Card, CardState, Partitioning};

use super::{Given, Seen};
use crate::{
    hints::Hints,
    pci::{Device, Peer},
};

/// As long as a model may be in a request.
const MODEL_CHARS_MAX: usize = 64;
/// As much as may be in a request; a window that is larger is none into memory.
const MEMORY_MIB_MAX: u64 = 16 << 20;

pub(super) fn card(seen: &Seen<'_>, device: &Device, hints: &mut Hints) -> Option<Card> {
    let mut card = described(seen, device, hints)?;
    let driver = seen.driver_card(device);
    if let Some(driver) = driver {
        card.busy_percent = driver.busy_percent;
        card.memory_mib_used = Some(driver.memory_mib_used.min(card.memory_mib));
        card.fault.clone_from(&driver.fault);
    }
    card.owner = seen.machine_of(device);
    if device.is_lost {
        card.state = CardState::Faulty;
        "it does not answer on the PCI bus".clone_into(&mut card.fault);
        return Some(card);
    }
    let on_nvidia = device.driver.as_deref() == Some("nvidia");
    if on_nvidia && seen.driver.is_some() && driver.is_none() {
        card.state = CardState::Faulty;
        "its driver has lost it".clone_into(&mut card.fault);
        return Some(card);
    }
    if on_nvidia && seen.driver.is_none() && seen.given == Given::Host {
        hints.no_library(device);
    }
    let is_kept = seen.table.is_kept(&device.address, &device.id);
    let can_be_had = !is_kept && can_be_had(seen, device, &mut card, hints);
    card.state = match (can_be_had, card.owner.is_some()) {
        (false, _) => CardState::Reserved,
        (true, true) => CardState::Assigned,
        (true, false) => CardState::Free,
    };
    Some(card)
}

/// What it is, by the table, else by its driver, else by its window.
fn described(seen: &Seen<'_>, device: &Device, hints: &mut Hints) -> Option<Card> {
    let mut card = Card {
        address: device.address.parse().ok()?,
        pci_id: device.id.clone(),
        model: device.id.clone(),
        memory_mib: 0,
        cores: 0,
        bandwidth_gb_s: 0,
        clock_mhz: 0,
        gflops: 0,
        numa_node: device.numa_node,
        iommu_group: device.iommu_group,
        partitioning: Partitioning::Whole,
        state: CardState::Reserved,
        owner: None,
        fault: String::new(),
        busy_percent: None,
        memory_mib_used: None,
    };
    if let Some(figures) = seen.table.figures(&device.id, device.subsystem.as_deref()) {
        figures.put_into(&mut card);
        return Some(card);
    }
    if let Some(driver) = seen.driver_card(device).filter(|driver| driver.memory_mib > 0) {
        let name = driver.name.strip_prefix("NVIDIA ").unwrap_or(&driver.name);
        let plain = |c: &char| !c.is_control() && *c != '|';
        card.model = name.chars().filter(plain).take(MODEL_CHARS_MAX).collect();
        card.memory_mib = driver.memory_mib.min(MEMORY_MIB_MAX);
    } else {
        // A window is a power of two that the memory fits in, or smaller than the memory: half of it
        // is there for sure.
        card.memory_mib = (device.bar_mib / 2).min(MEMORY_MIB_MAX);
    }
    hints.unknown(device, card.memory_mib);
    Some(card)
}

/// Whether desktops of this node can have it; marks the one that is given in shares.
fn can_be_had(seen: &Seen<'_>, device: &Device, card: &mut Card, hints: &mut Hints) -> bool {
    let is_shared = seen.table.is_shared(&device.address, &device.id);
    let driver = device.driver.as_deref();
    match (seen.given, driver) {
        (_, Some("nouveau")) => {
            hints.nouveau(device);
            false
        }
        (Given::Passthrough, None) => {
            hints.no_driver(device, "vfio-pci");
            false
        }
        (Given::Host, None) => {
            hints.no_driver(device, "its maker's driver");
            false
        }
        (Given::Passthrough, Some(_)) if device.is_given() => {
            if is_shared {
                hints.not_shareable(device);
            }
            can_pass_through(seen, device, hints)
        }
        (Given::Passthrough, Some(driver)) => {
            if is_shared && seen.has_profiles(device) {
                card.partitioning = Partitioning::Shared;
                return true;
            }
            if !seen.is_cut(device) {
                hints.on_host(device, driver);
            }
            false
        }
        (Given::Host, Some(_)) if device.is_given() => {
            hints.on_vfio(device);
            false
        }
        (Given::Host, Some(_)) => {
            if is_shared {
                card.partitioning = Partitioning::Shared;
            }
            true
        }
    }
}

/// Whether vfio could give it away: all that is in its group must come along, or stand idle (guest
/// kernel: `group N is not viable`).
fn can_pass_through(seen: &Seen<'_>, device: &Device, hints: &mut Hints) -> bool {
    let group = device.iommu_group.filter(|_| seen.has_iommu);
    let Some(peers) = group.and_then(|group| seen.groups.get(&group)) else {
        hints.no_iommu();
        return false;
    };
    let others = || peers.iter().filter(|peer| peer.address != device.address && !peer.is_bridge);
    let hinders = |peer: &&Peer| peer.driver.is_some() && !peer.is_given();
    let hindering: Vec<&Peer> = others().filter(hinders).collect();
    if !hindering.is_empty() {
        hints.group(device, &hindering);
        return false;
    }
    let cards = || seen.devices.iter().filter(|other| other.parent.is_none());
    for twin in others().filter(|peer| cards().any(|card| card.address == peer.address)) {
        hints.twins(device, &twin.address);
    }
    if device.vfs_max > 0 {
        hints.sriov(device);
    }
    if !device.can_reset {
        hints.no_reset(device);
    }
    true
}

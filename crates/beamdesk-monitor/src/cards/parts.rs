//! Parts of a card that are given away by themselves: vGPUs, MIG instances, virtual functions.

use beamdesk_types::{Card, CardAddress, CardState, Partitioning};

use super::{Given, Seen};
use crate::{
    hints::Hints,
    mdev::{Mdev, profile_mib},
    nvml::DriverPart,
    pci::Device,
};

/// All parts of a card. A part has of its cores, bandwidth and computing what it has of its memory,
/// unless the driver knows better: so much it gets when all parts are busy.
pub(super) fn parts(seen: &Seen<'_>, device: &Device, card: &Card, hints: &mut Hints) -> Vec<Card> {
    let mut parts = Vec::new();
    for mdev in seen.mdevs.iter().filter(|mdev| seen.is_of(mdev, device)) {
        parts.extend(vgpu(seen, device, card, mdev, hints));
    }
    let functions = seen.devices.iter().filter(|f| f.parent.as_ref() == Some(&device.address));
    for function in functions {
        parts.extend(virtual_function(seen, device, card, function, hints));
    }
    if let Some(driver) = seen.driver_card(device) {
        parts.extend(driver.parts.iter().filter_map(|part| mig(seen, card, part)));
    }
    parts
}

fn vgpu(
    seen: &Seen<'_>,
    device: &Device,
    card: &Card,
    mdev: &Mdev,
    hints: &mut Hints,
) -> Option<Card> {
    let address: CardAddress = mdev.uuid.to_ascii_lowercase().parse().ok()?;
    let memory_mib = mdev.memory_mib.unwrap_or_default();
    if memory_mib == 0 {
        hints.unsized_part(address.as_str(), &mdev.profile);
    }
    let machine = seen.driver_card(device).and_then(|driver| driver.machines.get(address.as_str()));
    let owner = seen.holders.of(address.as_str()).or(machine.map(String::as_str));
    let profile = mdev.profile.clone();
    let partitioning = Partitioning::Mdev { profile, parent: card.address.clone() };
    let can_be_had = seen.given == Given::Passthrough;
    Some(Card {
        iommu_group: mdev.iommu_group,
        ..part(card, address, partitioning, memory_mib, can_be_had, owner)
    })
}

/// A virtual function on vfio, or one that its driver made a vGPU. Others are only the way to make
/// vGPUs.
fn virtual_function(
    seen: &Seen<'_>,
    device: &Device,
    card: &Card,
    function: &Device,
    hints: &mut Hints,
) -> Option<Card> {
    if !function.is_given() && function.profile.is_none() {
        return None;
    }
    let address: CardAddress = function.address.parse().ok()?;
    let memory_mib = match &function.profile {
        Some(profile) => profile_mib(profile).unwrap_or_default(),
        None => card.memory_mib.checked_div(device.vfs).unwrap_or_default(),
    };
    if let Some(profile) = function.profile.as_ref().filter(|_| memory_mib == 0) {
        hints.unsized_part(&function.address, profile);
    }
    let partitioning = Partitioning::Vf { parent: card.address.clone() };
    let owner = seen.machine_of(function);
    let can_be_had = seen.given == Given::Passthrough;
    Some(Card {
        pci_id: function.id.clone(),
        iommu_group: function.iommu_group,
        numa_node: function.numa_node.or(card.numa_node),
        ..part(card, address, partitioning, memory_mib, can_be_had, owner.as_deref())
    })
}

fn mig(seen: &Seen<'_>, card: &Card, found: &DriverPart) -> Option<Card> {
    let address: CardAddress = found.uuid.to_ascii_lowercase().parse().ok()?;
    let profile = found.profile.clone();
    let partitioning = Partitioning::Mig { profile, parent: card.address.clone() };
    let owner = found.processes.iter().find_map(|&process| seen.programs.name(process));
    let can_be_had = seen.given == Given::Host;
    let mut part =
        part(card, address, partitioning, found.memory_mib, can_be_had, owner.as_deref());
    part.memory_mib_used = Some(found.memory_mib_used.min(found.memory_mib));
    // A100 and A30 have 64 cores in a multiprocessor, later chips 128.
    let cores = if card.pci_id.starts_with("10de:20") { 64 } else { 128 };
    let cores = found.multiprocessors.saturating_mul(cores);
    if (1..=card.cores).contains(&cores) {
        part.cores = cores;
        part.gflops = of(card.gflops, u64::from(cores), u64::from(card.cores));
    }
    Some(part)
}

fn part(
    card: &Card,
    address: CardAddress,
    partitioning: Partitioning,
    memory_mib: u64,
    can_be_had: bool,
    owner: Option<&str>,
) -> Card {
    let share = |whole| of(whole, memory_mib, card.memory_mib);
    Card {
        address,
        memory_mib,
        cores: share(card.cores),
        bandwidth_gb_s: share(card.bandwidth_gb_s),
        gflops: share(card.gflops),
        partitioning,
        state: match (card.state, can_be_had, owner) {
            (CardState::Faulty, ..) => CardState::Faulty,
            (_, false, _) => CardState::Reserved,
            (_, true, Some(_)) => CardState::Assigned,
            (_, true, None) => CardState::Free,
        },
        owner: owner.map(str::to_owned),
        busy_percent: None,
        memory_mib_used: None,
        ..card.clone()
    }
}

/// `part / all` of `whole`, and never more than that.
fn of(whole: u32, part: u64, all: u64) -> u32 {
    let share = u64::from(whole).saturating_mul(part).checked_div(all).unwrap_or_default();
    u32::try_from(share).unwrap_or(whole).min(whole)
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_part_is_never_more_than_the_whole() {
        assert_eq!(of(10_752, 8192, 49_152), 1792);
        assert_eq!(of(10_752, 99_999, 49_152), 10_752);
        assert_eq!((of(10, 1, 0), of(u32::MAX, u64::MAX, 1)), (0, u32::MAX));
    }
}

//! From what was seen to the list of cards: what each is, in which state, and whose.

mod parts;
mod whole;

use std::collections::{BTreeMap, BTreeSet};

use beamdesk_types::{CARDS_MAX, Card, CardState, Partitioning};

use crate::{
    hints::Hints,
    holders::Holders,
    mdev::Mdev,
    nvml::DriverCard,
    pci::{Device, Peer},
    table::CardTable,
};

/// Owner of a card that is in use, nobody can say by whom.
const OWNER_UNSEEN: &str = "a program that the monitor may not see";

/// How desktops get cards on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// Virtual machines get them: cards on vfio-pci, and vGPUs.
    Passthrough,
    /// Desktops are programs of this host: cards on the host's own driver, and MIG instances.
    Host,
}

/// All that was looked at.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) given: Given,
    pub(crate) table: &'a CardTable,
    pub(crate) devices: &'a [Device],
    pub(crate) mdevs: &'a [Mdev],
    pub(crate) holders: &'a Holders,
    /// What stands in each IOMMU group that has a card.
    pub(crate) groups: &'a BTreeMap<u32, Vec<Peer>>,
    pub(crate) has_iommu: bool,
    /// NVML's view, where it can be had.
    pub(crate) driver: Option<&'a BTreeMap<String, DriverCard>>,
    /// Names of programs by process.
    pub(crate) programs: &'a dyn Programs,
}

/// Asks for the name of a process.
pub(crate) trait Programs: std::fmt::Debug {
    /// `None` for one that is gone, or only looks on.
    fn name(&self, process: u32) -> Option<String>;
}

/// The cards by address, and what keeps some of them from being given away.
pub(crate) fn cards(seen: &Seen<'_>) -> (Vec<Card>, Vec<String>) {
    let mut hints = Hints::default();
    let mut cards = Vec::new();
    for device in seen.devices.iter().filter(|device| device.parent.is_none()) {
        let Some(mut card) = whole::card(seen, device, &mut hints) else { continue };
        let mut parts = Vec::new();
        if card.partitioning != Partitioning::Shared {
            parts = parts::parts(seen, device, &card, &mut hints);
            if seen.is_cut(device) || !parts.is_empty() {
                cut(&mut card);
            }
        }
        cards.push(card);
        cards.extend(parts);
    }
    let mut met = BTreeSet::new();
    cards.retain(|card| met.insert(card.address.clone()));
    cards.sort_by(|a, b| a.address.cmp(&b.address));
    cards.truncate(CARDS_MAX);
    (cards, hints.into_vec())
}

/// It is to be had in parts only: whoever holds something of it holds a part.
fn cut(card: &mut Card) {
    if card.state != CardState::Faulty {
        card.state = CardState::Reserved;
    }
    card.owner = None;
}

impl Seen<'_> {
    /// Whether the card is to be had in parts only.
    fn is_cut(&self, device: &Device) -> bool {
        device.vfs > 0
            || self.driver_card(device).is_some_and(|card| card.is_mig)
            || self.mdevs.iter().any(|mdev| self.is_of(mdev, device))
    }

    /// Whether a vGPU was cut from the card, by itself or by way of a virtual function.
    fn is_of(&self, mdev: &Mdev, card: &Device) -> bool {
        let by_function = || {
            let function = self.devices.iter().find(|device| device.address == mdev.parent);
            function.and_then(|device| device.parent.as_ref()) == Some(&card.address)
        };
        mdev.parent == card.address || by_function()
    }

    /// Whether vGPUs can be cut from the card, by itself or by way of a virtual function.
    fn has_profiles(&self, card: &Device) -> bool {
        let is_function = |device: &&Device| device.parent.as_ref() == Some(&card.address);
        let mut functions = self.devices.iter().filter(is_function);
        card.has_profiles || functions.any(|function| function.has_profiles)
    }

    fn driver_card(&self, device: &Device) -> Option<&DriverCard> {
        self.driver?.get(&device.address)
    }

    /// Who holds a device on vfio: the machine, or that nobody can tell.
    fn machine_of(&self, device: &Device) -> Option<String> {
        let unseen = || {
            let is_used = device.is_enabled && self.holders.is_partial;
            is_used.then(|| OWNER_UNSEEN.to_owned())
        };
        self.holders.of(&device.address).map(str::to_owned).or_else(unseen)
    }
}

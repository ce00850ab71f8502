//! What keeps cards from being given away, in words for an administrator.

use std::fmt::Write as _;

use crate::pci::{Device, Peer};

/// A node with more is set up wrong in one way, and the first ones say which.
const HINTS_MAX: usize = 64;
/// A group without isolation may have dozens of members; the portal takes 1,024 characters.
const HINT_CHARS_MAX: usize = 1000;

/// Collects hints, each once.
#[derive(Debug, Default)]
pub(crate) struct Hints(Vec<String>);

impl Hints {
    pub(crate) fn into_vec(self) -> Vec<String> {
        self.0
    }

    fn add(&mut self, mut hint: String) {
        if let Some((end, _)) = hint.char_indices().nth(HINT_CHARS_MAX) {
            hint.truncate(end);
        }
        if self.0.len() < HINTS_MAX && !self.0.contains(&hint) {
            self.0.push(hint);
        }
    }

    pub(crate) fn no_iommu(&mut self) {
        self.add(
            "the IOMMU is off, so no card can be given to a virtual machine: switch on VT-d or AMD-Vi \
             in the firmware, and intel_iommu=on or amd_iommu=on on the kernel's command line"
                .to_owned(),
        );
    }

    pub(crate) fn unknown(&mut self, device: &Device, memory_mib: u64) {
        let Device { address, id, .. } = device;
        self.add(format!(
            "{address} is a {id}, which is in no table: {memory_mib} MiB of its memory are counted on; \
             describe it in a file for --cards"
        ));
    }

    pub(crate) fn unsized_part(&mut self, address: &str, profile: &str) {
        self.add(format!("{address} is a vGPU {profile}, whose memory cannot be told"));
    }

    pub(crate) fn nouveau(&mut self, device: &Device) {
        self.add(format!(
            "{} is bound to nouveau, which can neither give it away nor compute with it: blacklist \
             nouveau and bind the card to vfio-pci",
            device.address
        ));
    }

    pub(crate) fn on_host(&mut self, device: &Device, driver: &str) {
        let mut hint = format!(
            "{} is bound to {driver}, so no virtual machine can have it: bind it to vfio-pci",
            device.address
        );
        if device.has_profiles {
            hint.push_str(
                ", or make vGPUs of it, or name it under `shared` where the cloud makes them",
            );
        }
        self.add(hint);
    }

    pub(crate) fn on_vfio(&mut self, device: &Device) {
        self.add(format!(
            "{} is bound to vfio-pci, so desktops on this host cannot use it: bind it to its maker's driver",
            device.address
        ));
    }

    pub(crate) fn no_driver(&mut self, device: &Device, wanted: &str) {
        self.add(format!("{} is bound to no driver: bind it to {wanted}", device.address));
    }

    pub(crate) fn no_library(&mut self, device: &Device) {
        self.add(format!(
            "{} is bound to nvidia, but NVML cannot be asked: its parts and its use are not known",
            device.address
        ));
    }

    pub(crate) fn not_shareable(&mut self, device: &Device) {
        self.add(format!(
            "{} is named under `shared`, but no vGPUs can be cut from it here",
            device.address
        ));
    }

    /// `others`: what stands in its way in its IOMMU group.
    pub(crate) fn group(&mut self, device: &Device, others: &[&Peer]) {
        let mut hint = format!("{} cannot be given away without", device.address);
        for (number, peer) in others.iter().enumerate() {
            let comma = if number > 0 { ", " } else { " " };
            let driver = peer.driver.as_deref().unwrap_or("no driver");
            // Writing to a string does not fail.
            write!(hint, "{comma}{} ({driver})", peer.address).unwrap_or_default();
        }
        hint.push_str(", of the same IOMMU group: bind that to vfio-pci too, or move the card");
        self.add(hint);
    }

    pub(crate) fn twins(&mut self, device: &Device, other: &str) {
        self.add(format!(
            "{} and {other} are in one IOMMU group: who gets one has both",
            device.address
        ));
    }

    pub(crate) fn sriov(&mut self, device: &Device) {
        self.add(format!(
            "{} offers SR-IOV: in Nova's alias its device_type is type-PF, not type-PCI",
            device.address
        ));
    }

    pub(crate) fn no_reset(&mut self, device: &Device) {
        self.add(format!(
            "{} cannot be reset: what one desktop leaves in it the next may find, or it may hang",
            device.address
        ));
    }
}

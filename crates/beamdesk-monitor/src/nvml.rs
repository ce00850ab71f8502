//! What NVIDIA's driver says of the cards it has: use, faults, MIG instances.
//!
//! The library (NVML) comes with the driver and is loaded when the driver is. Cards bound to vfio-pci
//! are not seen by it, and on most nodes it is not there at all: both are normal.

use std::collections::BTreeMap;

use nvml_wrapper::{
    Device, Nvml,
    enum_wrappers::{
        device::{EccCounter, MemoryError},
        vgpu::VmId,
    },
    error::NvmlError,
};

use crate::tree::Tree;

const MIB_SHIFT: u32 = 20;
/// More than a card can be cut into.
const PARTS_MAX: u32 = 32;

/// What the driver says of one card.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriverCard {
    /// `NVIDIA RTX A6000`
    pub name: String,
    pub memory_mib: u64,
    pub memory_mib_used: u64,
    pub busy_percent: Option<u8>,
    /// What is wrong with it; empty: nothing.
    pub fault: String,
    /// Whether it is to be used in parts (MIG), of which there may be none yet.
    pub is_mig: bool,
    pub parts: Vec<DriverPart>,
    /// Virtual machines by the UUID of their vGPU.
    pub machines: BTreeMap<String, String>,
}

/// One MIG instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DriverPart {
    /// `MIG-…`
    pub uuid: String,
    /// `1g.10gb`
    pub profile: String,
    pub memory_mib: u64,
    pub memory_mib_used: u64,
    pub multiprocessors: u32,
    /// Processes that use it.
    pub processes: Vec<u32>,
}

/// The library, loaded while the driver is.
#[derive(Debug, Default)]
pub(crate) struct Driver {
    library: Option<Nvml>,
}

impl Driver {
    /// Cards by address; `None` without the driver, or when the library does not work.
    pub(crate) fn look(&mut self, tree: &Tree) -> Option<BTreeMap<String, DriverCard>> {
        if !tree.exists("proc/driver/nvidia/version") {
            // Unloaded meanwhile, perhaps for another version.
            self.library = None;
            return None;
        }
        if self.library.is_none() {
            self.library =
                Nvml::init().inspect_err(|error| tracing::debug!(%error, "No NVML")).ok();
        }
        let cards = look(self.library.as_ref()?);
        if cards.is_err() {
            // A driver of another version was loaded: begin anew with the next sample.
            self.library = None;
        }
        cards.ok()
    }
}

fn look(library: &Nvml) -> Result<BTreeMap<String, DriverCard>, NvmlError> {
    let mut cards = BTreeMap::new();
    for index in 0..library.device_count()? {
        // A card that is lost has no answer; that it is missing says so.
        let Ok(device) = library.device_by_index(index) else { continue };
        let Ok(pci) = device.pci_info() else { continue };
        if let Some(address) = sysfs_address(&pci.bus_id) {
            cards.insert(address, card(&device));
        }
    }
    Ok(cards)
}

fn card(device: &Device<'_>) -> DriverCard {
    let (memory_mib, memory_mib_used) = memory(device);
    let is_mig = device.mig_mode().is_ok_and(|mode| mode.current == 1);
    let count = if is_mig { device.mig_device_count().unwrap_or_default() } else { 0 };
    let part = |index| Some(part(&device.mig_device_by_index(index).ok()?));
    let machines = device.active_vgpus().unwrap_or_default().into_iter().filter_map(|vgpu| {
        let (VmId::Domain(machine) | VmId::Uuid(machine)) = vgpu.vm_id().ok()?;
        Some((vgpu.mdev_uuid().ok()?.to_ascii_lowercase(), machine))
    });
    DriverCard {
        name: device.name().unwrap_or_default(),
        memory_mib,
        memory_mib_used,
        busy_percent: device
            .utilization_rates()
            .ok()
            .and_then(|rates| u8::try_from(rates.gpu.min(100)).ok()),
        fault: fault(device),
        is_mig,
        parts: (0..count.min(PARTS_MAX)).filter_map(part).collect(),
        machines: machines.collect(),
    }
}

fn part(device: &Device<'_>) -> DriverPart {
    let (memory_mib, memory_mib_used) = memory(device);
    let name = device.name().unwrap_or_default();
    let compute = device.running_compute_processes().unwrap_or_default();
    let graphics = device.running_graphics_processes().unwrap_or_default();
    DriverPart {
        uuid: device.uuid().unwrap_or_default(),
        // `NVIDIA A100-SXM4-80GB MIG 1g.10gb`
        profile: name.rsplit_once("MIG ").map_or(name.as_str(), |(_, profile)| profile).to_owned(),
        memory_mib,
        memory_mib_used,
        multiprocessors: device.attributes().map_or(0, |found| found.multiprocessor_count),
        processes: compute.into_iter().chain(graphics).map(|process| process.pid).collect(),
    }
}

fn memory(device: &Device<'_>) -> (u64, u64) {
    device.memory_info().map_or((0, 0), |info| (info.total >> MIB_SHIFT, info.used >> MIB_SHIFT))
}

fn fault(device: &Device<'_>) -> String {
    let uncorrected = device.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile);
    match (device.utilization_rates(), uncorrected) {
        (Err(NvmlError::GpuLost), _) => "the driver has lost it".to_owned(),
        (_, Ok(count)) if count > 0 => {
            format!("{count} memory errors that could not be corrected since the start")
        }
        _ => String::new(),
    }
}

/// NVML writes `00000000:41:00.0`, in upper case.
fn sysfs_address(bus_id: &str) -> Option<String> {
    let (domain, rest) = bus_id.split_once(':')?;
    let domain = u32::from_str_radix(domain, 16).ok()?;
    Some(format!("{domain:04x}:{}", rest.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::sysfs_address;

    #[test]
    fn the_librarys_addresses_become_those_of_sysfs() {
        assert_eq!(sysfs_address("00000000:41:00.0").as_deref(), Some("0000:41:00.0"));
        assert_eq!(sysfs_address("00010000:E1:00.0").as_deref(), Some("10000:e1:00.0"));
        assert_eq!(sysfs_address("x"), None);
    }
}

//! Graphics cards on the PCI bus, as the kernel's `/sys/bus/pci/devices` shows them.

use crate::{table::CardTable, tree::Tree};

const DEVICES: &str = "sys/bus/pci/devices";

/// VGA, 3-D and other display controllers (PCI Code and ID Assignment, base class 03).
const DISPLAY: u64 = 0x03;
/// Accelerators without display (base class 12): AMD's Instinct cards are some, much else is too.
const ACCELERATOR: u64 = 0x12;
const BRIDGE: u64 = 0x06;

const NVIDIA: u64 = 0x10de;
const AMD: u64 = 0x1002;
const INTEL: u64 = 0x8086;
const MOORE_THREADS: u64 = 0x1ed5;

/// `IORESOURCE_MEM` of the kernel's `ioport.h`.
const RESOURCE_IS_MEMORY: u64 = 0x200;
/// The six base address registers; what follows in `resource` are ROM and windows.
const BARS: usize = 6;

/// One PCI function that is a graphics card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    /// `0000:41:00.0`
    pub(crate) address: String,
    /// `10de:2230`
    pub(crate) id: String,
    pub(crate) subsystem: Option<String>,
    pub(crate) driver: Option<String>,
    pub(crate) numa_node: Option<u32>,
    pub(crate) iommu_group: Option<u32>,
    /// Of the largest window into its memory.
    pub(crate) bar_mib: u64,
    /// The card that this is a virtual function of.
    pub(crate) parent: Option<String>,
    /// Virtual functions made, and possible.
    pub(crate) vfs: u64,
    pub(crate) vfs_max: u64,
    /// Does not answer on the bus any more.
    pub(crate) is_lost: bool,
    pub(crate) can_reset: bool,
    /// Whether some driver has switched it on.
    pub(crate) is_enabled: bool,
    /// Whether vGPUs can be cut from it.
    pub(crate) has_profiles: bool,
    /// Type of the vGPU that this virtual function is, where the vendor's driver says so (Linux 6.8 on).
    pub(crate) profile: Option<String>,
}

/// Another device that can only be given away together with a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) address: String,
    pub(crate) driver: Option<String>,
    pub(crate) is_bridge: bool,
}

impl Device {
    /// Bound to a driver that gives it to virtual machines: `vfio-pci`, or a maker's variant of it.
    pub(crate) fn is_given(&self) -> bool {
        is_vfio(self.driver.as_deref())
    }
}

impl Peer {
    pub(crate) fn is_given(&self) -> bool {
        is_vfio(self.driver.as_deref())
    }
}

fn is_vfio(driver: Option<&str>) -> bool {
    driver.is_some_and(|name| name.split(['-', '_']).any(|word| word == "vfio"))
}

/// All graphics cards, virtual functions among them, by address.
pub(crate) fn devices(tree: &Tree, table: &CardTable) -> Vec<Device> {
    let names = tree.names(DEVICES);
    names
        .iter()
        .filter(|name| is_address(name))
        .filter_map(|name| device(tree, table, name))
        .collect()
}

/// What stands in one IOMMU group.
pub(crate) fn group(tree: &Tree, group: u32) -> Vec<Peer> {
    let names = tree.names(&format!("sys/kernel/iommu_groups/{group}/devices"));
    let peer = |address: String| {
        let path = format!("{DEVICES}/{address}");
        Peer {
            driver: tree.link_name(&format!("{path}/driver")),
            is_bridge: tree.number(&format!("{path}/class")).is_some_and(|c| c >> 16 == BRIDGE),
            address,
        }
    };
    names.into_iter().filter(|name| is_address(name)).map(peer).collect()
}

pub(crate) fn has_iommu(tree: &Tree) -> bool {
    !tree.names("sys/kernel/iommu_groups").is_empty()
}

/// Names of the device nodes below `/dev/dri` by which programs use a card.
pub(crate) fn dri_names(tree: &Tree, address: &str) -> Vec<String> {
    tree.names(&format!("{DEVICES}/{address}/drm"))
}

/// Names of the device nodes below `/dev/vfio/devices` by which virtual machines use a card.
pub(crate) fn vfio_names(tree: &Tree, address: &str) -> Vec<String> {
    tree.names(&format!("{DEVICES}/{address}/vfio-dev"))
}

fn device(tree: &Tree, table: &CardTable, address: &str) -> Option<Device> {
    let path = format!("{DEVICES}/{address}");
    let number = |name: &str| tree.number(&format!("{path}/{name}"));
    let (vendor, device) = (number("vendor")?, number("device")?);
    let id = format!("{vendor:04x}:{device:04x}");
    if !is_card(number("class")?, vendor, address, table.figures(&id, None).is_some()) {
        return None;
    }
    let subsystem = number("subsystem_vendor").zip(number("subsystem_device"));
    Some(Device {
        address: address.to_owned(),
        id,
        subsystem: subsystem.map(|(vendor, device)| format!("{vendor:04x}:{device:04x}")),
        driver: tree.link_name(&format!("{path}/driver")),
        // -1 where the firmware does not tell.
        numa_node: number("numa_node").and_then(|node| u32::try_from(node).ok()),
        iommu_group: tree.link_name(&format!("{path}/iommu_group")).and_then(|n| n.parse().ok()),
        bar_mib: bar_mib(&tree.text(&format!("{path}/resource")).unwrap_or_default()),
        parent: tree.link_name(&format!("{path}/physfn")).filter(|name| is_address(name)),
        vfs: number("sriov_numvfs").unwrap_or_default(),
        vfs_max: number("sriov_totalvfs").unwrap_or_default(),
        is_lost: is_lost(tree, &path),
        can_reset: tree.exists(&format!("{path}/reset"))
            || tree
                .text(&format!("{path}/reset_method"))
                .is_some_and(|methods| !methods.is_empty()),
        is_enabled: number("enable").is_some_and(|count| count > 0),
        has_profiles: tree.exists(&format!("{path}/mdev_supported_types"))
            || tree.exists(&format!("{path}/nvidia/creatable_vgpu_types")),
        profile: number("nvidia/current_vgpu_type")
            .filter(|&n| n > 0)
            .map(|n| format!("nvidia-{n}")),
    })
}

/// Whether this is a card for desktops, and not a server's console or a graphics core of its CPU.
fn is_card(class: u64, vendor: u64, address: &str, is_known: bool) -> bool {
    let of_makers = match vendor {
        NVIDIA | AMD | MOORE_THREADS => true,
        // The core in the CPU is 0000:00:02.0; a card is behind a bridge.
        INTEL => !address.contains(":00:"),
        _ => false,
    };
    match class >> 16 {
        DISPLAY => of_makers || is_known,
        ACCELERATOR => is_known,
        _ => false,
    }
}

/// A card that fell off the bus reads as ones. One that sleeps is left asleep.
fn is_lost(tree: &Tree, path: &str) -> bool {
    if tree
        .text(&format!("{path}/power/runtime_status"))
        .is_some_and(|status| status == "suspended")
    {
        return false;
    }
    tree.bytes(&format!("{path}/config")).is_some_and(|config| config.starts_with(&[0xff; 4]))
}

/// The largest memory window: lines of `start end flags`.
fn bar_mib(resource: &str) -> u64 {
    let size = |line: &str| {
        let mut numbers = line
            .split_whitespace()
            .map(|text| u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok());
        let (start, end, flags) = (numbers.next()??, numbers.next()??, numbers.next()??);
        let is_memory = flags & RESOURCE_IS_MEMORY != 0;
        (is_memory && end > start).then(|| (end - start).saturating_add(1) >> 20)
    };
    resource.lines().take(BARS).filter_map(size).max().unwrap_or_default()
}

/// `0000:41:00.0`: domain (longer behind Intel's VMD), bus, slot, function.
pub(crate) fn is_address(text: &str) -> bool {
    let hex = |part: &str, digits: std::ops::RangeInclusive<usize>| {
        digits.contains(&part.len())
            && part.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
    };
    let Some((rest, function)) = text.rsplit_once('.') else { return false };
    let parts: Vec<&str> = rest.split(':').collect();
    matches!(parts[..], [domain, bus, slot]
        if hex(domain, 4..=8) && hex(bus, 2..=2) && hex(slot, 2..=2) && hex(function, 1..=1))
}

#[cfg(test)]
mod tests {
    use super::{bar_mib, is_address, is_card};

    #[test]
    fn addresses_are_told_from_other_names() {
        for good in ["0000:41:00.0", "10000:e1:00.1", "0000:00:1f.7"] {
            assert!(is_address(good), "{good}");
        }
        for bad in ["", "0000:41:00", "41:00.0", "0000:41:00.0x", "0000:4G:00.0", "0000:41:00.10"] {
            assert!(!is_address(bad), "{bad}");
        }
    }

    #[test]
    fn the_memory_window_is_the_largest_bar_and_nonsense_is_none() {
        let resource = "0x00000000f6000000 0x00000000f6ffffff 0x0000000000040200\n\
                        0x0000380000000000 0x0000380fffffffff 0x000000000014220c\n\
                        0x0000000000006000 0x000000000000607f 0x0000000000040101";
        assert_eq!(bar_mib(resource), 65_536);
        for bad in ["", "x y z", "0xf 0x1 0x200", "0x0 0xffffffffffffffffff 0x200"] {
            assert_eq!(bar_mib(bad), 0, "{bad}");
        }
        assert_eq!(bar_mib("0x0 0xffffffffffffffff 0x200"), u64::MAX >> 20);
    }

    #[test]
    fn consoles_and_graphics_cores_are_no_cards() {
        assert!(is_card(0x03_0000, 0x10de, "0000:41:00.0", false));
        assert!(is_card(0x03_0200, 0x10de, "0000:41:00.0", true));
        assert!(is_card(0x03_8000, 0x8086, "0000:03:00.0", false));
        assert!(is_card(0x12_0000, 0x1002, "0000:03:00.0", true));
        assert!(
            !is_card(0x12_0000, 0x8086, "0000:6a:00.0", false),
            "an accelerator for something else"
        );
        assert!(!is_card(0x03_0000, 0x8086, "0000:00:02.0", false), "the CPU's own");
        assert!(!is_card(0x03_0000, 0x1a03, "0000:02:00.0", false), "a BMC's");
        assert!(!is_card(0x04_0300, 0x10de, "0000:41:00.1", false), "the card's sound");
    }
}

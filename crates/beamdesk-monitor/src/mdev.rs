//! vGPUs that are mediated devices: `/sys/bus/mdev/devices` (kernel: vfio-mediated-device.rst).

use crate::{pci::is_address, tree::Tree};

const MDEVS: &str = "sys/bus/mdev/devices";
/// Names of types are some 20 characters.
const PROFILE_CHARS_MAX: usize = 64;

/// One vGPU that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mdev {
    pub(crate) uuid: String,
    /// `NVIDIA A40-8Q`, or the type's id where it has no name.
    pub(crate) profile: String,
    pub(crate) memory_mib: Option<u64>,
    /// PCI function it was cut from: a card, or a virtual function of one.
    pub(crate) parent: String,
    pub(crate) iommu_group: Option<u32>,
}

/// All vGPUs, by UUID.
pub(crate) fn mdevs(tree: &Tree) -> Vec<Mdev> {
    tree.names(MDEVS).into_iter().filter_map(|uuid| mdev(tree, uuid)).collect()
}

fn mdev(tree: &Tree, uuid: String) -> Option<Mdev> {
    let path = format!("{MDEVS}/{uuid}");
    // The device's folder lies in its parent's: the link ends in `0000:41:00.0/<uuid>`.
    let link = tree.link(&path)?;
    let parent = link.rsplit('/').nth(1).filter(|name| is_address(name))?.to_owned();
    let name = tree.text(&format!("{path}/mdev_type/name")).filter(|name| !name.is_empty());
    let profile = name.or_else(|| tree.link_name(&format!("{path}/mdev_type")))?;
    let plain = |c: &char| !c.is_control();
    let profile: String = profile.chars().filter(plain).take(PROFILE_CHARS_MAX).collect();
    let description = tree.text(&format!("{path}/mdev_type/description")).unwrap_or_default();
    Some(Mdev {
        memory_mib: framebuffer_mib(&description).or_else(|| profile_mib(&profile)),
        iommu_group: tree.link_name(&format!("{path}/iommu_group")).and_then(|n| n.parse().ok()),
        uuid,
        profile,
        parent,
    })
}

/// Of `num_heads=4, frl_config=60, framebuffer=8192M, max_resolution=7680x4320, max_instance=6`.
fn framebuffer_mib(description: &str) -> Option<u64> {
    let value =
        description.split([',', ' ', '\n']).find_map(|p| p.trim().strip_prefix("framebuffer="))?;
    value.trim_end_matches(['M', 'm']).parse().ok()
}

/// NVIDIA names types by their memory in GiB: `NVIDIA A40-8Q`, `GRID T4-16C`, `NVIDIA A16-0B`
/// (half a GiB is written 0).
pub(crate) fn profile_mib(profile: &str) -> Option<u64> {
    let (_, size) = profile.rsplit_once('-')?;
    let digits = size.strip_suffix(['Q', 'C', 'A', 'B'])?;
    let gib: u64 = digits.parse().ok()?;
    Some(if gib == 0 { 512 } else { gib.checked_mul(1024)? })
}

#[cfg(test)]
mod tests {
    use super::{framebuffer_mib, profile_mib};

    #[test]
    fn a_vgpu_tells_its_memory_by_description_or_name() {
        let description = "num_heads=4, frl_config=60, framebuffer=8192M, max_instance=6";
        assert_eq!(framebuffer_mib(description), Some(8192));
        assert_eq!(framebuffer_mib("low_gm_size: 128MB"), None);
        assert_eq!(profile_mib("NVIDIA A40-8Q"), Some(8192));
        assert_eq!(profile_mib("NVIDIA A16-0B"), Some(512));
        for other in ["nvidia-558", "i915-GVTg_V5_4", "", "A40-99999999999999999999Q"] {
            assert_eq!(profile_mib(other), None, "{other}");
        }
    }
}

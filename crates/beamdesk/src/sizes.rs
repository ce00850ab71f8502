//! Sizes that a new system offers; administrators change them on the *Sizes* page.

use beamdesk_types::{GpuRequest, Size, SizeId};

pub(crate) fn sizes() -> Vec<Size> {
    [("small", "Small", 1, 2, 10), ("medium", "Medium", 2, 4, 20), ("large", "Large", 4, 16, 50)]
        .into_iter()
        .filter_map(|(id, name, vcpus, memory_gib, disk_gib)| {
            Some(Size {
                id: id.parse::<SizeId>().ok()?,
                name: name.to_owned(),
                vcpus,
                memory_mib: memory_gib * 1024,
                disk_gib,
                gpu: GpuRequest::default(),
                term_hours: 0,
                enabled: true,
            })
        })
        .collect()
}

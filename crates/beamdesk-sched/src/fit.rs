//! Whether one node can take one desktop, and if not, why not.

use beamdesk_types::{GpuRequest, Node, Size};
use serde::{Deserialize, Serialize};

/// What a desktop needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    pub vcpus: u32,
    pub memory_mib: u64,
    pub disk_gib: u64,
    pub gpu: GpuRequest,
}

impl From<&Size> for Request {
    fn from(size: &Size) -> Self {
        Self {
            vcpus: size.vcpus,
            memory_mib: size.memory_mib,
            disk_gib: size.disk_gib,
            gpu: size.gpu,
        }
    }
}

/// The first reason why a node cannot take a desktop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misfit {
    /// The node takes no new desktops.
    Disabled,
    Vcpus,
    Memory,
    Disk,
    /// Too few free cards, of any size.
    Gpus,
    /// Enough free cards, but too few of them with enough memory.
    GpuMemory,
}

/// Says whether the node has room now, and if not, why.
pub fn fits(request: &Request, node: &Node) -> Result<(), Misfit> {
    if !node.enabled {
        return Err(Misfit::Disabled);
    }
    if request.vcpus > free_vcpus(node) {
        return Err(Misfit::Vcpus);
    }
    if request.memory_mib > free_memory_mib(node) {
        return Err(Misfit::Memory);
    }
    if request.disk_gib > free_disk_gib(node) {
        return Err(Misfit::Disk);
    }
    let wanted = usize::try_from(request.gpu.count).unwrap_or(usize::MAX);
    if wanted > node.gpus_free_mib.len() {
        return Err(Misfit::Gpus);
    }
    let large = node.gpus_free_mib.iter().filter(|&&mib| mib >= request.gpu.memory_mib).count();
    if wanted > large {
        return Err(Misfit::GpuMemory);
    }
    Ok(())
}

// A node may be overfull, for instance after an administrator lowered its overcommit: then
// nothing is free, rather than a number that wrapped around.

pub(crate) fn free_vcpus(node: &Node) -> u32 {
    node.vcpus.saturating_sub(node.vcpus_used)
}

pub(crate) fn free_memory_mib(node: &Node) -> u64 {
    node.memory_mib.saturating_sub(node.memory_mib_used)
}

pub(crate) fn free_disk_gib(node: &Node) -> u64 {
    node.disk_gib.saturating_sub(node.disk_gib_used)
}

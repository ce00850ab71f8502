//! Hosts that run desktops, as the scheduler sees them.

use serde::{Deserialize, Serialize};

use crate::NodeName;

/// What one host has, and what of it is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Node {
    pub name: NodeName,
    pub vcpus: u32,
    pub vcpus_used: u32,
    pub memory_mib: u64,
    pub memory_mib_used: u64,
    pub disk_gib: u64,
    pub disk_gib_used: u64,
    /// Memory of each free whole card, in MiB.
    pub gpus_free_mib: Vec<u64>,
    pub gpus: u32,
    /// Whether new desktops may go here.
    pub enabled: bool,
}

/// One wall between a desktop and the rest, and whether it stands on this host.
///
/// A protection that cannot be had is shown to administrators and users; it is never pretended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Protection {
    /// Stable word: `user_id`, `mount_namespace`, `pid_namespace`, `ipc_namespace`,
    /// `network_namespace`, `memory_limit`, `cpu_limit`, `task_limit`, `disk_limit`.
    pub code: String,
    pub in_force: bool,
    /// What it is made of, or why it cannot be had, for an administrator.
    pub detail: String,
}

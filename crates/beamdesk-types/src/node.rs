//! Nodes: hosts that run desktops, their graphics cards, and what their monitors tell of them.
//!
//! SRM (System Resource Monitoring) is the paper's name for the record that is kept per node.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{IdError, NodeName};

/// What one node has, and what of it is taken, as the scheduler sees it.
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
    /// Its cards as the driver or its monitor knows them. Who of ours holds them stands in claims.
    pub cards: Vec<Card>,
    /// Whether the cloud lets new desktops go here.
    pub enabled: bool,
}

/// What one card is called on its node: its PCI address (`0000:41:00.0`), or the UUID of a part of
/// one (vGPU, MIG). 1 to 64 characters of `a-z 0-9 . : - _`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "schema", schema(value_type = String))]
#[serde(try_from = "String", into = "String")]
pub struct CardAddress(String);

const ADDRESS_CHARS_MAX: usize = 64;

impl CardAddress {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CardAddress {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let plain = |c: u8| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b':' | b'-' | b'_')
        };
        let fits = !text.is_empty() && text.len() <= ADDRESS_CHARS_MAX && text.bytes().all(plain);
        if fits { Ok(Self(text.to_owned())) } else { Err(IdError::new("card")) }
    }
}

impl TryFrom<String> for CardAddress {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<CardAddress> for String {
    fn from(address: CardAddress) -> Self {
        address.0
    }
}

impl fmt::Display for CardAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One graphics card, or a part of one that can be given away by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Card {
    pub address: CardAddress,
    /// PCI vendor and device, `10de:2230`.
    pub pci_id: String,
    /// `RTX A6000`; the PCI id where no table knows it.
    pub model: String,
    pub memory_mib: u64,
    /// CUDA cores or stream processors.
    pub cores: u32,
    /// Memory bandwidth, GB/s (10^9 bytes).
    pub bandwidth_gb_s: u32,
    pub clock_mhz: u32,
    /// Single-precision peak, 10^9 operations a second.
    pub gflops: u32,
    #[serde(default)]
    pub numa_node: Option<u32>,
    #[serde(default)]
    pub iommu_group: Option<u32>,
    #[serde(default)]
    pub partitioning: Partitioning,
    pub state: CardState,
    /// Who holds it, as the host knows: a virtual machine's UUID or a program's name.
    #[serde(default)]
    pub owner: Option<String>,
    /// What is wrong with it, in words for an administrator. Empty: nothing.
    #[serde(default)]
    pub fault: String,
    /// How busy it is, percent, where the host can tell.
    #[serde(default)]
    pub busy_percent: Option<u8>,
    #[serde(default)]
    pub memory_mib_used: Option<u64>,
}

/// How a card is given to desktops.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Partitioning {
    /// To one desktop at a time.
    #[default]
    Whole,
    /// To several at once, each with a share of it.
    Shared,
    /// This is a vGPU of the type named, cut from `parent`.
    Mdev { profile: String, parent: CardAddress },
    /// This is a MIG instance of the profile named, cut from `parent`.
    Mig { profile: String, parent: CardAddress },
    /// This is a virtual function of `parent`.
    Vf { parent: CardAddress },
}

/// What a card is at the moment, as its host sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CardState {
    /// Nobody holds it.
    Free,
    /// A virtual machine or program holds it.
    Assigned,
    /// Kept out of use: bound to no driver that could give it away, or cut into parts.
    Reserved,
    Faulty,
}

/// What a monitor knows of its node apart from the cards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NodeFacts {
    pub cpus: u32,
    /// `AMD EPYC 9354 32-Core Processor`.
    pub cpu_model: String,
    /// Of all CPUs together, 0 to 1000.
    pub cpu_busy_permille: u16,
    pub memory_mib: u64,
    pub memory_mib_used: u64,
    /// Of the file system on which desktops' disks lie.
    pub disk_gib: u64,
    pub disk_gib_used: u64,
    /// What keeps cards of this node from being given away, for an administrator.
    #[serde(default)]
    pub hints: Vec<String>,
}

/// One message of a monitor to the portal. Each has a higher generation than the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeReport {
    pub node: NodeName,
    /// `/etc/machine-id` or the product UUID: two hosts never have the same.
    pub machine: String,
    /// Rises with each report, also over restarts of the monitor.
    pub generation: u64,
    pub sampled: Timestamp,
    /// Seconds until the next one.
    pub interval_s: u32,
    /// Version of the monitor.
    pub version: String,
    pub content: NodeContent,
}

/// What of a node's record is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum NodeContent {
    /// All of it.
    Full { facts: NodeFacts, cards: Vec<Card> },
    /// What differs from the report of generation `since`; nothing at all is a sign of life.
    Changes {
        since: u64,
        #[serde(default)]
        facts: Option<NodeFacts>,
        /// New, or changed.
        #[serde(default)]
        cards: Vec<Card>,
        #[serde(default)]
        gone: Vec<CardAddress>,
    },
}

/// What the portal answers to a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReportAnswer {
    /// The portal has not the report that the changes build on: send all.
    pub wants_full: bool,
    /// The portal's clock.
    pub now: Timestamp,
}

/// A monitor asks to be let in, with a secret that an administrator gave it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    pub secret: crate::Secret,
    pub node: NodeName,
    pub machine: String,
}

/// The identity a monitor reports with from now on, PEM. Its key is made by the portal, and kept by nobody but the monitor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrolAnswer {
    pub certificate: String,
    pub key: crate::Secret,
    pub authority: String,
}

/// Reports older than so many intervals say nothing of a node any more.
pub const STALE_AFTER_INTERVALS: u32 = 3;
/// More cards than any machine has; a node that tells of more is not believed.
pub const CARDS_MAX: usize = 256;

/// One wall between a desktop and the rest, and whether it stands on this node.
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

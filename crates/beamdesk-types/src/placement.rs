//! Why a desktop waits, for whom room is held, and until when it may run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    CardAddress, DesktopId, GpuRequest, NodeName, ReservationId, SizeId, StationId, UserId,
};

/// The first reason why a node cannot take a desktop, in the order in which they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Misfit {
    /// The cloud takes no new desktops there.
    Disabled,
    /// An administrator took it out of use for a while.
    Maintenance,
    /// What its monitor says is not believed.
    Quarantined,
    /// It failed for this desktop a moment ago.
    Excluded,
    /// The desktop's server lies on another node.
    Elsewhere,
    /// It is kept for other stations.
    Station,
    Vcpus,
    Memory,
    Disk,
    /// Cards are asked for, and its monitor has been silent for too long.
    Stale,
    /// Too few free cards, of any kind.
    Gpus,
    /// Enough free cards, but too few of the models asked for.
    GpuModel,
    /// …but too few of them with enough memory.
    GpuMemory,
    GpuCores,
    GpuBandwidth,
    /// No card asked for, and it would keep others from the cards of this node.
    Guard,
    /// Held for a reservation or for who waits longer.
    Reserved,
}

impl Misfit {
    pub const ALL: [Self; 17] = [
        Self::Disabled,
        Self::Maintenance,
        Self::Quarantined,
        Self::Excluded,
        Self::Elsewhere,
        Self::Station,
        Self::Vcpus,
        Self::Memory,
        Self::Disk,
        Self::Stale,
        Self::Gpus,
        Self::GpuModel,
        Self::GpuMemory,
        Self::GpuCores,
        Self::GpuBandwidth,
        Self::Guard,
        Self::Reserved,
    ];
}

/// A station (beamline): whom a desktop serves, for fair shares, reservations and kept nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Station {
    pub id: StationId,
    /// What people see.
    pub name: String,
    /// What its desktops need of cards at least.
    #[serde(default)]
    pub gpu: GpuRequest,
    /// Nodes that are for its desktops and nobody else's. Empty: none of its own.
    #[serde(default)]
    pub nodes: Vec<NodeName>,
}

/// Room held for a station's beam time: `count` desktops of a size, from `from` until `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Reservation {
    pub id: ReservationId,
    pub station: StationId,
    pub size: SizeId,
    pub count: u32,
    #[cfg_attr(feature = "schema", schema(value_type = String, format = "date-time"))]
    pub from: Timestamp,
    #[cfg_attr(feature = "schema", schema(value_type = String, format = "date-time"))]
    pub to: Timestamp,
    pub note: String,
    pub created_by: UserId,
}

/// What a desktop has taken of a node: as long as its server is on, or is being made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    pub desktop: DesktopId,
    pub node: NodeName,
    pub vcpus: u32,
    pub memory_mib: u64,
    pub disk_gib: u64,
    pub cards: Vec<CardAddress>,
    /// Of each of them, in thousandths.
    pub share_milli: u32,
}

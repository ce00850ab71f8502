//! What a cloud elsewhere tells of itself, for administrators.

use serde::{Deserialize, Serialize};

use crate::{ImageId, NodeName, SizeId, UserId};

/// A cloud, beside the servers in it. What the portal's account may not see is left out, and named
/// in `lacks`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Inventory {
    /// `openstack`.
    pub kind: String,
    /// In whose name we are there.
    pub project: String,
    pub services: Vec<CloudService>,
    pub hosts: Vec<CloudHost>,
    /// One for each of our sizes.
    pub flavors: Vec<Flavor>,
    pub limits: Vec<CloudLimit>,
    pub lacks: Vec<Lack>,
}

/// One API of the cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CloudService {
    /// `compute`, `placement`, …
    pub name: String,
    /// Microversion in use; empty: the service has none.
    pub version: String,
}

/// A host of servers, as the cloud counts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CloudHost {
    pub name: NodeName,
    /// Its service answers.
    pub is_up: bool,
    /// It takes new servers.
    pub is_enabled: bool,
    /// Why it does not, in its administrator's words.
    pub disabled_reason: String,
    pub hypervisor: String,
    pub servers: u32,
    pub resources: Vec<Resource>,
    /// What Placement calls traits.
    pub traits: Vec<String>,
    pub aggregates: Vec<String>,
}

/// How much of one kind of resource a host has, and how much of that is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Resource {
    /// `VCPU`, `MEMORY_MB`, `CUSTOM_…`; of a part of the host (a card) with that part's name.
    pub class: String,
    /// Which part of the host; empty: the host itself.
    pub part: String,
    pub total: u64,
    pub reserved: u64,
    /// How many times the total may be given away, in hundredths.
    pub ratio_percent: u64,
    pub used: u64,
}

/// What the cloud has for one of our sizes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Flavor {
    pub size: SizeId,
    /// Its name there; empty: there is none.
    pub name: String,
    pub drift: Vec<Drift>,
}

/// One thing that is otherwise in the cloud than it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Drift {
    /// `vcpus`, `ram`, `disk`, or a key of the extra specs.
    pub what: String,
    pub wanted: String,
    /// Empty: it is not there.
    pub found: String,
}

/// How much of a quota is used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CloudLimit {
    /// `instances`, `cores`, `ram`.
    pub what: String,
    pub used: u64,
    /// Absent: as many as there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
}

/// Something the portal's account may not see or do there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Lack {
    /// `hypervisors`, `services`, `placement`, `aggregates`, `flavors`, `metadefs`, `traits`.
    pub what: String,
    /// In the cloud's words, with its request.
    pub why: String,
}

/// What a server was made of, as far as it is written on it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeOf {
    pub owner: Option<UserId>,
    pub image: Option<ImageId>,
    pub size: Option<SizeId>,
    /// What the cloud calls it.
    pub name: String,
}

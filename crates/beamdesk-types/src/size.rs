//! Sizes and images: what a desktop is made of.

use serde::{Deserialize, Serialize};

use crate::{GpuRequest, ImageId, SizeId};

/// A size (OpenStack: flavor) a desktop may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Size {
    pub id: SizeId,
    /// What people see.
    pub name: String,
    pub vcpus: u32,
    pub memory_mib: u64,
    pub disk_gib: u64,
    #[serde(default)]
    pub gpu: GpuRequest,
    /// How long a desktop of this size runs before it is stopped, unless it is extended. Zero:
    /// without end.
    #[serde(default)]
    pub term_hours: u32,
    /// Offered to people for new desktops.
    pub enabled: bool,
}

/// An operating-system image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Image {
    pub id: ImageId,
    /// What people see.
    pub name: String,
    pub description: String,
    /// What it needs of cards at least, whatever the size.
    #[serde(default)]
    pub gpu: GpuRequest,
    /// Offered to people for new desktops.
    pub enabled: bool,
}

//! Sizes and images: what a desktop is made of.

use serde::{Deserialize, Serialize};

use crate::{ImageId, SizeId};

/// What a desktop needs of graphics cards. Zero cards: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GpuRequest {
    /// Whole cards.
    pub count: u32,
    /// Memory of each card, at least, in MiB.
    pub memory_mib: u64,
}

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
    /// Offered to people for new desktops.
    pub enabled: bool,
}

//! What a desktop needs, as the scheduler sees it.

use beamdesk_types::{GpuRequest, NodeName, Size, StationId};

/// What a desktop needs of a host, and which hosts it may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Thousandths of a vCPU.
    pub cpu_milli: u64,
    pub memory_mib: u64,
    pub disk_gib: u64,
    pub gpu: GpuRequest,
    /// Whom it serves: hosts kept for that station are open to it, and come first.
    pub station: Option<StationId>,
    /// The one host it may go to, because its server lies there.
    pub only: Option<NodeName>,
    /// Hosts that failed for it a moment ago.
    pub excluded: Vec<NodeName>,
}

impl Request {
    /// Whether it needs a card (the paper's GPU-type).
    pub fn wants_cards(&self) -> bool {
        self.gpu.count > 0
    }
}

impl From<&Size> for Request {
    fn from(size: &Size) -> Self {
        Self {
            cpu_milli: u64::from(size.vcpus) * 1000,
            memory_mib: size.memory_mib,
            disk_gib: size.disk_gib,
            gpu: size.gpu.clone(),
            ..Self::default()
        }
    }
}

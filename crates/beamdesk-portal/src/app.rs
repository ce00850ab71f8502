//! Decisions: who may do what to which desktop. No HTTP, no SQL.

pub(crate) mod audit;
pub mod cluster;
pub(crate) mod demand;
pub(crate) mod desktops;
pub(crate) mod events;
pub(crate) mod metrics;
pub(crate) mod monitors;
pub(crate) mod nodes;
pub(crate) mod offers;
pub(crate) mod placement;
pub(crate) mod planning;
pub(crate) mod policy;
pub(crate) mod recordings;
pub(crate) mod reservations;
pub(crate) mod sizes;
pub(crate) mod srm;
pub(crate) mod stations;
pub(crate) mod terms;
pub(crate) mod users;
pub(crate) mod whatif;

use std::{ops::Deref, sync::Arc};

use beamdesk_auth::{Auth, Authority};
use beamdesk_cloud::Compute;
use beamdesk_store::Store;
use beamdesk_types::Clock;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{
        events::Events, metrics::Metrics, monitors::Monitors, offers::NodesCache,
        planning::Planning,
    },
    config::PortalConfig,
    tasks::probe::AgentProbe,
};

/// What a portal is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    pub store: Store,
    pub auth: Auth,
    pub authority: Authority,
    pub cloud: Arc<dyn Compute>,
    pub clock: Arc<dyn Clock>,
    pub probe: Arc<dyn AgentProbe>,
    pub config: PortalConfig,
    /// Ends event streams, which otherwise would never end.
    pub shutdown: CancellationToken,
}

/// A portal's parts and what its tasks share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    parts: Parts,
    events: Events,
    nodes: NodesCache,
    planning: Planning,
    monitors: Monitors,
    metrics: Metrics,
}

impl App {
    pub fn new(parts: Parts) -> Self {
        let shared = Shared {
            parts,
            events: Events::default(),
            nodes: NodesCache::default(),
            planning: Planning::default(),
            monitors: Monitors::default(),
            metrics: Metrics::default(),
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.shared.parts
    }
}

impl App {
    pub(crate) fn events(&self) -> &Events {
        &self.shared.events
    }

    pub(crate) fn nodes_cache(&self) -> &NodesCache {
        &self.shared.nodes
    }

    pub(crate) fn planning(&self) -> &Planning {
        &self.shared.planning
    }

    pub(crate) fn monitors(&self) -> &Monitors {
        &self.shared.monitors
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }
}

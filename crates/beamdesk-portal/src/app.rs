//! Decisions: who may do what to which desktop. No HTTP, no SQL.

pub(crate) mod audit;
pub(crate) mod desktops;
pub(crate) mod events;
pub(crate) mod offers;
pub(crate) mod policy;
pub(crate) mod recordings;
pub(crate) mod sizes;
pub(crate) mod users;

use std::{ops::Deref, sync::Arc};

use beamdesk_auth::{Auth, Authority};
use beamdesk_cloud::Compute;
use beamdesk_store::Store;
use beamdesk_types::Clock;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{events::Events, offers::NodesCache},
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
}

impl App {
    pub fn new(parts: Parts) -> Self {
        let (events, nodes) = (Events::default(), NodesCache::default());
        Self { shared: Arc::new(Shared { parts, events, nodes }) }
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
}

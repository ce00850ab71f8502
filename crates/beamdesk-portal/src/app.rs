//! Decisions: who may do what to which desktop. No HTTP, no SQL.

pub(crate) mod agents;
pub(crate) mod audit;
pub(crate) mod cloud;
pub mod cluster;
pub(crate) mod demand;
pub(crate) mod desktops;
pub(crate) mod events;
pub(crate) mod leader;
pub(crate) mod metrics;
pub(crate) mod monitors;
pub(crate) mod nodes;
pub(crate) mod notices;
pub(crate) mod offers;
pub(crate) mod pace;
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

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use beamdesk_auth::{Auth, Authority};
use beamdesk_cloud::Compute;
use beamdesk_store::{Store, StoreError};
use beamdesk_types::Clock;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{
        agents::Agents, events::Events, leader::Tenure, metrics::Metrics, monitors::Monitors,
        offers::NodesCache, planning::Planning,
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
    parts: Arc<Parts>,
    shared: Arc<Shared>,
    /// Of the tasks' own: what they do is done as long as it holds.
    tenure: Option<Tenure>,
}

#[derive(Debug)]
struct Shared {
    /// Whether this portal's tasks run.
    leads: AtomicBool,
    /// Whether it is about to end.
    is_draining: AtomicBool,
    events: Events,
    nodes: NodesCache,
    planning: Planning,
    monitors: Monitors,
    agents: Agents,
    metrics: Metrics,
}

impl App {
    pub fn new(parts: Parts) -> Self {
        let events = Events::default();
        let planning = Planning::new(events.notices().clone());
        let shared = Shared {
            leads: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            events,
            nodes: NodesCache::default(),
            planning,
            monitors: Monitors::default(),
            agents: Agents::default(),
            metrics: Metrics::default(),
        };
        Self { parts: Arc::new(parts), shared: Arc::new(shared), tenure: None }
    }

    /// From now on `/readyz` says no, so that a load balancer sends nobody any more.
    pub fn drain(&self) {
        self.shared.is_draining.store(true, Ordering::Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.shared.is_draining.load(Ordering::Acquire)
    }

    /// The same portal for tasks of this tenure: the database takes nothing of them once another
    /// portal leads.
    pub(crate) fn leading(&self, tenure: &Tenure) -> Self {
        let store = self.store.fenced(tenure.epoch());
        let parts = Parts { store, ..(*self.parts).clone() };
        Self { parts: Arc::new(parts), shared: self.shared.clone(), tenure: Some(tenure.clone()) }
    }

    /// Does it as long as the tenure of these tasks surely holds; `None`: it ended before.
    pub(crate) async fn guarded<F: Future>(&self, future: F) -> Option<F::Output> {
        match &self.tenure {
            Some(tenure) => tenure.guarded(future).await,
            None => Some(future.await),
        }
    }

    pub(crate) fn leads(&self) -> bool {
        self.shared.leads.load(Ordering::Acquire)
    }

    pub(crate) fn set_leads(&self, leads: bool) {
        self.shared.leads.store(leads, Ordering::Release);
    }

    /// Sends at once what waits to be sent.
    pub(crate) async fn send_notices(&self) -> Result<(), StoreError> {
        match self.events().notices().take() {
            Some(text) => self.store.tell(&text).await,
            None => Ok(()),
        }
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
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

    pub(crate) fn agents(&self) -> &Agents {
        &self.shared.agents
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }
}

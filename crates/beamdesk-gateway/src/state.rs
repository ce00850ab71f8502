//! What all requests of one gateway share.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use beamdesk_http::Origins;
use beamdesk_types::{CloseReason, GatewayName};
use tokio::{sync::oneshot, time::Instant};
use tokio_rustls::TlsConnector;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    agent,
    attaches::Attaches,
    config::{GatewayConfig, GatewayError, Times},
    leases::Leases,
    portal::Portal,
    record::{Plays, Shelf},
};

/// Ends one live stream, with the reason to tell.
pub(crate) type Ender = oneshot::Sender<CloseReason>;

#[derive(Clone)]
pub(crate) struct Gateway(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) name: GatewayName,
    pub(crate) origins: Origins,
    pub(crate) portal_origins: Origins,
    pub(crate) times: Times,
    pub(crate) portal: Portal,
    pub(crate) connector: TlsConnector,
    pub(crate) streams: TaskTracker,
    pub(crate) shutdown: CancellationToken,
    /// Balancers are to send nobody any more.
    is_draining: AtomicBool,
    /// Nobody may attach any more.
    is_closed: AtomicBool,
    leases: Mutex<Leases<Ender>>,
    /// `None`: nothing is recorded here.
    pub(crate) shelf: Option<Arc<Shelf>>,
    attaches: Mutex<Attaches>,
    plays: Mutex<Plays>,
}

impl Gateway {
    pub(crate) fn new(
        config: &GatewayConfig,
        shutdown: CancellationToken,
    ) -> Result<Self, GatewayError> {
        let times = config.times.clone();
        let now = Instant::now().into_std();
        let shelf = config.recordings.as_ref().map(Shelf::open).transpose();
        let shelf = shelf.map_err(GatewayError::Recordings)?.map(Arc::new);
        Ok(Self(Arc::new(Shared {
            name: config.name.clone(),
            origins: config.origins.clone(),
            portal_origins: config.portal_origins.clone(),
            portal: Portal::new(config)?,
            connector: agent::connector(&config.tls),
            streams: TaskTracker::new(),
            shutdown,
            is_draining: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            leases: Mutex::new(Leases::new(
                config.streams_max,
                times.offline_grace,
                times.resting,
                now,
            )),
            shelf,
            plays: Mutex::default(),
            attaches: Mutex::new(Attaches::new(times.attach)),
            times,
        })))
    }

    pub(crate) fn drain(&self) {
        self.0.is_draining.store(true, Ordering::Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.is_draining.load(Ordering::Acquire)
    }

    pub(crate) fn close_doors(&self) {
        self.0.is_closed.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed.load(Ordering::Acquire)
    }

    /// Asks or changes the table of streams; never across an await.
    pub(crate) fn leases<T>(&self, change: impl FnOnce(&mut Leases<Ender>) -> T) -> T {
        change(&mut self.0.leases.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn plays<T>(&self, change: impl FnOnce(&mut Plays) -> T) -> T {
        change(&mut self.0.plays.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn attaches<T>(&self, change: impl FnOnce(&mut Attaches) -> T) -> T {
        change(&mut self.0.attaches.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::ops::Deref for Gateway {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Tells connections to end; one that already has needs no telling.
pub(crate) fn end(connections: Vec<(Ender, CloseReason)>) -> usize {
    let count = connections.len();
    for (ender, reason) in connections {
        let _ = ender.send(reason);
    }
    count
}

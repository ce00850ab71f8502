//! What a gateway is told at its start.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use beamdesk_http::{Limits, Origins};
use beamdesk_types::GatewayName;
use rustls::{ClientConfig, ServerConfig};
use tokio::net::TcpListener;
use url::Url;

use crate::record::Recordings;

/// One address browsers come to. Bound by the caller, so that a port in use is its own message.
#[derive(Debug)]
pub struct Listener {
    pub socket: TcpListener,
    /// `None`: plain HTTP, for loopback or behind a proxy that ends TLS.
    pub tls: Option<Arc<ServerConfig>>,
}

#[derive(Debug)]
pub struct GatewayConfig {
    /// For the log; the portal knows the name by the certificate.
    pub name: GatewayName,
    pub listeners: Vec<Listener>,
    /// This gateway's own public origins: WebSockets come from no other page.
    pub origins: Origins,
    /// The portal's public origins: tickets come from no other page, and refusals link back there.
    pub portal_origins: Origins,
    /// Where `/internal/v1` is, `https` only.
    pub portal_url: Url,
    /// Where the host of `portal_url` is, when its name is in no DNS. Of several the next is asked
    /// when one does not answer.
    pub portal_addresses: Vec<SocketAddr>,
    /// This gateway's certificate, and the authority that portal and agents are signed by.
    pub tls: Arc<ClientConfig>,
    pub limits: Limits,
    /// Streams at once, resting ones included: each live one costs some 300 KiB of buffers.
    pub streams_max: usize,
    /// `None`: nothing is recorded here, whatever the policy.
    pub recordings: Option<Recordings>,
    pub times: Times,
}

/// How long things may take.
#[derive(Debug, Clone)]
pub struct Times {
    /// Between two renewals of all leases.
    pub lease_interval: Duration,
    /// How long streams go on while the portal cannot be reached.
    pub offline_grace: Duration,
    /// One question to the portal.
    pub portal: Duration,
    /// Dialling an agent, its handshake included.
    pub agent: Duration,
    /// From an opened WebSocket to its first message.
    pub hello: Duration,
    /// One message to a viewer that does not read, or to an agent.
    pub write: Duration,
    /// Silence of a viewer after which it is asked for a sign of life.
    pub ping: Duration,
    /// Silence of a viewer after which it is gone.
    pub silence: Duration,
    /// From `attach` to the WebSocket it is for.
    pub attach: Duration,
    /// How long a stream without a viewer may be resumed.
    pub resting: Duration,
    /// Saying good-bye, and ending all streams at shutdown.
    pub close: Duration,
    /// From the word to shut down until the first viewer is told: for balancers to notice.
    pub drain_wait: Duration,
    /// Over how long viewers are told then.
    pub drain_spread: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            lease_interval: Duration::from_secs(2),
            offline_grace: Duration::from_secs(300),
            portal: Duration::from_secs(2),
            agent: Duration::from_secs(5),
            hello: Duration::from_secs(5),
            write: Duration::from_secs(30),
            ping: Duration::from_secs(15),
            silence: Duration::from_secs(45),
            attach: Duration::from_secs(10),
            resting: Duration::from_secs(3600),
            close: Duration::from_secs(2),
            drain_wait: Duration::ZERO,
            drain_spread: Duration::ZERO,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("the portal's internal address must be https: {0}")]
    NotHttps(Url),
    #[error("the client for the portal could not be made")]
    Client(#[source] reqwest::Error),
    #[error("the folder of recordings cannot be used")]
    Recordings(#[source] io::Error),
    #[error("a listener failed")]
    Listener(#[source] io::Error),
}

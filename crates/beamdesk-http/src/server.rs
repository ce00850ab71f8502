//! Accepts connections, shakes hands with many at once, and serves HTTP/1.1 on each.
//!
//! ```text
//! accepted --caps--> pending --TLS, first header--> serving --upgrade--> the handler's
//!    |                  |                              |
//!    +-- refused        +-- closed after `pending_for` +-- header timeout, shutdown
//! ```

mod caps;
mod connection;
mod proxied;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::{ServerConfig, pki_types::CertificateDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::warn;

pub use self::connection::Place;
use self::{caps::Caps, connection::Connection};

/// Who is at the other end of a connection; an extension of each request.
#[derive(Debug, Clone)]
pub struct Peer {
    pub address: SocketAddr,
    pub tls: bool,
    /// The client's certificate, verified by the listener's TLS configuration.
    pub certificate: Option<CertificateDer<'static>>,
}

/// Bounds of one listener.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once: each costs a descriptor and some tens of KiB.
    pub connections: usize,
    /// Connections at once from one address (IPv6: one /64); a laboratory may share one.
    pub per_address: usize,
    /// Of these, such as have not sent their first request yet.
    pub pending_per_address: usize,
    /// How long a connection may take from its start to the end of its first header.
    pub pending_for: Duration,
    /// How long a later header, and the idle time before it, may take.
    pub header: Duration,
    /// How long open requests may go on after shutdown was asked for.
    pub drain: Duration,
    /// Load balancers: each connection of theirs begins with a header of the PROXY protocol,
    /// version 2, and counts as the client's that it names. A handful.
    pub proxies: Vec<IpAddr>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            per_address: 512,
            pending_per_address: 20,
            pending_for: Duration::from_secs(5),
            header: Duration::from_secs(5),
            drain: Duration::from_secs(5),
            proxies: Vec::new(),
        }
    }
}

/// Wait after a failed accept: mostly the process is out of descriptors, and others end meanwhile.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then lets open requests end for `limits.drain`.
///
/// WebSockets belong to their handlers once upgraded; they watch their own token.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: axum::Router,
    limits: Limits,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let local = listener.local_addr()?;
    let acceptor = tls.map(|config| TlsAcceptor::from(http1_only(&config)));
    let caps = Caps::new(&limits);
    let tasks = TaskTracker::new();
    // Children of `shutdown` stop gracefully; this one ends what is left after the drain time.
    let abandon = CancellationToken::new();

    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                warn!(%local, %error, "Could not accept a connection, will try again");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let is_proxied = limits.proxies.contains(&address.ip().to_canonical());
        let admitted = if is_proxied { caps.admit_proxied() } else { caps.admit(address.ip()) };
        let Some(slot) = admitted else {
            continue; // Dropped: an answer would cost more than the refusal saves.
        };
        let connection = Connection {
            address,
            is_proxied,
            slot,
            acceptor: acceptor.clone(),
            router: router.clone(),
            limits: limits.clone(),
            shutdown: shutdown.clone(),
        };
        let abandon = abandon.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = abandon.cancelled() => {}
                () = connection.run(stream) => {}
            }
        });
    }

    drop(listener);
    tasks.close();
    if tokio::time::timeout(limits.drain, tasks.wait()).await.is_err() {
        abandon.cancel();
        tasks.wait().await;
    }
    Ok(())
}

/// The same configuration, offering HTTP/1.1 alone, because that is what is served.
fn http1_only(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Whether an accept error concerns only the connection that was being accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

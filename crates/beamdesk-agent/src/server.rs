//! Takes connections: streams for gateways, status for the portal.

use std::{sync::Arc, time::Duration};

use beamdesk_types::{ALPN_STATUS, ALPN_STREAM, AgentStatus, SessionState};
use rustix::net::sockopt;
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use crate::{AgentError, engine::Handle, link, tls};

/// Connections at once: eight viewers, the portal's questions, and room for the rude.
const CONNECTIONS_MAX: usize = 32;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A status is a hundred bytes.
const STATUS_TIMEOUT: Duration = Duration::from_secs(5);
/// After a failed accept (out of descriptors): a moment for others to close some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A silent connection is asked so often, and given up after so many questions.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVES: u32 = 3;
/// What the kernel takes before it can send: the rest waits where it can still be newer.
const UNSENT_BYTES: u32 = 128 << 10;
/// Streams may finish what they are writing when the engine has ended.
const DRAIN: Duration = Duration::from_secs(1);

/// Whether the desktop's session can be used.
pub type Up = watch::Receiver<bool>;
/// With what it shows itself and whom it believes. What comes new is for new connections: those
/// that are there go on.
pub type Tls = watch::Receiver<Arc<ServerConfig>>;

#[derive(Debug, Clone)]
pub struct Server {
    pub tls: Tls,
    pub engine: Handle,
    pub up: Up,
}

impl Server {
    /// Serves until `shutdown`, which cuts all connections, or until the engine ends, after which
    /// viewers still get its last words.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let tasks = TaskTracker::new();
        let cut = shutdown.child_token();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.engine.ended() => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(error = %error, "Could not accept a connection, will try again");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else {
                warn!(%peer, "Too many connections, one was closed");
                continue;
            };
            let server = self.clone();
            let cut = cut.clone();
            tasks.spawn(async move {
                let served = tokio::select! {
                    () = cut.cancelled() => Ok(()),
                    served = Box::pin(server.serve(stream)) => served,
                };
                if let Err(error) = served {
                    debug!(%peer, error = &error as &dyn std::error::Error, "Connection ended");
                }
                drop(permit);
            });
        }
        tasks.close();
        if timeout(DRAIN, tasks.wait()).await.is_err() {
            cut.cancel();
            tasks.wait().await;
        }
    }

    async fn serve(&self, stream: TcpStream) -> Result<(), AgentError> {
        prepare(&stream).map_err(AgentError::Connection)?;
        let acceptor = TlsAcceptor::from(Arc::clone(&self.tls.borrow()));
        let mut stream = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream))
            .await
            .map_err(|_| AgentError::Slow("the TLS handshake"))?
            .map_err(AgentError::Connection)?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        if !shown.is_some_and(tls::may_come_in) {
            return Err(AgentError::Stranger);
        }
        match stream.get_ref().1.alpn_protocol() {
            Some(protocol) if protocol == ALPN_STREAM => link::serve(stream, &self.engine).await,
            Some(protocol) if protocol == ALPN_STATUS => {
                timeout(STATUS_TIMEOUT, self.tell_status(&mut stream))
                    .await
                    .map_err(|_| AgentError::Slow("reading the status"))?
                    .map_err(AgentError::Connection)
            }
            Some(_) | None => stream.shutdown().await.map_err(AgentError::Connection),
        }
    }

    async fn tell_status(&self, stream: &mut TlsStream<TcpStream>) -> std::io::Result<()> {
        let text = serde_json::to_vec(&self.status())?;
        stream.write_all(&text).await?;
        stream.shutdown().await
    }

    fn status(&self) -> AgentStatus {
        let seen = self.engine.seen();
        AgentStatus {
            session: if *self.up.borrow() { SessionState::Up } else { SessionState::Starting },
            width: seen.size.width(),
            height: seen.size.height(),
            viewers: u32::try_from(seen.viewers).unwrap_or(u32::MAX),
        }
    }
}

/// No waiting for fuller packets, and none of them old when it goes out; and a gateway whose host
/// vanished is found out while it is idle.
fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    if let Err(error) = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES) {
        debug!(%error, "Could not set TCP_NOTSENT_LOWAT");
    }
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVES)?;
    Ok(())
}

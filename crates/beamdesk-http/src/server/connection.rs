//! One connection, from handshake to close.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{body::Body, extract::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::debug;

use super::{Limits, Peer, caps::Slot, proxied};

/// Start line and headers together; also the read buffer of a connection.
const HEADER_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;
/// What the kernel takes before it can send: more would only be older when it goes out.
const UNSENT_BYTES: u32 = 128 << 10;

pub(super) struct Connection {
    pub(super) address: SocketAddr,
    /// Begins with the word of a proxy on whose it is.
    pub(super) is_proxied: bool,
    pub(super) slot: Slot,
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) router: axum::Router,
    pub(super) limits: Limits,
    pub(super) shutdown: CancellationToken,
}

impl Connection {
    /// Errors end here: each is the peer's own and concerns nobody else.
    pub(super) async fn run(mut self, mut stream: TcpStream) {
        // Without this a small message waits for the acknowledgement of the one before.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "Could not set TCP_NODELAY");
        }
        if let Err(error) = SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT_BYTES) {
            debug!(%error, "Could not set TCP_NOTSENT_LOWAT");
        }
        let deadline = Instant::now() + self.limits.pending_for;
        if self.is_proxied && !self.learn_client(&mut stream, deadline).await {
            return;
        }
        let address = self.address;
        let Some(acceptor) = self.acceptor.take() else {
            let peer = Peer { address, tls: false, certificate: None };
            return self.serve(stream, peer, deadline).await;
        };
        let stream = tokio::select! {
            () = self.shutdown.cancelled() => return,
            stream = tokio::time::timeout_at(deadline, acceptor.accept(stream)) => stream,
        };
        match stream {
            Ok(Ok(stream)) => {
                let certificate = stream
                    .get_ref()
                    .1
                    .peer_certificates()
                    .and_then(<[_]>::first)
                    .map(|certificate| certificate.clone().into_owned());
                let peer = Peer { address, tls: true, certificate };
                self.serve(stream, peer, deadline).await;
            }
            Ok(Err(error)) => debug!(%error, "TLS handshake failed"),
            Err(_) => debug!("TLS handshake took too long"),
        }
    }

    /// False: it has no place here, or nobody knows whose it is.
    async fn learn_client(&mut self, stream: &mut TcpStream, deadline: Instant) -> bool {
        let told = tokio::select! {
            () = self.shutdown.cancelled() => return false,
            told = tokio::time::timeout_at(deadline, proxied::client(stream)) => told,
        };
        match told {
            Ok(Ok(client)) => {
                // Without a client it is the proxy's own check, and counts as the proxy's.
                self.address = client.unwrap_or(self.address);
                self.slot.name(self.address.ip())
            }
            Ok(Err(error)) => {
                debug!(proxy = %self.address, %error, "Could not learn a client from its proxy");
                false
            }
            Err(_) => false,
        }
    }

    async fn serve<S>(self, stream: S, peer: Peer, deadline: Instant)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { slot, router, limits, shutdown, .. } = self;
        let begun = Arc::new(Begun { slot: Mutex::new(slot), first_request: Notify::new() });
        let service = {
            let begun = begun.clone();
            service_fn(move |request: Request<Incoming>| {
                begun.settle();
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(peer.clone());
                request.extensions_mut().insert(Place(begun.clone()));
                let router = router.clone();
                async move {
                    let answer: Result<_, Infallible> = router.oneshot(request).await;
                    answer
                }
            })
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let mut is_pending = true;
        let mut is_draining = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(%error, "Connection ended early");
                    }
                    return;
                }
                () = begun.first_request.notified(), if is_pending => is_pending = false,
                () = sleep_until(deadline), if is_pending => return,
                () = shutdown.cancelled(), if !is_draining => {
                    is_draining = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Knows when the connection's first request was read.
#[derive(Debug)]
struct Begun {
    slot: Mutex<Slot>,
    first_request: Notify,
}

impl Begun {
    fn settle(&self) {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).settle();
        self.first_request.notify_one();
    }
}

/// Keeps the connection counted as long as a request, or what it was upgraded to, lives.
///
/// An extension of each request; who upgrades the connection takes it along.
#[derive(Debug, Clone)]
#[expect(dead_code, reason = "held for its drop alone")]
pub struct Place(Arc<Begun>);

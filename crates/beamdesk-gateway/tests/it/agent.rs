//! The far end of a stream, played by the test.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use beamdesk_proto::wire::{self, Framer, Message};
use bytes::Bytes;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{interval, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct FakeAgent {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

pub(crate) struct AgentStream {
    pub(crate) tls: TlsStream<TcpStream>,
    framer: Framer,
}

impl FakeAgent {
    pub(crate) async fn start(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, acceptor: TlsAcceptor::from(config) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// The next connection, as far as its handshake goes.
    pub(crate) async fn accept(&self) -> std::io::Result<AgentStream> {
        let (tcp, _) = timeout(PATIENCE, self.listener.accept()).await.unwrap()?;
        let tls = timeout(PATIENCE, self.acceptor.accept(tcp)).await.unwrap()?;
        Ok(AgentStream { tls, framer: Framer::new(wire::DOWN_BYTES_MAX) })
    }

    /// Serves everybody who dials, on and on: `message` at each beat until let go.
    pub(crate) async fn beat(&self, message: Bytes, beat: Duration) -> Infallible {
        let mut streams = JoinSet::new();
        loop {
            let (tcp, _) = self.listener.accept().await.unwrap();
            let (acceptor, message) = (self.acceptor.clone(), message.clone());
            streams.spawn(async move {
                let tls = timeout(PATIENCE, acceptor.accept(tcp)).await.unwrap().unwrap();
                let mut stream = AgentStream { tls, framer: Framer::new(wire::DOWN_BYTES_MAX) };
                assert_eq!(stream.next().await.unwrap().header.kind, wire::kind::OPEN);
                let mut beats = interval(beat);
                while stream.tls.write_all(&message).await.is_ok() {
                    stream.tls.flush().await.unwrap_or_default();
                    beats.tick().await;
                }
            });
        }
    }

    /// Whether anybody has dialled until now.
    pub(crate) async fn was_dialled(&self) -> bool {
        timeout(Duration::from_millis(1), self.listener.accept()).await.is_ok()
    }
}

impl AgentStream {
    /// The next message from the gateway; `None`: it hung up.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.framer.next_message().unwrap() {
                return Some(message);
            }
            let read = self.tls.read_buf(self.framer.buffer_mut());
            match timeout(PATIENCE, read).await.unwrap() {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.tls.write_all(bytes)).await.unwrap().unwrap();
        self.tls.flush().await.unwrap();
    }
}

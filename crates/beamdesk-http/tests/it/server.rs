//! The listener: bounds, TLS, shutdown.

use std::{sync::Arc, time::Duration};

use axum::{Extension, Router, routing::get};
use beamdesk_http::{Limits, Peer};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use crate::client::{PATIENCE, Server, rest};

async fn who(Extension(peer): Extension<Peer>) -> String {
    let certificate = peer.certificate.map_or(0, |certificate| certificate.len());
    format!("tls={} ip={} certificate={certificate}", peer.tls, peer.address.ip())
}

fn routes() -> Router {
    Router::new().route("/who", get(who))
}

struct Keys {
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

fn keys() -> Keys {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    Keys { certificate: cert.der().clone(), key: signing_key.serialize_der() }
}

impl Keys {
    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }

    fn server(&self, clients: Option<&Self>) -> Arc<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let roots = Arc::new(clients.roots());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        Arc::new(builder.with_single_cert(vec![self.certificate.clone()], self.key()).unwrap())
    }

    fn connector(&self, own: Option<&Self>) -> TlsConnector {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                builder.with_client_auth_cert(vec![own.certificate.clone()], own.key()).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

async fn over_tls(server: &Server, connector: &TlsConnector, request: &str) -> Option<String> {
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let mut stream = connector.connect(name, tcp).await.ok()?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    stream.write_all(request.as_bytes()).await.ok()?;
    let answer = rest(&mut stream).await;
    (!answer.is_empty()).then_some(answer)
}

const WHO: &str = "GET /who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_request_knows_its_peer_plain_and_over_tls() {
    let plain = Server::start(routes()).await;
    assert!(plain.get("/who").await.ends_with("tls=false ip=127.0.0.1 certificate=0"));
    let site = keys();
    let tls = Server::with(routes(), Some(site.server(None)), Limits::default()).await;
    let answer = over_tls(&tls, &site.connector(None), WHO).await.unwrap();
    assert!(answer.ends_with("tls=true ip=127.0.0.1 certificate=0"), "{answer}");
}

#[tokio::test]
async fn a_client_certificate_is_demanded_and_told() {
    let (site, client, stranger) = (keys(), keys(), keys());
    let tls = Server::with(routes(), Some(site.server(Some(&client))), Limits::default()).await;
    let answer = over_tls(&tls, &site.connector(Some(&client)), WHO).await.unwrap();
    let length = client.certificate.len();
    assert!(answer.ends_with(&format!("certificate={length}")), "{answer}");
    assert_eq!(over_tls(&tls, &site.connector(None), WHO).await, None);
    assert_eq!(over_tls(&tls, &site.connector(Some(&stranger)), WHO).await, None);
}

#[tokio::test]
async fn a_silent_handshake_holds_up_nobody() {
    let site = keys();
    let limits = Limits { pending_for: Duration::from_millis(500), ..Limits::default() };
    let tls = Server::with(routes(), Some(site.server(None)), limits).await;
    let mut silent = tls.dial().await;
    let begun = Instant::now();
    let answer = over_tls(&tls, &site.connector(None), WHO).await.unwrap();
    assert!(answer.contains("tls=true"));
    assert!(begun.elapsed() < Duration::from_millis(500), "served beside it");
    assert_eq!(rest(&mut silent).await, "", "and the silent one is closed");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn an_endless_or_huge_header_is_refused() {
    let limits = Limits { pending_for: Duration::from_millis(300), ..Limits::default() };
    let server = Server::with(routes(), None, limits).await;
    let begun = Instant::now();
    server.exchange("GET /who HTTP/1.1\r\nhost: x\r\nx: ").await;
    assert!(begun.elapsed() < Duration::from_secs(2), "closed while it was waiting for more");
    let huge = format!("GET /who HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "a".repeat(17 << 10));
    assert!(!server.exchange(&huge).await.contains("200 OK"));
    let many = format!("GET /who HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(100));
    assert!(!server.exchange(&many).await.contains("200 OK"));
    let fitting = format!(
        "GET /who HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx: {}\r\n\r\n",
        "a".repeat(8 << 10)
    );
    assert!(server.exchange(&fitting).await.contains("200 OK"));
}

#[tokio::test]
async fn a_kept_connection_that_falls_silent_is_closed() {
    let limits = Limits { header: Duration::from_millis(300), ..Limits::default() };
    let server = Server::with(routes(), None, limits).await;
    let mut stream = server.dial().await;
    stream.write_all(b"GET /who HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let begun = Instant::now();
    let answer = rest(&mut stream).await;
    assert!(answer.contains("200 OK"));
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_slow_answer_is_not_cut_by_the_bounds_of_silence() {
    let limits = Limits {
        pending_for: Duration::from_millis(100),
        header: Duration::from_millis(100),
        ..Limits::default()
    };
    let slow = || async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        "slow"
    };
    let server = Server::with(Router::new().route("/", get(slow)), None, limits).await;
    assert!(server.get("/").await.ends_with("slow"));
}

#[tokio::test]
async fn pending_connections_of_one_address_are_few() {
    let limits = Limits { pending_per_address: 3, ..Limits::default() };
    let server = Server::with(routes(), None, limits).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(server.dial().await);
    }
    assert_eq!(server.get("/who").await, "", "the fourth is turned away");
    // One of them asks and is answered: it is no longer pending.
    let first = held.first_mut().unwrap();
    first.write_all(b"GET /who HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut begin = [0; 15];
    timeout(PATIENCE, first.read_exact(&mut begin)).await.unwrap().unwrap();
    assert!(server.get("/who").await.contains("200 OK"));
}

#[tokio::test]
async fn shutdown_lets_an_open_request_end_and_abandons_what_hangs() {
    let (started, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let waits = {
        let (started, go_on) = (started.clone(), go_on.clone());
        move || {
            let (started, go_on) = (started.clone(), go_on.clone());
            async move {
                started.notify_one();
                go_on.notified().await;
                "done"
            }
        }
    };
    let router =
        Router::new().route("/", get(waits)).route("/hangs", get(std::future::pending::<()>));
    let limits = Limits { drain: Duration::from_secs(1), ..Limits::default() };
    let server = Server::with(router, None, limits).await;
    let mut open = server.dial().await;
    open.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut hangs = server.dial().await;
    hangs.write_all(b"GET /hangs HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    started.notified().await;
    server.shutdown.cancel();
    go_on.notify_one();
    assert!(rest(&mut open).await.ends_with("done"));
    timeout(PATIENCE, server.served).await.unwrap().unwrap().unwrap();
    assert_eq!(rest(&mut hangs).await, "");
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens");
}

//! A portal played by a test: TLS with an authority of its own, and answers as the test says.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use beamdesk_types::{Clock, EnrolAnswer, Secret, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    sync::mpsc,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// A test that waits longer has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Signs certificates, as the portal's does.
pub(crate) struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// The secret with which this authority lets in.
    pub(crate) fn secret(&self) -> Secret {
        Secret::new(format!("{}.only-once", hex::encode(Sha256::digest(self.certificate.der()))))
    }

    /// An identity from 2026 until the end of a year. TLS looks at the real clock: make it a late one.
    pub(crate) fn identity(&self, name: &str, until: i32) -> EnrolAnswer {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        EnrolAnswer {
            certificate: certificate.pem(),
            key: Secret::new(key.serialize_pem()),
            authority: self.pem(),
        }
    }
}

/// One request, and how to answer it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) body: String,
    /// Whether a certificate of the authority was shown.
    pub(crate) is_known: bool,
}

type Answers = Arc<Mutex<dyn FnMut(&Asked) -> (u16, String) + Send>>;

/// Serves as long as it lives.
pub(crate) struct Portal {
    pub(crate) address: SocketAddr,
    asked: mpsc::UnboundedReceiver<Asked>,
    _serving: JoinSet<()>,
}

impl Portal {
    /// Shows `chain` (identity first) and asks `answer`.
    pub(crate) async fn start(
        authority: &Authority,
        identity: &EnrolAnswer,
        shows_authority: bool,
        answer: impl FnMut(&Asked) -> (u16, String) + Send + 'static,
    ) -> Self {
        let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let tls = TlsAcceptor::from(server_config(authority, identity, shows_authority));
        let (tell, asked) = mpsc::unbounded_channel();
        let answers: Answers = Arc::new(Mutex::new(answer));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = socket.accept().await {
                let (tls, tell, answers) = (tls.clone(), tell.clone(), Arc::clone(&answers));
                connections.spawn(async move {
                    if let Ok(stream) = tls.accept(stream).await {
                        let is_known = stream.get_ref().1.peer_certificates().is_some();
                        serve(BufReader::new(stream), is_known, &tell, &answers).await;
                    }
                });
            }
        });
        Self { address, asked, _serving: serving }
    }

    /// The next request.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::time::timeout(PATIENCE, self.asked.recv()).await.expect("a request").unwrap()
    }

    /// Requests so far that nobody looked at.
    pub(crate) fn seen(&mut self) -> Option<Asked> {
        self.asked.try_recv().ok()
    }
}

async fn serve<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    is_known: bool,
    tell: &mpsc::UnboundedSender<Asked>,
    answers: &Answers,
) {
    loop {
        let mut first = String::new();
        if stream.read_line(&mut first).await.unwrap_or_default() == 0 {
            return;
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let asked = Asked {
            path: first.split(' ').nth(1).unwrap().to_owned(),
            body: String::from_utf8(body).unwrap(),
            is_known,
        };
        let (status, text) = (answers.lock().unwrap())(&asked);
        tell.send(asked).unwrap_or_default();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nretry-after: 0\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        stream.write_all((head + &text).as_bytes()).await.unwrap_or_default();
        stream.flush().await.unwrap_or_default();
    }
}

fn server_config(authority: &Authority, identity: &EnrolAnswer, shows: bool) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .unwrap();
    let mut pem = identity.certificate.clone();
    if shows {
        pem.push_str(&identity.authority);
    }
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.unwrap(), key)
        .unwrap();
    Arc::new(config)
}

/// A clock that stands still.
#[derive(Debug)]
pub(crate) struct Stopped(pub(crate) Timestamp);

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        self.0
    }
}

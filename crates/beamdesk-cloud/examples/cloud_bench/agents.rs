//! Stand-ins for the agents of all servers: they enrol as real ones do, and say that they are up.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use beamdesk_types::{
    ALPN_STATUS, AgentEnrolRequest, AgentIdentity, AgentSeed, AgentStatus, DesktopId, SessionState,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

use crate::cloud::{Cloud, Server};

/// Where desktops' agents listen; the lab's fake servers all have loopback addresses.
const LISTEN: &str = "0.0.0.0:7443";
/// What a portal is called in its certificate, wherever it is.
const PORTAL_NAME: &str = "portal.beamdesk.internal";
const LOOK_EVERY: Duration = Duration::from_secs(1);
const ENROL_TIMEOUT: Duration = Duration::from_secs(10);
/// Enrolments at once: a real agent has a machine of its own.
const ENROLS_MAX: usize = 8;

#[derive(Debug, Clone)]
pub(crate) struct Agents {
    enrolled: Arc<AtomicUsize>,
    _tasks: Arc<JoinSet<()>>,
}

impl Agents {
    pub(crate) fn start(cloud: Cloud, deployment: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let identities = Arc::new(Identities { key: key.serialize_der(), ..Identities::default() });
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?.pem()?;
        let socket =
            std::net::TcpListener::bind(LISTEN).context("could not stand in for agents")?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from_std(socket)?;
        let enrolled = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, identities.clone()));
        let deployment = deployment.to_owned();
        let (counted, known) = (enrolled.clone(), identities);
        tasks.spawn(async move {
            let mut done = HashSet::new();
            loop {
                // What goes wrong is tried again at the next look.
                if let Ok(servers) = cloud.others(&deployment, &done).await {
                    enrol_all(servers, &request, &known, &mut done, &counted).await;
                }
                sleep(LOOK_EVERY).await;
            }
        });
        Ok(Self { enrolled, _tasks: Arc::new(tasks) })
    }

    /// How many enrolled so far.
    pub(crate) fn enrolled(&self) -> usize {
        self.enrolled.load(Ordering::Relaxed)
    }
}

/// Those that are up and have not enrolled, as their agents would at their first boot.
async fn enrol_all(
    servers: Vec<Server>,
    request: &str,
    known: &Arc<Identities>,
    done: &mut HashSet<String>,
    counted: &AtomicUsize,
) {
    let mut enrols: JoinSet<(String, Result<(String, AgentIdentity)>)> = JoinSet::new();
    let mut new = servers.into_iter().filter(|server| server.status == "ACTIVE");
    loop {
        while enrols.len() < ENROLS_MAX
            && let Some(server) = new.next()
        {
            let request = request.to_owned();
            enrols.spawn(async move {
                let enrolled = enrol(&server, &request).await;
                (server.id, enrolled)
            });
        }
        match enrols.join_next().await {
            None => return,
            Some(Ok((id, Ok((name, identity))))) => {
                if known.take(name, &identity).is_ok() {
                    done.insert(id);
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
            Some(Ok((_, Err(_))) | Err(_)) => {}
        }
    }
}

async fn enrol(server: &Server, request: &str) -> Result<(String, AgentIdentity)> {
    let seed = seed(server.user_data.as_deref().context("no user data")?)?;
    let question = AgentEnrolRequest {
        desktop: seed.desktop,
        generation: seed.generation,
        secret: seed.secret.clone(),
        request: request.to_owned(),
    };
    let authority = reqwest::Certificate::from_pem(seed.authority.as_bytes())?;
    let mut last = Err(anyhow::anyhow!("it knows no portal"));
    for portal in &seed.portals {
        let portal = reqwest::Url::parse(portal)?;
        let port = portal.port_or_known_default().context("a port")?;
        let at = format!("{}:{port}", portal.host_str().context("a host")?).parse()?;
        let client = reqwest::Client::builder()
            .tls_certs_only([authority.clone()])
            .resolve(PORTAL_NAME, at)
            .no_proxy()
            .timeout(ENROL_TIMEOUT)
            .build()?;
        let url = format!("https://{PORTAL_NAME}:{port}/agent/v1/enrol");
        match client.post(url).json(&question).send().await {
            Ok(answer) => {
                ensure!(answer.status().is_success(), "{}", answer.status());
                let identity: AgentIdentity = answer.json().await?;
                let name = name(seed.desktop, identity.generation);
                return Ok((name, identity));
            }
            Err(error) => last = Err(error.into()),
        }
    }
    last
}

/// What the agent of a desktop is called in its certificate, by its first two labels.
fn name(desktop: DesktopId, generation: u32) -> String {
    format!("g{generation}.{desktop}")
}

/// From the cloud-config that the server would read from its config drive.
fn seed(user_data: &str) -> Result<AgentSeed> {
    let text = String::from_utf8(STANDARD.decode(user_data)?)?;
    let config = text.strip_prefix("#cloud-config\n").context("no cloud-config")?;
    let config: serde_json::Value = serde_json::from_str(config)?;
    let files = config["write_files"].as_array().context("no files")?;
    let file = files.iter().find(|file| file["path"] == "/etc/beamdesk/seed.json");
    let content = file.and_then(|file| file["content"].as_str()).context("no seed")?;
    Ok(serde_json::from_str(content)?)
}

/// One certificate for each agent's name; all of one key.
#[derive(Default)]
struct Identities {
    key: Vec<u8>,
    certificates: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identities")
    }
}

impl Identities {
    fn take(&self, name: String, identity: &AgentIdentity) -> Result<()> {
        let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()?;
        let key =
            PrivateKeyDer::try_from(self.key.clone()).map_err(|error| anyhow::anyhow!(error))?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider)?;
        let mut all = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(name, Arc::new(certified));
        Ok(())
    }
}

impl ResolvesServerCert for Identities {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let all = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        let mut labels = hello.server_name()?.split('.');
        let name = format!("{}.{}", labels.next()?, labels.next()?);
        all.get(&name).cloned()
    }
}

async fn serve(listener: TcpListener, identities: Arc<Identities>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let Ok(versions) =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
    else {
        return;
    };
    let mut config = versions.with_no_client_auth().with_cert_resolver(identities);
    config.alpn_protocols = vec![ALPN_STATUS.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let mut answers = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let acceptor = acceptor.clone();
                answers.spawn(async move { drop(answer(acceptor, stream).await) });
            }
            Some(_) = answers.join_next() => {}
        }
    }
}

async fn answer(acceptor: TlsAcceptor, stream: TcpStream) -> Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let status = AgentStatus { session: SessionState::Up, width: 1280, height: 720, viewers: 0 };
    stream.write_all(&serde_json::to_vec(&status)?).await?;
    stream.shutdown().await?;
    Ok(())
}

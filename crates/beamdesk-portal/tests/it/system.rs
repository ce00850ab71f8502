//! A whole portal over a simulated cloud, in this process.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use beamdesk_auth::{Auth, AuthConfig, Authority, HandleKey, PORTAL_SERVER_NAME};
use beamdesk_cloud::{Compute, sim::Sim};
use beamdesk_http::Limits;
use beamdesk_portal::{
    AgentProbe, App, Listener, Listeners, OriginPair, Parts, PortalConfig, ProbeError, run,
};
use beamdesk_store::Store;
use beamdesk_types::{
    AgentStatus, Clock, Desktop, DesktopId, GatewayName, Goal, GpuRequest, Phase, SessionState,
    Size, Timestamp, UserId,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::browser::Browser;

pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const GATEWAY_ORIGIN: &str = "https://desk.example.org";
pub(crate) const DESKTOPS_MAX: u32 = 4;

/// Bound on everything a test waits for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct System {
    pub(crate) app: App,
    pub(crate) sim: Arc<Sim>,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) address: SocketAddr,
    internal: SocketAddr,
    monitors: SocketAddr,
    authority: Authority,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    kill: CancellationToken,
    _keys: tempfile::TempDir,
}

/// Goes by the hand of the test.
#[derive(Debug)]
pub(crate) struct TestClock(Mutex<Timestamp>);

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap();
        *now += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
}

#[derive(Debug)]
struct SimProbe(Arc<Sim>);

#[async_trait]
impl AgentProbe for SimProbe {
    async fn status(&self, _: DesktopId, _: u32, address: &str) -> Result<AgentStatus, ProbeError> {
        if !self.0.agent_answers(address) {
            return Err(ProbeError::Silent);
        }
        Ok(AgentStatus { session: SessionState::Up, width: 1280, height: 720, viewers: 0 })
    }
}

impl System {
    pub(crate) async fn start() -> Self {
        let sim = Arc::new(Sim::new(1, Sim::equal_nodes(2, 16, 65_536, 1000)));
        Self::start_over(sim).await
    }

    pub(crate) async fn start_over(sim: Arc<Sim>) -> Self {
        let store = Store::open("sqlite::memory:").await.unwrap();
        Self::start_with(sim, store).await
    }

    pub(crate) async fn start_with(sim: Arc<Sim>, store: Store) -> Self {
        Self::start_at(sim, store, real_now()).await
    }

    async fn start_at(sim: Arc<Sim>, store: Store, now: Timestamp) -> Self {
        Self::start_on(sim.clone(), sim, store, now).await
    }

    /// Over a cloud that does what the simulated one does, and maybe more.
    pub(crate) async fn start_on(
        cloud: Arc<dyn Compute>,
        sim: Arc<Sim>,
        store: Store,
        now: Timestamp,
    ) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock(Mutex::new(now)));
        let authority = Authority::open_or_create(keys.path(), clock.clone()).unwrap();
        let auth_config = AuthConfig::new(HandleKey::fresh().unwrap());
        let auth = Auth::new(store.clone(), clock.clone(), auth_config);
        let public = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let internal = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let monitors = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, internal_address) =
            (public.local_addr().unwrap(), internal.local_addr().unwrap());
        let monitors_address = monitors.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let app = App::new(Parts {
            store,
            auth,
            authority: authority.clone(),
            cloud,
            clock: clock.clone(),
            probe: Arc::new(SimProbe(sim.clone())),
            config: PortalConfig {
                name: "portal".to_owned(),
                origins: vec![OriginPair {
                    portal: format!("http://{address}"),
                    gateway: GATEWAY_ORIGIN.to_owned(),
                }],
                gateway: gateway(),
                gateways: Vec::new(),
                bind_domain: None,
                monitor_url: Some(format!("https://{monitors_address}")),
                agent_portals: Vec::new(),
                desktops_max: DESKTOPS_MAX,
                screen: (1280, 720),
                sizes: sizes(),
                limits: Limits::default(),
            },
            shutdown: shutdown.clone(),
        });
        let identity = authority.portal_identity().unwrap();
        let tls = authority.server_config_requiring_client(&identity, &[]).unwrap();
        let monitors_tls = authority.server_config_allowing_client(&identity, &[]).unwrap();
        let listeners = Listeners {
            public: vec![Listener { socket: public, tls: None }],
            internal: vec![Listener { socket: internal, tls: Some(tls) }],
            monitors: vec![Listener { socket: monitors, tls: Some(monitors_tls) }],
        };
        let tasks = TaskTracker::new();
        let running = app.clone();
        let kill = CancellationToken::new();
        let killed = kill.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = killed.cancelled() => {}
                ended = run(running, listeners) => ended.unwrap(),
            }
        });
        Self {
            app,
            sim,
            clock,
            address,
            internal: internal_address,
            monitors: monitors_address,
            authority,
            tasks,
            shutdown,
            kill,
            _keys: keys,
        }
    }

    /// Ends the portal in order, as before a restart.
    pub(crate) async fn stop(self) -> Store {
        self.shutdown.cancel();
        self.tasks.close();
        tokio::time::timeout(DEADLINE, self.tasks.wait()).await.expect("the portal ends");
        self.app.store.clone()
    }

    /// Ends the portal at once, wherever it is, as kill -9 does. Its clock goes on.
    pub(crate) async fn kill(self) -> Self {
        self.kill.cancel();
        self.tasks.close();
        tokio::time::timeout(DEADLINE, self.tasks.wait()).await.expect("the portal ends");
        let now = self.clock.now();
        Self::start_at(self.sim.clone(), self.app.store.clone(), now).await
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.address)
    }

    /// A browser in which the first administrator was set up.
    pub(crate) async fn administrator(&self) -> Browser {
        let token = self.app.auth.setup_link_token().await.unwrap().expect("no administrator yet");
        let mut browser = self.browser();
        let body = json!({ "token": token.expose(), "name": "root", "password": PASSWORD });
        browser.post("/api/v1/setup", body).await.expect(200);
        browser
    }

    /// A browser in which a new account is logged in.
    pub(crate) async fn account(&self, by: &mut Browser, name: &str, role: &str) -> Browser {
        let body = json!({ "name": name, "password": PASSWORD, "role": role });
        by.post("/api/v1/users", body).await.expect(201);
        self.log_in(name).await
    }

    pub(crate) async fn log_in(&self, name: &str) -> Browser {
        let mut browser = self.browser();
        let body = json!({ "name": name, "password": PASSWORD });
        browser.post("/api/v1/session", body).await.expect(200);
        browser
    }

    /// What the gateway is told.
    pub(crate) async fn internal(&self, path: &str, body: &Value) -> (u16, Value) {
        let identity = self.authority.gateway_identity(&gateway()).unwrap();
        self.internal_as(&identity, path, body).await.unwrap()
    }

    pub(crate) async fn internal_as(
        &self,
        identity: &beamdesk_auth::Identity,
        path: &str,
        body: &Value,
    ) -> io::Result<(u16, Value)> {
        let answer = self.internal_text(identity, path, body).await?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    }

    /// The whole answer, with its head.
    pub(crate) async fn internal_text(
        &self,
        identity: &beamdesk_auth::Identity,
        path: &str,
        body: &Value,
    ) -> io::Result<String> {
        let config = self.authority.client_config(identity, &[]).unwrap();
        asked(self.internal, config, path, &body.to_string()).await
    }

    /// What a monitor is told, with this identity or none.
    pub(crate) async fn monitor(
        &self,
        identity: Option<&beamdesk_auth::Identity>,
        path: &str,
        body: &str,
    ) -> io::Result<(u16, Value)> {
        let config = match identity {
            Some(identity) => self.authority.client_config(identity, &[]).unwrap(),
            None => nameless(self.authority.authority_pem()),
        };
        let answer = asked(self.monitors, config, path, body).await?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }
}

/// A client that shows nothing of itself.
fn nameless(authority_pem: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority_pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

/// One request over a connection of its own; the whole answer.
async fn asked(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    path: &str,
    body: &str,
) -> io::Result<String> {
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(PORTAL_SERVER_NAME).unwrap();
    let mut stream = TlsConnector::from(config).connect(name, tcp).await?;
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {PORTAL_SERVER_NAME}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8(answer).unwrap())
}

/// One that is off and stays so.
pub(crate) fn desktop(owner: UserId, now: Timestamp) -> Desktop {
    Desktop {
        id: DesktopId::fresh(),
        owner,
        name: "x".to_owned(),
        image: "sim-desktop".parse().unwrap(),
        size: "small".parse().unwrap(),
        goal: Goal::Stopped,
        phase: Phase::Stopped,
        generation: 0,
        revision: 0,
        attempts: 0,
        phase_since: now,
        node: None,
        address: None,
        failure: None,
        restart: false,
        created: now,
        gpu: GpuRequest::default(),
        station: None,
        queued: now,
        ends: None,
    }
}

pub(crate) fn gateway() -> GatewayName {
    "local".parse().unwrap()
}

fn sizes() -> Vec<Size> {
    let size = |id: &str, vcpus, memory_mib, count| Size {
        id: id.parse().unwrap(),
        name: id.to_owned(),
        vcpus,
        memory_mib,
        disk_gib: 10,
        gpu: GpuRequest::whole(count, 0),
        term_hours: 0,
        enabled: true,
    };
    vec![size("small", 1, 1024, 0), size("huge", 16, 65_536, 0), size("gpu", 1, 1024, 1)]
}

#[expect(clippy::disallowed_methods, reason = "certificates are judged by the real clock")]
pub(crate) fn real_now() -> Timestamp {
    Timestamp::now()
}

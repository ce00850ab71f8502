//! A portal as a process of its own: this very program, started again.

use std::{
    env, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use beamdesk_auth::{Auth, AuthConfig, Authority, HandleKey};
use beamdesk_http::Limits;
use beamdesk_portal::{App, Listener, Listeners, OriginPair, Parts, PortalConfig, run};
use beamdesk_store::Store;
use beamdesk_types::{Clock, GpuRequest, Size, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::cloud::Driver;
use crate::system::{DEADLINE, GATEWAY_ORIGIN, gateway};

/// Where the process finds what it is to be.
const VARIABLE: &str = "BEAMDESK_TEST_PORTAL";
/// The test that becomes a portal when the variable is there.
const ENTRY: &str = "portals::process::a_portal_starts_as_a_process_of_its_own";
pub(super) const ORIGIN: &str = "https://portal.example.org";
pub(super) const DESKTOPS_MAX: u32 = 8;

/// What a process is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Told {
    pub(super) name: String,
    pub(super) database: String,
    pub(super) folder: PathBuf,
}

impl Told {
    fn address_file(&self) -> PathBuf {
        self.folder.join(format!("{}.address", self.name))
    }
}

/// The test's side of one.
#[derive(Debug)]
pub(super) struct Portal {
    told: Told,
    child: Option<Child>,
    address: SocketAddr,
}

impl Drop for Portal {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Portal {
    pub(super) async fn start(told: Told) -> Self {
        let mut portal = Self { told, child: None, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        portal.restart().await;
        portal
    }

    pub(super) fn name(&self) -> &str {
        &self.told.name
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) async fn restart(&mut self) {
        let file = self.told.address_file();
        let _ = fs::remove_file(&file);
        let log = self.told.folder.join(format!("{}.log", self.told.name));
        let log = fs::File::options().create(true).append(true).open(log).unwrap();
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", ENTRY, "--nocapture"])
            .env(VARIABLE, serde_json::to_string(&self.told).unwrap())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Ok(text) = fs::read_to_string(&file) {
                self.address = text.parse().unwrap();
                return;
            }
            assert!(Instant::now() < deadline, "{} does not start", self.told.name);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// As the kernel does when memory is short: no word to anybody.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// STOP, CONT or TERM.
    pub(super) fn signal(&self, name: &str) {
        let child = self.child.as_ref().unwrap();
        let sent =
            Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its orderly end.
    pub(super) async fn ended(&mut self) {
        let mut child = self.child.take().unwrap();
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return;
            }
            assert!(Instant::now() < deadline, "{} does not end", self.told.name);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether it leads, by its own word; false when it says nothing.
    pub(super) async fn leads(&self) -> bool {
        let client = reqwest::Client::builder().timeout(Duration::from_millis(500)).no_proxy();
        let sent = client.build().unwrap().get(format!("http://{}/readyz", self.address)).send();
        match sent.await {
            Ok(answer) => {
                let body: serde_json::Value = answer.json().await.unwrap_or_default();
                body["leads"] == true
            }
            Err(_) => false,
        }
    }
}

/// Not a test by itself: without the variable there is nothing to be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_portal_starts_as_a_process_of_its_own() {
    let Ok(told) = env::var(VARIABLE) else { return };
    let told: Told = serde_json::from_str(&told).unwrap();
    serve(&told).await;
}

#[derive(Debug)]
struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "a process of its own has the real time")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

async fn serve(told: &Told) {
    // When the test dies, so does it.
    let parent = std::os::unix::process::parent_id();
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    let keys = told.folder.join("keys");
    let store = Store::open(&told.database).await.unwrap();
    let authority = Authority::open_or_create(&keys, clock.clone()).unwrap();
    let key = HandleKey::open_or_create(&keys.join("handle.key")).unwrap();
    let auth = Auth::new(store.clone(), clock.clone(), AuthConfig::new(key));
    let driver = Arc::new(Driver::new(told.folder.join("cloud"), told.name.clone()));
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let app = App::new(Parts {
        store,
        auth,
        authority,
        cloud: driver.clone(),
        clock,
        probe: driver,
        config: PortalConfig {
            name: told.name.clone(),
            origins: vec![OriginPair {
                portal: ORIGIN.to_owned(),
                gateway: GATEWAY_ORIGIN.to_owned(),
            }],
            gateway: gateway(),
            gateways: Vec::new(),
            bind_domain: None,
            monitor_url: None,
            agent_portals: Vec::new(),
            desktops_max: DESKTOPS_MAX,
            screen: (1280, 720),
            sizes: vec![size()],
            limits: Limits::default(),
        },
        shutdown: shutdown.clone(),
    });
    let listeners = Listeners {
        public: vec![Listener { socket, tls: None }],
        internal: Vec::new(),
        monitors: Vec::new(),
    };
    tell(&told.address_file(), address).unwrap();
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).unwrap();
    let running = run(app, listeners);
    tokio::pin!(running);
    loop {
        tokio::select! {
            ended = &mut running => return ended.unwrap(),
            _ = terminate.recv() => shutdown.cancel(),
            () = sleep(Duration::from_secs(1)) => {
                if std::os::unix::process::parent_id() != parent {
                    return;
                }
            }
        }
    }
}

/// Whole or not at all.
fn tell(file: &Path, address: SocketAddr) -> io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, address.to_string())?;
    fs::rename(new, file)
}

fn size() -> Size {
    Size {
        id: "small".parse().unwrap(),
        name: "Small".to_owned(),
        vcpus: 1,
        memory_mib: 1024,
        disk_gib: 10,
        gpu: GpuRequest::default(),
        term_hours: 0,
        enabled: true,
    }
}

//! SR-24, SR-26: a seed's secret makes one identity, of the server it was made for, and that is
//! renewed for as long as this is the desktop's server.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use async_trait::async_trait;
use beamdesk_agent::{AgentError, engine, identity::Keeper, server::Server, tls};
use beamdesk_auth::Identity;
use beamdesk_cloud::{CloudError, Compute, Power, ServerId, ServerSpec, sim::Sim};
use beamdesk_media::{Encoders, PictureSize, Recorder, TestPattern};
use beamdesk_portal::{AgentProbe as _, TlsProbe};
use beamdesk_store::Store;
use beamdesk_types::{
    AgentConfig, AgentSeed, AgentStart, DesktopId, Image, Node, Protection, Secret,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    browser::Browser,
    system::{DEADLINE, System, real_now},
};

const ENROL: &str = "/agent/v1/enrol";
const RENEW: &str = "/agent/v1/renew";

/// The simulated cloud, with agents that come by their identity themselves.
#[derive(Debug)]
struct Elsewhere {
    sim: Arc<Sim>,
    /// As on the config drives of the servers that were made.
    seeds: Mutex<Vec<AgentSeed>>,
}

#[async_trait]
impl Compute for Elsewhere {
    async fn nodes(&self) -> Result<Vec<Node>, CloudError> {
        self.sim.nodes().await
    }

    async fn images(&self) -> Result<Vec<Image>, CloudError> {
        self.sim.images().await
    }

    async fn create(&self, spec: &ServerSpec) -> Result<ServerId, CloudError> {
        let AgentStart::Seeded(seed) = &spec.agent else { panic!("{:?}", spec.agent) };
        self.seeds.lock().unwrap().push(seed.clone());
        self.sim.create(spec).await
    }

    async fn find(&self, id: DesktopId) -> Result<Option<beamdesk_cloud::Server>, CloudError> {
        self.sim.find(id).await
    }

    async fn list(&self) -> Result<Vec<beamdesk_cloud::Server>, CloudError> {
        self.sim.list().await
    }

    async fn power(&self, id: &ServerId, power: Power<'_>) -> Result<(), CloudError> {
        self.sim.power(id, power).await
    }

    async fn delete(&self, id: &ServerId) -> Result<(), CloudError> {
        self.sim.delete(id).await
    }

    fn protections(&self) -> Vec<Protection> {
        self.sim.protections()
    }

    async fn shutdown(&self) {
        self.sim.shutdown().await;
    }

    fn seeds(&self) -> bool {
        true
    }
}

struct World {
    system: System,
    cloud: Arc<Elsewhere>,
}

impl World {
    /// A portal whose clock, and with it its certificates, is off by this.
    async fn start(skew: Duration, is_ahead: bool) -> Self {
        let sim = Arc::new(Sim::new(1, Sim::equal_nodes(2, 16, 65_536, 1000)));
        let cloud = Arc::new(Elsewhere { sim, seeds: Mutex::default() });
        let now = real_now();
        let now = if is_ahead { now + skew } else { now - skew };
        let store = Store::open("sqlite::memory:").await.unwrap();
        let system = System::start_on(cloud.clone(), cloud.sim.clone(), store, now).await;
        Self { system, cloud }
    }

    fn seed(&self) -> AgentSeed {
        self.cloud.seeds.lock().unwrap().last().unwrap().clone()
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.system.monitor(None, path, &body.to_string()).await.unwrap()
    }

    async fn enrol(&self, seed: &AgentSeed, key: &KeyPair) -> (u16, Value) {
        let body = json!({ "desktop": seed.desktop, "generation": seed.generation,
            "secret": seed.secret, "request": request(key) });
        self.post(ENROL, &body).await
    }

    async fn renew(&self, desktop: DesktopId, key: &KeyPair) -> (u16, Value) {
        let body = json!({ "desktop": desktop, "certificate": "", "request": request(key) });
        self.post(RENEW, &body).await
    }

    /// Whether the portal would find this agent there.
    async fn finds(&self, desktop: DesktopId, generation: u32, address: SocketAddr) -> bool {
        let authority = self.system.authority();
        let identity = authority.portal_identity().unwrap();
        let probe = TlsProbe::new(&authority.client_config(&identity, &[]).unwrap());
        probe.status(desktop, generation, &address.to_string()).await.is_ok()
    }
}

fn request(key: &KeyPair) -> String {
    CertificateParams::default().serialize_request(key).unwrap().pem().unwrap()
}

fn code(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["error"]["code"].as_str().unwrap_or_default())
}

/// How often the audit has this.
async fn audited(root: &mut Browser, action: &str) -> usize {
    let audit = root.get("/api/v1/audit").await.expect(200).to_string();
    audit.matches(&format!("\"{action}\"")).count()
}

#[tokio::test]
async fn replay_and_theft() {
    let world = World::start(Duration::ZERO, true).await;
    let mut root = world.system.administrator().await;
    let desktop = root.ready_desktop("mine").await;
    let seed = world.seed();
    assert_eq!((seed.desktop.to_string(), seed.generation), (desktop, 1));
    assert_eq!(seed.authority, world.system.authority().authority_pem());
    assert!(seed.portals[0].starts_with("https://127.0.0.1:"), "{:?}", seed.portals);

    // What is no request burns nothing.
    let (ours, thief) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let large = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    assert_eq!(code(&world.enrol(&seed, &large).await), (400, "invalid_request"));
    for bad in ["", "{", "[]", "{\"secret\": \"x\"}"] {
        let answer = world.system.monitor(None, ENROL, bad).await.unwrap();
        assert_eq!(code(&answer), (400, "bad_json"), "{bad}");
    }
    let long = "x".repeat(20_000);
    assert_eq!(world.system.monitor(None, ENROL, &long).await.unwrap().0, 413);
    let guessed = AgentSeed { secret: Secret::new("guess".to_owned()), ..seed.clone() };
    assert_eq!(code(&world.enrol(&guessed, &thief).await), (403, "unknown"));
    assert_eq!(code(&world.renew(seed.desktop, &ours).await), (403, "other_key"));

    let (status, identity) = world.enrol(&seed, &ours).await;
    assert_eq!((status, &identity["generation"]), (200, &json!(1)), "{identity}");
    assert!(identity.get("key").is_none(), "keys never travel");
    // The answer got lost, and the agent asks again.
    assert_eq!(world.enrol(&seed, &ours).await.0, 200);
    assert_eq!(audited(&mut root, "agent_alarm").await, 0);
    for _ in 0..3 {
        assert_eq!(code(&world.enrol(&seed, &thief).await), (403, "secret_used"));
    }
    assert_eq!(audited(&mut root, "agent_enrolled").await, 1);
    assert_eq!(audited(&mut root, "agent_alarm").await, 1, "once, however often it comes");
    assert_eq!(code(&world.renew(seed.desktop, &thief).await), (403, "other_key"));
    assert_eq!(world.renew(seed.desktop, &ours).await.0, 200);

    // One that is good, but comes for another desktop, is burned.
    root.ready_desktop("other").await;
    let other = world.seed();
    let turned = AgentSeed { desktop: seed.desktop, ..other.clone() };
    assert_eq!(code(&world.enrol(&turned, &thief).await), (403, "secret_misused"));
    assert_eq!(code(&world.enrol(&other, &ours).await), (403, "secret_used"));
    assert_eq!(audited(&mut root, "agent_alarm").await, 2);
    // An agent is nobody's client: neither at a portal nor at another agent.
    let posing = Identity {
        certificate_pem: identity["certificate"].as_str().unwrap().to_owned(),
        key_pem: Secret::new(ours.serialize_pem()),
    };
    world.system.monitor(Some(&posing), RENEW, "{}").await.unwrap_err();
    world.system.internal_text(&posing, "/internal/v1/leases/renew", &json!({})).await.unwrap_err();
    let audit = root.get("/api/v1/audit").await.expect(200).to_string();
    assert!(!audit.contains(seed.secret.expose()));
    world.system.stop().await;
}

#[tokio::test]
async fn of_many_thieves_and_one_agent_one_gets_it() {
    let world = World::start(Duration::ZERO, true).await;
    let mut root = world.system.administrator().await;
    root.ready_desktop("mine").await;
    let seed = world.seed();
    // A portal takes a score of handshakes at once from one address.
    let keys: Vec<KeyPair> = (0..12).map(|_| KeyPair::generate().unwrap()).collect();
    let asked = keys.iter().map(|key| world.enrol(&seed, key));
    let answers = futures_util::future::join_all(asked).await;
    let won = answers.iter().filter(|answer| answer.0 == 200).count();
    let lost = answers.iter().filter(|answer| code(answer) == (403, "secret_used")).count();
    assert_eq!((won, lost), (1, 11));
    world.system.stop().await;
}

#[tokio::test]
async fn an_agent_enrols_is_found_and_comes_back_after_each_boot() {
    let world = World::start(Duration::ZERO, true).await;
    let mut root = world.system.administrator().await;
    let id = root.ready_desktop("mine").await;
    let server = Machine::with(&world.seed());
    let mut keeper = server.open().unwrap();
    let config = keeper.enrolled().await.unwrap();
    assert_eq!(config.session.name, "mine");
    assert!(!server.seed.exists(), "the seed is gone");
    let agent = Agent::start(&config).await;
    assert!(world.finds(config.desktop, 1, agent.address).await);
    assert!(!world.finds(config.desktop, 2, agent.address).await);
    agent.end().await;

    // Off for a week, then on again, with the same user-data.
    root.order(&format!("/api/v1/desktops/{id}/stop")).await.expect(202);
    root.until(&id, "stopped").await;
    let (key, week) = (server.key(), Duration::from_secs(7 * 24 * 3600));
    assert_eq!(code(&world.renew(config.desktop, &key).await), (409, "not_running"));
    root.order(&format!("/api/v1/desktops/{id}/start")).await.expect(202);
    root.until(&id, "ready").await;
    server.write(&world.seed());
    let mut keeper = server.open().unwrap();
    assert!(!server.seed.exists(), "it is old");
    let config = keeper.enrolled().await.unwrap();
    assert_eq!(config.generation, 1, "with what it has it begins");
    let agent = Agent::start(&config).await;
    assert!(world.finds(config.desktop, 1, agent.address).await);
    agent.renew(keeper).await;
    assert!(world.finds(config.desktop, 2, agent.address).await);
    assert!(!world.finds(config.desktop, 1, agent.address).await);
    agent.end().await;
    assert_eq!(server.open().unwrap().enrolled().await.unwrap().generation, 2);
    assert_eq!(server.key().serialize_pem(), key.serialize_pem(), "and it never left");
    // By the portal's clock the certificate is over by now; the key is still this desktop's.
    world.system.clock.advance(week);
    assert_eq!(world.renew(config.desktop, &key).await.0, 200);
    world.system.stop().await;
}

#[tokio::test]
async fn a_lost_answer_a_dead_portal_and_an_hour_of_skew_keep_no_agent_out() {
    let hour = Duration::from_secs(3600);
    for (skew, is_ahead) in [(Duration::ZERO, true), (hour, true), (hour, false)] {
        let world = World::start(skew, is_ahead).await;
        let mut root = world.system.administrator().await;
        root.ready_desktop("mine").await;
        let mut seed = world.seed();
        // Bound and closed again: nobody is there.
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        seed.portals.insert(0, format!("https://{nobody}"));
        let server = Machine::with(&seed);
        drop(server.open().unwrap());
        assert_eq!(world.enrol(&seed, &server.key()).await.0, 200);
        let config = server.open().unwrap().enrolled().await.unwrap();
        let agent = Agent::start(&config).await;
        let found = world.finds(config.desktop, 1, agent.address).await;
        assert!(found, "skew {skew:?}, ahead {is_ahead}");
        agent.end().await;
        world.system.stop().await;
    }
}

#[tokio::test]
async fn what_comes_too_late_is_told_in_words_and_the_seed_stays() {
    let world = World::start(Duration::ZERO, true).await;
    let mut root = world.system.administrator().await;
    root.ready_desktop("mine").await;
    let seed = world.seed();
    assert_eq!(world.enrol(&seed, &KeyPair::generate().unwrap()).await.0, 200);
    let server = Machine::with(&seed);
    let refused = server.open().unwrap().enrolled().await.unwrap_err();
    assert!(matches!(refused, AgentError::Refused(_)), "{refused:?}");
    assert!(refused.to_string().contains("tell an administrator"), "{refused}");
    assert!(server.seed.exists());
    assert_eq!(audited(&mut root, "agent_alarm").await, 1);
    // A portal of another authority is not even told the secret.
    let stranger = World::start(Duration::ZERO, true).await;
    let authority = stranger.system.authority().authority_pem().to_owned();
    let lured = AgentSeed { authority, ..seed };
    let server = Machine::with(&lured);
    let mut keeper = server.open().unwrap();
    timeout(Duration::from_secs(2), keeper.enrolled()).await.unwrap_err();
    stranger.system.stop().await;
    world.system.stop().await;
}

#[tokio::test]
async fn the_old_server_of_a_desktop_that_was_made_anew_gets_nothing() {
    let world = World::start(Duration::ZERO, true).await;
    let mut root = world.system.administrator().await;
    root.ready_desktop("mine").await;
    let old = Machine::with(&world.seed());
    let config = old.open().unwrap().enrolled().await.unwrap();
    let desktop = config.desktop;
    // The cloud has lost it, but somewhere it goes on.
    let server = world.cloud.sim.find(desktop).await.unwrap().unwrap();
    world.cloud.sim.delete(&server.id).await.unwrap();
    let made_anew = async {
        while world.cloud.seeds.lock().unwrap().len() < 2 {
            world.system.clock.advance(Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, made_anew).await.expect("another server is made");
    assert_eq!(code(&world.renew(desktop, &old.key()).await), (403, "other_key"));
    let body = json!({ "desktop": desktop, "certificate": config.certificate,
        "request": request(&old.key()) });
    assert_eq!(code(&world.post(RENEW, &body).await), (403, "other_key"));
    let new = Machine::with(&world.seed());
    assert!(new.open().unwrap().enrolled().await.unwrap().generation > 1);
    assert_eq!(code(&world.renew(desktop, &old.key()).await), (403, "other_key"));
    assert_eq!(audited(&mut root, "agent_alarm").await, 0, "an old server is no thief");
    world.system.stop().await;
}

#[tokio::test]
async fn a_server_whose_agent_never_enrolled_is_made_anew_when_it_starts_again() {
    let world = World::start(Duration::ZERO, true).await;
    let mut root = world.system.administrator().await;
    let id = root.ready_desktop("mine").await;
    root.order(&format!("/api/v1/desktops/{id}/stop")).await.expect(202);
    root.until(&id, "stopped").await;
    let World { system, cloud } = world;
    let later = Duration::from_secs(16 * 60);
    let now = real_now() + later;
    let shift = i64::try_from(later.as_millis()).unwrap();
    let store = system.stop().await.with_clock_shift(shift);
    let system = System::start_on(cloud.clone(), cloud.sim.clone(), store, now).await;
    let mut root = system.log_in("root").await;
    root.order(&format!("/api/v1/desktops/{id}/start")).await.expect(202);
    let made_anew = async {
        while cloud.seeds.lock().unwrap().len() < 2 {
            system.clock.advance(Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, made_anew).await.expect("another server is made");
    root.until(&id, "ready").await;
    assert_eq!(cloud.sim.servers().len(), 1);
    system.stop().await;
}

/// The disk of a server.
struct Machine {
    _disk: tempfile::TempDir,
    seed: PathBuf,
    state: PathBuf,
}

impl Machine {
    fn with(seed: &AgentSeed) -> Self {
        let disk = tempfile::tempdir().unwrap();
        let machine = Self {
            seed: disk.path().join("seed.json"),
            state: disk.path().join("state"),
            _disk: disk,
        };
        machine.write(seed);
        machine
    }

    fn write(&self, seed: &AgentSeed) {
        fs::write(&self.seed, serde_json::to_vec(seed).unwrap()).unwrap();
    }

    fn open(&self) -> Result<Keeper, AgentError> {
        Keeper::open(&self.seed, &self.state)
    }

    fn key(&self) -> KeyPair {
        let kept: Value =
            serde_json::from_slice(&fs::read(self.state.join("identity.json")).unwrap()).unwrap();
        KeyPair::from_pem(kept["key"].as_str().unwrap()).unwrap()
    }
}

/// An agent on a real socket, with a test pattern for a desktop.
struct Agent {
    address: SocketAddr,
    tls: watch::Sender<Arc<ServerConfig>>,
    stop: CancellationToken,
    tasks: TaskTracker,
    engine: engine::Handle,
    thread: std::thread::JoinHandle<Result<(), AgentError>>,
}

impl Agent {
    async fn start(config: &AgentConfig) -> Self {
        let pattern = TestPattern::new(PictureSize::new(320, 200).unwrap()).unwrap();
        let pattern = pattern.every(Duration::from_millis(100));
        let input = Box::new(Recorder::default());
        let encoders = Arc::new(Encoders::none());
        let (engine, thread) = engine::start(Box::new(pattern), input, encoders, now).unwrap();
        let (tls, serving) = watch::channel(tls::server_config(config).unwrap());
        let (_, up) = watch::channel(true);
        let server = Server { tls: serving, engine: engine.clone(), up };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(server.run(listener, stop.clone()));
        Self { address, tls, stop, tasks, engine, thread }
    }

    /// Looks after the identity from now on; waits for the first renewal.
    async fn renew(&self, keeper: Keeper) {
        let mut renewed = self.tls.subscribe();
        let keep = keeper.keep_renewed(self.tls.clone(), wall);
        self.tasks.spawn(self.stop.clone().run_until_cancelled_owned(keep));
        timeout(DEADLINE, renewed.changed()).await.expect("it is renewed").unwrap();
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        timeout(DEADLINE, self.tasks.wait()).await.expect("the agent ends");
        drop(self.engine);
        tokio::task::spawn_blocking(|| self.thread.join().unwrap().unwrap()).await.unwrap();
    }
}

#[expect(clippy::disallowed_methods, reason = "the engine under test waits in real time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the agent under test has a clock")]
fn wall() -> SystemTime {
    SystemTime::now()
}

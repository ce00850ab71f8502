//! How much of a core a portal needs for a whole site, and how long a decision takes with the database.
//!
//! `cargo run --release -p beamdesk-portal --example load [-- --hosts 250 --desktops 500 --seconds 60 --json FILE]`
//!
//! A portal on a SQLite file, with real TLS, over a simulated cloud. The monitors are in a process of
//! their own, so that what they need is not counted: each reports every ten seconds over a connection
//! of its own, every report with another CPU load, every sixth with a changed card. All desktops
//! but a few stand before the measurement; those few are asked for, one after the other, during it.
#![expect(clippy::print_stdout, reason = "a benchmark's figures")]

use std::{
    collections::BTreeMap,
    io::{BufRead as _, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use async_trait::async_trait;
use beamdesk_auth::{Auth, AuthConfig, Authority, HandleKey, PORTAL_SERVER_NAME};
use beamdesk_cloud::sim::Sim;
use beamdesk_http::Limits;
use beamdesk_portal::{
    AgentProbe, App, Listener, Listeners, OriginPair, Parts, PortalConfig, ProbeError, run,
};
use beamdesk_store::Store;
use beamdesk_types::{
    AgentStatus, Card, Clock, DesktopId, GpuRequest, Node, NodeContent, NodeFacts, NodeName,
    NodeReport, NodeReportAnswer, Partitioning, SessionState, Size, Timestamp,
};
use reqwest::header;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

const INTERVAL: Duration = Duration::from_secs(10);
const CARDS_PER_HOST: u8 = 4;
/// Desktops that are asked for during the measurement, one each fifth of a second.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// For all desktops to be placed and ready before the measurement.
const READY_MAX: Duration = Duration::from_secs(300);

struct Options {
    hosts: u32,
    desktops: usize,
    seconds: u64,
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut options = Options { hosts: 250, desktops: 500, seconds: 60, json: None };
    while let Some(name) = arguments.next() {
        let value = arguments.next().context("each option has a value")?;
        match name.as_str() {
            "--hosts" => options.hosts = value.parse()?,
            "--desktops" => options.desktops = value.parse()?,
            "--seconds" => options.seconds = value.parse()?,
            "--json" => options.json = Some(value.into()),
            "--monitors" => return runtime()?.block_on(monitors(value.parse()?)),
            _ => bail!("no option {name}"),
        }
    }
    runtime()?.block_on(portal(&options))
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

#[derive(Debug)]
struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "the edge: this program's own real clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
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

async fn portal(options: &Options) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    let authority = Authority::open_or_create(&folder.path().join("keys"), clock.clone())?;
    let database = folder.path().join("beamdesk.db");
    let store = Store::open(&format!("sqlite:{}", database.display())).await?;
    let auth = Auth::new(store.clone(), clock.clone(), AuthConfig::new(HandleKey::fresh()?));
    let mut nodes = Sim::equal_nodes(options.hosts, 64, 262_144, 4000);
    for node in &mut nodes {
        node.cards = cards();
    }
    let sim = Arc::new(Sim::new(1, nodes));
    let (public, monitors) =
        (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
    let (address, monitors_address) = (public.local_addr()?, monitors.local_addr()?);
    let shutdown = CancellationToken::new();
    let app = App::new(Parts {
        store,
        auth: auth.clone(),
        authority: authority.clone(),
        cloud: sim.clone(),
        clock,
        probe: Arc::new(SimProbe(sim.clone())),
        config: PortalConfig {
            name: "portal".to_owned(),
            origins: vec![OriginPair {
                portal: format!("http://{address}"),
                gateway: "https://desk.example.org".to_owned(),
            }],
            gateway: "local".parse()?,
            gateways: Vec::new(),
            bind_domain: None,
            monitor_url: None,
            agent_portals: Vec::new(),
            desktops_max: u32::MAX,
            screen: (1280, 720),
            sizes: vec![size()?],
            limits: Limits { per_address: 4096, pending_per_address: 4096, ..Limits::default() },
        },
        shutdown: shutdown.clone(),
    });
    let identity = authority.portal_identity()?;
    let tls = authority.server_config_allowing_client(&identity, &[])?;
    let listeners = Listeners {
        public: vec![Listener { socket: public, tls: None }],
        internal: Vec::new(),
        monitors: vec![Listener { socket: monitors, tls: Some(tls) }],
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(run(app, listeners));
    let figures = async {
        let _monitors = Monitors::start(&authority, &sim.true_nodes(), monitors_address)?;
        let browser = Browser::set_up(&auth, address).await?;
        measure(&browser, &auth, options).await
    };
    let figures = tokio::select! {
        figures = figures => figures?,
        ended = tasks.join_next() => bail!("the portal ended: {ended:?}"),
    };
    shutdown.cancel();
    while tasks.join_next().await.is_some() {}
    for (name, value) in &figures {
        println!("{name:<44} {value:>10.3}");
    }
    if let Some(file) = &options.json {
        let figure = |(name, value): (&String, &f64)| {
            let unit = name.rsplit('_').next().unwrap_or_default();
            json!({ "name": name, "value": value, "unit": unit, "n": 1,
                "command": "cargo run --release -p beamdesk-portal --example load" })
        };
        let all: Vec<Value> = figures.iter().map(figure).collect();
        std::fs::write(file, json!(all).to_string())?;
    }
    Ok(())
}

async fn measure(
    browser: &Browser,
    auth: &Auth,
    options: &Options,
) -> Result<BTreeMap<String, f64>> {
    let token = auth.new_metrics_token().await?.expose().to_owned();
    let hosts = f64::from(options.hosts);
    let open = "beamdesk_nodes{state=\"open\"}";
    until(|| async { Ok(browser.metric(&token, open).await? >= hosts) })
        .await
        .context("all hosts report")?;
    for number in 0..options.desktops {
        browser.new_desktop(number).await?;
    }
    let wanted = f64::from(u32::try_from(options.desktops)?);
    let ready = "beamdesk_desktops{phase=\"ready\"}";
    until(|| async { Ok(browser.metric(&token, ready).await? >= wanted) })
        .await
        .context("all desktops are ready")?;

    // At rest: only reports.
    let before = browser.page(&token).await?;
    let (begun, cpu) = (Instant::now(), cpu_s()?);
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let (took, cpu) = (begun.elapsed().as_secs_f64(), cpu_s()? - cpu);
    let after = browser.page(&token).await?;
    let reports = |page: &Page| page.get("beamdesk_reports_total{verdict=\"taken\"}").copied();
    let reports = reports(&after).unwrap_or_default() - reports(&before).unwrap_or_default();
    let mut figures = BTreeMap::new();
    figures.insert("portal.load.cpu_percent".to_owned(), 100.0 * cpu / took);
    figures.insert("portal.load.reports_per_s".to_owned(), reports / took);

    // And now people come.
    let before = after;
    let mut tick = tokio::time::interval(ASK_EVERY);
    for number in 0..usize::try_from(options.seconds * 5)? {
        tick.tick().await;
        browser.new_desktop(options.desktops + number).await?;
    }
    let after = browser.page(&token).await?;
    let rose = |name: &str| {
        after.get(name).copied().unwrap_or_default() - before.get(name).copied().unwrap_or_default()
    };
    let within = |le: &str| rose(&format!("beamdesk_decision_seconds_bucket{{le=\"{le}\"}}"));
    let count = within("+Inf");
    ensure!(count > 0.0, "nothing was decided");
    figures.insert("portal.load.decisions".to_owned(), count);
    let mean_ms = 1000.0 * rose("beamdesk_decision_seconds_sum") / count;
    figures.insert("portal.load.decision_mean_ms".to_owned(), mean_ms);
    for (le, ms) in [("0.002", 2), ("0.005", 5), ("0.01", 10), ("0.02", 20), ("0.05", 50)] {
        let name = format!("portal.load.decisions_within_{ms:02}_ms_percent");
        figures.insert(name, 100.0 * within(le) / count);
    }
    Ok(figures)
}

async fn until<F: Future<Output = Result<bool>>>(is_so: impl Fn() -> F) -> Result<()> {
    let deadline = Instant::now() + READY_MAX;
    while !is_so().await? {
        ensure!(Instant::now() < deadline, "not within {READY_MAX:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// Processor time of this process, seconds: fields 14 and 15 of proc(5)'s stat, in ticks of 10 ms.
fn cpu_s() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = stat.rsplit_once(')').context("no command in /proc/self/stat")?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || -> Result<u32> { Ok(fields.next().context("too few fields")?.parse()?) };
    Ok(f64::from(ticks()? + ticks()?) / 100.0)
}

fn size() -> Result<Size> {
    Ok(Size {
        id: "one-card".parse()?,
        name: "One card".to_owned(),
        vcpus: 4,
        memory_mib: 16_384,
        disk_gib: 50,
        gpu: GpuRequest::whole(1, 24_576),
        term_hours: 0,
        enabled: true,
    })
}

/// What `/metrics` said.
type Page = BTreeMap<String, f64>;

/// An administrator's.
struct Browser {
    client: reqwest::Client,
    base: String,
    cookie: String,
}

impl Browser {
    async fn set_up(auth: &Auth, address: SocketAddr) -> Result<Self> {
        let base = format!("http://{address}");
        let client = reqwest::Client::builder().no_proxy().build()?;
        let token = auth.setup_link_token().await?.context("no administrator yet")?;
        let mut browser = Self { client, base, cookie: String::new() };
        let body = json!({ "token": token.expose(), "name": "root",
            "password": "correct horse battery" });
        let answer = browser.post("/api/v1/setup", &body).await?;
        let cookies = answer.headers().get_all(header::SET_COOKIE);
        let pairs = cookies.iter().filter_map(|line| line.to_str().ok()?.split(';').next());
        browser.cookie = pairs.collect::<Vec<_>>().join("; ");
        Ok(browser)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<reqwest::Response> {
        let answer = self
            .client
            .post(format!("{}{path}", self.base))
            .header(header::COOKIE, &self.cookie)
            .header(header::ORIGIN, &self.base)
            .header("x-beamdesk", "1")
            .header("sec-fetch-site", "same-origin")
            .json(body)
            .send()
            .await?;
        Ok(answer.error_for_status()?)
    }

    async fn new_desktop(&self, number: usize) -> Result<()> {
        let body = json!({ "name": format!("desktop {number}"), "image": "sim-desktop",
            "size": "one-card" });
        self.post("/api/v1/desktops", &body).await?;
        Ok(())
    }

    async fn page(&self, token: &str) -> Result<Page> {
        let request = self.client.get(format!("{}/metrics", self.base)).bearer_auth(token);
        let text = request.send().await?.error_for_status()?.text().await?;
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }

    async fn metric(&self, token: &str, name: &str) -> Result<f64> {
        Ok(self.page(token).await?.get(name).copied().unwrap_or_default())
    }
}

/// What the process of the monitors is told of one of them.
#[derive(Serialize, Deserialize)]
struct Told {
    node: NodeName,
    /// Certificate and key, PEM.
    identity: String,
    authority: String,
}

/// The process of the monitors; ends with the value.
struct Monitors(Child);

impl Monitors {
    fn start(authority: &Authority, nodes: &[Node], address: SocketAddr) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--monitors", &address.to_string()])
            .stdin(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().context("no input")?;
        for node in nodes {
            let identity = authority.monitor_identity(&node.name)?;
            let told = Told {
                node: node.name.clone(),
                identity: format!("{}{}", identity.certificate_pem, identity.key_pem.expose()),
                authority: authority.authority_pem().to_owned(),
            };
            writeln!(stdin, "{}", serde_json::to_string(&told)?)?;
        }
        Ok(Self(child))
    }
}

impl Drop for Monitors {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn monitors(address: SocketAddr) -> Result<()> {
    let told: Vec<Told> = std::io::stdin()
        .lock()
        .lines()
        .map(|line| Ok(serde_json::from_str(&line?)?))
        .collect::<Result<_>>()?;
    let count = u32::try_from(told.len())?;
    let mut tasks = JoinSet::new();
    for (place, told) in told.into_iter().enumerate() {
        // Spread over the interval, as they are at a real site.
        let begin = INTERVAL * u32::try_from(place)? / count;
        tasks.spawn(async move {
            tokio::time::sleep(begin).await;
            monitor(told, address).await
        });
    }
    match tasks.join_next().await {
        Some(ended) => ended?,
        None => Ok(()),
    }
}

async fn monitor(told: Told, address: SocketAddr) -> Result<()> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .identity(reqwest::Identity::from_pem(told.identity.as_bytes())?)
        .tls_certs_only([reqwest::Certificate::from_pem(told.authority.as_bytes())?])
        .resolve(PORTAL_SERVER_NAME, address)
        .build()?;
    let url = format!("https://{PORTAL_SERVER_NAME}:{}/srm/v1/reports", address.port());
    let cards = cards();
    let mut tick = tokio::time::interval(INTERVAL);
    let mut wants_full = true;
    for generation in 1.. {
        tick.tick().await;
        let report = report(&told.node, generation, wants_full, &cards);
        let answer = client.post(&url).json(&report).send().await?.error_for_status()?;
        wants_full = answer.json::<NodeReportAnswer>().await?.wants_full;
    }
    Ok(())
}

/// Of each host: the simulated cloud and the monitors tell of the same.
fn cards() -> Vec<Card> {
    Sim::equal_cards(CARDS_PER_HOST, "RTX A6000", 49_140, &Partitioning::Whole)
}

fn report(node: &NodeName, generation: u64, is_full: bool, cards: &[Card]) -> NodeReport {
    let facts = NodeFacts {
        cpus: 64,
        cpu_model: "AMD EPYC 9354 32-Core Processor".to_owned(),
        cpu_busy_permille: u16::try_from(generation * 137 % 1000).unwrap_or_default(),
        memory_mib: 262_144,
        memory_mib_used: 65_536,
        disk_gib: 4000,
        disk_gib_used: 1000,
        hints: Vec::new(),
    };
    let content = if is_full {
        NodeContent::Full { facts, cards: cards.to_vec() }
    } else {
        let mut changed = cards.first().cloned().filter(|_| generation.is_multiple_of(6));
        if let Some(card) = &mut changed {
            card.busy_percent = u8::try_from(generation % 101).ok();
        }
        let cards = changed.into_iter().collect();
        NodeContent::Changes { since: generation - 1, facts: Some(facts), cards, gone: Vec::new() }
    };
    NodeReport {
        node: node.clone(),
        machine: format!("machine-of-{node}"),
        generation,
        sampled: RealClock.now(),
        interval_s: 10,
        version: "0.1.0".to_owned(),
        content,
    }
}

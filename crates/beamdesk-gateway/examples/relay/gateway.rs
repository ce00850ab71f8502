//! The gateway under test, in a process of its own.

use std::{
    io::{BufRead as _, Write as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use beamdesk_gateway::{GatewayConfig, Listener, Times, run};
use beamdesk_http::{Limits, Origins};
use beamdesk_types::{ALPN_STREAM, DesktopId, StreamId};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    version::TLS13,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    agent::FakeAgent,
    pki::{Authority, Identity},
    portal::{self, FakePortal},
};

pub(crate) const PORTAL_ORIGIN: &str = "https://portal.example.org";
pub(crate) const ORIGIN: &str = "https://desk.example.org";
pub(crate) const AGENT: &str = "g1.desk.agent.beamdesk.internal";
/// Of clock_t in /proc; Linux has had no other value for decades.
const TICKS_PER_S: f64 = 100.0;

/// What the process is told on its standard input.
#[derive(Serialize, Deserialize)]
struct Told {
    root: String,
    client: Pair,
    site: Pair,
    portal: SocketAddr,
    streams_max: usize,
}

#[derive(Serialize, Deserialize)]
struct Pair {
    certificate: String,
    key: String,
}

/// Runs as the gateway until its standard input closes.
pub(crate) fn serve() -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let told: Told = serde_json::from_str(&line)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let plain = TcpListener::bind("127.0.0.1:0").await?;
        let tls = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(std::io::stdout(), "{} {}", plain.local_addr()?, tls.local_addr()?)?;
        let limits = Limits {
            per_address: 4 * told.streams_max,
            pending_per_address: 4 * told.streams_max,
            ..Limits::default()
        };
        let config = GatewayConfig {
            name: "gw1".parse()?,
            listeners: vec![
                Listener { socket: plain, tls: None },
                Listener { socket: tls, tls: Some(site(&told)?) },
            ],
            origins: Origins::new([ORIGIN])?,
            portal_origins: Origins::new([PORTAL_ORIGIN])?,
            portal_url: format!("https://{}:{}/", portal::NAME, told.portal.port()).parse()?,
            portal_addresses: vec![told.portal],
            tls: client(&told)?,
            limits,
            streams_max: told.streams_max,
            recordings: None,
            times: Times::default(),
        };
        Ok(run(config, CancellationToken::new()).await?)
    })
}

/// The running gateway, and the portal and the agents it knows.
pub(crate) struct Gateway {
    process: Child,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) authority: Authority,
    pub(crate) portal: FakePortal,
    pub(crate) agents: FakeAgent,
}

impl Gateway {
    pub(crate) async fn start(streams_max: usize) -> anyhow::Result<Self> {
        let authority = Authority::fresh();
        let agents = FakeAgent::start(authority.server(AGENT, &[ALPN_STREAM])).await;
        let nobody =
            portal::grant(DesktopId::from_u128(1), StreamId::from_u128(1), agents.address(), AGENT);
        let portal = FakePortal::start(&authority, nobody).await;
        let told = Told {
            root: hex::encode(authority.root()),
            client: pair(&authority.identity("gw1.gateway.beamdesk.internal")),
            site: pair(&authority.identity("localhost")),
            portal: portal.address(),
            streams_max,
        };
        let mut process = Command::new(std::env::current_exe()?)
            .arg("--gateway")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdin = process.stdin.take().context("its input is a pipe")?;
        writeln!(stdin, "{}", serde_json::to_string(&told)?)?;
        let mut line = String::new();
        let stdout = process.stdout.take().context("its output is a pipe")?;
        std::io::BufReader::new(stdout).read_line(&mut line)?;
        let (plain, tls) = line.trim().split_once(' ').context("the gateway did not start")?;
        let (plain, tls) = (plain.parse()?, tls.parse()?);
        Ok(Self { process, plain, tls, authority, portal, agents })
    }

    /// CPU time of the process until now, user and system.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // proc_pid_stat(5): after the name in parentheses, utime and stime are 12th and 13th.
        let (_, rest) = stat.rsplit_once(") ").context("no name")?;
        let ticks = rest.split(' ').skip(11).take(2).map(str::parse::<u32>);
        let ticks = ticks.sum::<Result<u32, _>>()?;
        Ok(Duration::from_secs_f64(f64::from(ticks) / TICKS_PER_S))
    }

    pub(crate) fn memory_kib(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.kill().unwrap_or_default();
        drop(self.process.wait());
    }
}

fn pair(identity: &Identity) -> Pair {
    Pair {
        certificate: hex::encode(&identity.chain[0]),
        key: hex::encode(identity.key.secret_der()),
    }
}

fn read(pair: &Pair) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let key = PrivatePkcs8KeyDer::from(hex::decode(&pair.key)?);
    Ok((vec![CertificateDer::from(hex::decode(&pair.certificate)?)], PrivateKeyDer::Pkcs8(key)))
}

fn client(told: &Told) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(hex::decode(&told.root)?))?;
    let (chain, key) = read(&told.client)?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    Ok(Arc::new(config))
}

fn site(told: &Told) -> anyhow::Result<Arc<ServerConfig>> {
    let (chain, key) = read(&told.site)?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}

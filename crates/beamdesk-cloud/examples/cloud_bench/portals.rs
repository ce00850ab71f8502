//! Portals as processes of their own, and the proxy between them and the cloud.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::{
    Options,
    chance::Chance,
    cloud::Cloud,
    figures::millis,
    share::{self, Span},
};

/// Servers in the making at once: Nova on two cores gets no faster with more.
const BUILDS_MAX: usize = 8;
const START_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Ticks of `/proc/<pid>/stat` in a second (`getconf CLK_TCK` on Linux).
const TICKS: f64 = 100.0;

/// Where everything of one run lies.
#[derive(Debug)]
pub(crate) struct Setup {
    beamdesk: PathBuf,
    deployment: String,
    portals: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    config: PathBuf,
    log: PathBuf,
    origin: String,
}

impl Setup {
    pub(crate) fn new(
        options: &Options,
        cloud: &Cloud,
        proxy: &Proxy,
        folder: &Path,
    ) -> Result<Self> {
        let keys = folder.join("keys");
        let made = std::process::Command::new(&options.beamdesk)
            .args(["keys", "new", "--keys"])
            .arg(&keys)
            .stdout(Stdio::null())
            .status()
            .context("could not run beamdesk; build it first")?;
        ensure!(made.success(), "beamdesk keys new failed");
        let database = match &options.database {
            Some(url) => url.clone(),
            None => format!("sqlite:{}", folder.join("beamdesk.db").display()),
        };
        let ports: Vec<[u16; 3]> =
            (0..options.portals).map(|_| free_ports()).collect::<Result<_>>()?;
        let origins: Vec<String> =
            ports.iter().map(|[public, ..]| format!("http://127.0.0.1:{public}")).collect();
        let agents: Vec<String> = ports
            .iter()
            .map(|[_, _, monitors]| format!("\"https://127.0.0.1:{monitors}\""))
            .collect();
        let deployment = format!("bench{}", std::process::id());
        let mut portals = Vec::new();
        for (n, [public, internal, monitors]) in ports.iter().enumerate() {
            let mut text = format!(
                "name = \"portal{n}\"\ndatabase = \"{database}\"\nkeys = \"{}\"\n\
                 monitor_url = \"https://127.0.0.1:{monitors}\"\ndesktops_max = {}\n\
                 drain_seconds = 0\n",
                keys.display(),
                options.desktops * 2,
            );
            for origin in &origins {
                text += &format!(
                    "[[origins]]\nportal = \"{origin}\"\ngateway = \"http://127.0.0.1:1\"\n"
                );
            }
            text += &format!(
                "[[gateways]]\nname = \"none\"\n[listen]\npublic = \"127.0.0.1:{public}\"\n\
                 internal = \"127.0.0.1:{internal}\"\nmonitors = \"127.0.0.1:{monitors}\"\n\
                 [cloud.openstack]\nclouds_file = \"{}\"\ncloud = \"{INVENTORY_USER}\"\n\
                 deployment = \"{deployment}\"\nnetwork = \"{}\"\nportals = [{}]\n\
                 gateways = [\"127.0.0.0/8\"]\nbuilds_max = {BUILDS_MAX}\nimages = [\"{}\"]\n\
                 make_flavors = false\n",
                proxy.clouds.display(),
                cloud.lab.network,
                agents.join(", "),
                cloud.lab.image,
            );
            let config = folder.join(format!("portal{n}.toml"));
            fs::write(&config, text)?;
            let log = folder.join(format!("portal{n}.log"));
            let origin = origins.get(n).cloned().unwrap_or_default();
            portals.push(Place { config, log, origin });
        }
        Ok(Self { beamdesk: options.beamdesk.clone(), deployment, portals })
    }

    pub(crate) fn deployment(&self) -> &str {
        &self.deployment
    }

    fn spawn(&self, place: &Place) -> Result<Child> {
        let log = fs::File::options().create(true).append(true).open(&place.log)?;
        let mut command = Command::new(&self.beamdesk);
        command.args(["portal", "--config"]).arg(&place.config);
        command.stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).kill_on_drop(true);
        Ok(command.spawn()?)
    }
}

/// Sees hosts, so that the scheduler has them without a monitor on each.
const INVENTORY_USER: &str = "beamdesk-inventory";

/// The running ones.
#[derive(Debug)]
pub(crate) struct Portals {
    running: Vec<Child>,
    origins: Vec<String>,
    beamdesk: PathBuf,
    config: PathBuf,
    /// CPU seconds of those that were killed.
    spent: f64,
    killed: Option<usize>,
}

impl Portals {
    pub(crate) async fn start(setup: &Setup) -> Result<Self> {
        let first = setup.portals.first().context("at least one portal")?;
        let mut portals = Self {
            running: Vec::new(),
            origins: setup.portals.iter().map(|place| place.origin.clone()).collect(),
            beamdesk: setup.beamdesk.clone(),
            config: first.config.clone(),
            spent: 0.0,
            killed: None,
        };
        for place in &setup.portals {
            portals.running.push(setup.spawn(place)?);
            up(&place.origin).await.with_context(|| format!("see {}", place.log.display()))?;
        }
        Ok(portals)
    }

    pub(crate) fn origins(&self) -> Vec<String> {
        self.origins.clone()
    }

    /// For the first administrator.
    pub(crate) async fn setup_token(&self) -> Result<String> {
        let mut command = Command::new(&self.beamdesk);
        command.args(["portal", "--config"]).arg(&self.config).arg("--setup-link");
        let told = command.output().await?;
        let text = String::from_utf8(told.stdout)?;
        let token = text.trim().rsplit_once('#').map(|(_, token)| token.to_owned());
        token.with_context(|| format!("no set-up link: {}", String::from_utf8_lossy(&told.stderr)))
    }

    /// One of them, at once, wherever it is.
    pub(crate) async fn kill_one(&mut self, chance: &mut Chance) -> Result<()> {
        let one = chance.index(self.running.len());
        let child = self.running.get_mut(one).context("a portal")?;
        self.spent += child.id().map_or(0.0, cpu_of);
        child.kill().await?;
        self.killed = Some(one);
        Ok(())
    }

    /// Starts again what was killed, and waits until it serves.
    pub(crate) async fn restart(&mut self, setup: &Setup) -> Result<()> {
        let Some(one) = self.killed.take() else { return Ok(()) };
        let place = setup.portals.get(one).context("a portal")?;
        if let Some(child) = self.running.get_mut(one) {
            *child = setup.spawn(place)?;
        }
        up(&place.origin).await.with_context(|| format!("see {}", place.log.display()))
    }

    /// CPU seconds of all, killed ones included.
    pub(crate) fn cpu(&self) -> f64 {
        self.spent + self.running.iter().filter_map(Child::id).map(cpu_of).sum::<f64>()
    }

    pub(crate) async fn stop(&mut self) {
        for child in &mut self.running {
            drop(child.kill().await);
        }
    }
}

/// Until a portal serves.
async fn up(origin: &str) -> Result<()> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
    let until = Instant::now() + START_MAX;
    while Instant::now() < until {
        if let Ok(answer) = client.get(format!("{origin}/healthz")).send().await
            && answer.status().is_success()
        {
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
    bail!("the portal at {origin} did not come up")
}

/// User and system time so far, in seconds (proc(5), fields 14 and 15).
fn cpu_of(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS
}

fn free_ports() -> Result<[u16; 3]> {
    let all: Vec<TcpListener> =
        (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<std::io::Result<_>>()?;
    let ports: Vec<u16> =
        all.iter().map(|one| Ok(one.local_addr()?.port())).collect::<std::io::Result<_>>()?;
    <[u16; 3]>::try_from(ports).map_err(|_| anyhow::anyhow!("three ports"))
}

/// In front of every API; lets all through until told otherwise.
#[derive(Debug)]
pub(crate) struct Proxy {
    child: Child,
    control: String,
    /// A `clouds.yaml` whose addresses lead through it.
    clouds: PathBuf,
    client: reqwest::Client,
    list: PathBuf,
    began: Instant,
}

#[derive(Deserialize)]
struct Started {
    control: String,
}

impl Proxy {
    pub(crate) async fn start(options: &Options, cloud: &Cloud, folder: &Path) -> Result<Self> {
        let clouds = folder.join("clouds.yaml");
        let list = folder.join("faults.jsonl");
        let mut command = Command::new(&options.proxy);
        command
            .args(["--keystone", &cloud.lab.auth_url, "--off", "--rate", &options.rate])
            .args(["--seed", &options.seed.to_string()])
            .arg("--list")
            .arg(&list)
            .arg("--clouds")
            .arg(&cloud.lab.clouds_file)
            .arg("--clouds-out")
            .arg(&clouds)
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().context("could not run the fault proxy; build it first")?;
        let output = child.stdout.take().context("its output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        let Started { control } = serde_json::from_str(&line).context("the proxy did not start")?;
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { child, control, clouds, client, list, began: Instant::now() })
    }

    pub(crate) async fn faults(&self, on: bool) -> Result<()> {
        let word = if on { "on" } else { "off" };
        self.client
            .post(format!("http://{}/{word}", self.control))
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    /// What it did, in its own words.
    pub(crate) async fn counts(&self) -> Result<serde_json::Value> {
        let asked = self.client.get(format!("http://{}/counts", self.control)).send().await?;
        Ok(asked.json().await?)
    }

    /// When requests were under way, in milliseconds since `run` began.
    pub(crate) fn requests(&self, run: Instant) -> Result<Vec<Span>> {
        share::requests(&self.list, millis(run - self.began))
    }

    pub(crate) async fn stop(mut self) {
        drop(self.child.kill().await);
    }
}

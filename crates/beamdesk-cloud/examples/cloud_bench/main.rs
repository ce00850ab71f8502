//! Desktops on a real OpenStack: many asked for at once, and a portal that is killed all the time.
//!
//! `cargo xtask bench cloud [--desktops N] [--hosts N] [--kills N] [--portals N] [--json FILE]`
//!
//! 1. *Scale*: all desktops are asked for within a minute and followed until each is ready or failed.
//! 2. *Kill* (with `--kills`): desktops come and go while portals are killed at random moments, and a
//!    proxy before every API delays, drops answers after the work is done, answers nonsense. Then it
//!    stops, and servers and rows must match one to one within a minute.
//!
//! The portals are real processes, built for speed. The hosts are Nova's fake driver, in whose
//! servers no agent runs. So this program is the agent of each: it reads the seed in the server's user
//! data, as its agent would, enrols with it at the portal, and answers at the server's address. A
//! desktop counts as ready when the portal says so.
#![expect(clippy::print_stdout, reason = "a benchmark's figures")]

mod agents;
mod chance;
mod cloud;
mod figures;
mod portals;
mod share;
mod site;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use self::{
    agents::Agents,
    chance::Chance,
    cloud::Cloud,
    figures::{Figures, Samples},
    portals::{Portals, Proxy, Setup},
    site::Site,
};

/// All are asked for within this time, as at the begin of beam time.
const ASKED_WITHIN: Duration = Duration::from_secs(60);
/// How often the portal is asked how its desktops are.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// Nova on two cores makes about one server in three seconds; twice that, and some time to begin.
const EACH_MAX: Duration = Duration::from_secs(6);
const BEGIN_MAX: Duration = Duration::from_secs(180);
/// Between two kills.
const KILL_APART_MS: (u64, u64) = (300, 3000);
/// What a portal may take until it serves again; then the next is killed.
const RESTART_MAX: Duration = Duration::from_secs(60);
/// After faults and kills: servers and rows must match by then.
const MATCH_MAX: Duration = Duration::from_secs(60);
/// What a match is waited for in the end, to say how long it took where it took too long.
const MATCH_PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Clone)]
pub(crate) struct Options {
    lab: PathBuf,
    beamdesk: PathBuf,
    proxy: PathBuf,
    desktops: usize,
    hosts: usize,
    kills: usize,
    portals: usize,
    /// Address of a PostgreSQL for several portals.
    database: Option<String>,
    seed: u64,
    rate: String,
    keep: bool,
    json: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = options()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(bench(&options))
}

fn options() -> Result<Options> {
    let mut options = Options {
        lab: PathBuf::new(),
        beamdesk: PathBuf::new(),
        proxy: PathBuf::new(),
        desktops: 500,
        hosts: 250,
        kills: 0,
        portals: 1,
        database: None,
        seed: 1,
        rate: "0.2".to_owned(),
        keep: false,
        json: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--keep" {
            options.keep = true;
            continue;
        }
        let value = arguments.next().context("each option has a value")?;
        match name.as_str() {
            "--lab" => options.lab = value.into(),
            "--beamdesk" => options.beamdesk = value.into(),
            "--proxy" => options.proxy = value.into(),
            "--desktops" => options.desktops = value.parse()?,
            "--hosts" => options.hosts = value.parse()?,
            "--kills" => options.kills = value.parse()?,
            "--portals" => options.portals = value.parse()?,
            "--database" => options.database = Some(value),
            "--seed" => options.seed = value.parse()?,
            "--rate" => options.rate = value,
            "--json" => options.json = Some(value.into()),
            _ => bail!("no option {name}"),
        }
    }
    ensure!(options.desktops > 0, "--desktops is at least 1");
    ensure!(options.portals == 1 || options.database.is_some(), "several portals need --database");
    Ok(options)
}

async fn bench(options: &Options) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("beamdesk-bench-").tempdir()?;
    println!("Logs of the portals are in {}", folder.path().display());
    let cloud = Cloud::open(&options.lab).await?;
    let hosts = cloud.hosts();
    if hosts < options.hosts {
        println!(
            "The lab has {hosts} hosts, not {}; see `cargo xtask openstack up --hosts N`",
            options.hosts
        );
    }
    let proxy = Proxy::start(options, &cloud, folder.path()).await?;
    let setup = Setup::new(options, &cloud, &proxy, folder.path())?;
    let agents = Agents::start(cloud.clone(), setup.deployment())?;
    let mut portals = Portals::start(&setup).await?;
    let site = Site::enter(&portals).await?;

    let mut figures = Figures::new(options, hosts);
    let outcome = async {
        scale(options, &cloud, &site, &setup, &portals, &proxy, &agents, &mut figures).await?;
        if options.kills > 0 {
            kill(options, &cloud, &site, &setup, &mut portals, &proxy, &mut figures).await?;
        }
        anyhow::Ok(())
    }
    .await;
    // Whatever came of it, nothing of ours stays in the cloud.
    drop(proxy.faults(false).await);
    let cleared = clear(&cloud, &site, &setup).await;
    portals.stop().await;
    proxy.stop().await;
    if options.keep {
        println!("Kept {}", folder.keep().display());
    }
    outcome?;
    cleared?;
    figures.write(options.json.as_deref())
}

/// All at once, followed until each is ready or has failed.
#[expect(clippy::too_many_arguments, reason = "all that a run has to do with, once")]
async fn scale(
    options: &Options,
    cloud: &Cloud,
    site: &Site,
    setup: &Setup,
    portals: &Portals,
    proxy: &Proxy,
    agents: &Agents,
    figures: &mut Figures,
) -> Result<()> {
    println!("Asking for {} desktops within {} s", options.desktops, ASKED_WITHIN.as_secs());
    let count = u32::try_from(options.desktops)?;
    let begun = Instant::now();
    let cpu = portals.cpu();
    let mut samples = Samples::new(begun);
    let mut asking: JoinSet<Result<()>> = JoinSet::new();
    {
        let site = site.clone();
        asking.spawn(async move {
            for n in 0..count {
                tokio::time::sleep_until(begun + ASKED_WITHIN * n / count).await;
                site.ask(&format!("bench {n}")).await?;
            }
            Ok(())
        });
    }
    let until = begun + BEGIN_MAX + ASKED_WITHIN + EACH_MAX * count;
    loop {
        sleep(SAMPLE_EVERY).await;
        let asked = Instant::now();
        let desktops = site.desktops().await?;
        samples.take(&desktops, asked.elapsed());
        if let Some(asked) = asking.try_join_next() {
            asked??;
        }
        if asking.is_empty() && desktops.iter().all(site::Desktop::has_arrived) {
            break;
        }
        if Instant::now() > until {
            println!("Time is over: {}", figures::in_words(&desktops));
            break;
        }
        samples.tell(&desktops);
    }
    let desktops = site.desktops().await?;
    let servers = cloud.servers(setup.deployment()).await?;
    let metrics = site.metrics().await?;
    let mut busy = proxy.requests(begun)?;
    busy.extend(cloud.builds(&servers, begun));
    figures.scale(
        &samples,
        &desktops,
        &servers,
        &busy,
        portals.cpu() - cpu,
        agents.enrolled(),
        &metrics,
    );
    ensure!(
        desktops.len() == options.desktops,
        "of {} desktops {} are there",
        options.desktops,
        desktops.len()
    );
    Ok(())
}

/// Comings and goings, with kills and faults.
async fn kill(
    options: &Options,
    cloud: &Cloud,
    site: &Site,
    setup: &Setup,
    portals: &mut Portals,
    proxy: &Proxy,
    figures: &mut Figures,
) -> Result<()> {
    println!(
        "Killing portals {} times, with faults before every API (seed {})",
        options.kills, options.seed
    );
    let mut chance = Chance::new(options.seed);
    proxy.faults(true).await?;
    let begun = Instant::now();
    let mut busy = JoinSet::new();
    busy.spawn(site.clone().keep_busy(options.seed, options.desktops));
    for n in 1..=options.kills {
        sleep(Duration::from_millis(chance.between(KILL_APART_MS.0, KILL_APART_MS.1))).await;
        portals.kill_one(&mut chance).await?;
        tokio::time::timeout(RESTART_MAX, portals.restart(setup))
            .await
            .context("a portal that was killed is not back")??;
        if n % 10 == 0 {
            println!(
                "{n} kills, {} s, {} servers",
                begun.elapsed().as_secs(),
                cloud.servers(setup.deployment()).await?.len()
            );
        }
    }
    busy.shutdown().await;
    let doubled_ever = cloud.doubled_ever();
    proxy.faults(false).await?;
    let counts = proxy.counts().await?;
    let stopped = Instant::now();
    println!("Faults and kills are over; servers and rows must match now");
    let (mut matched, mut settled) = (None, None);
    while settled.is_none() && stopped.elapsed() < MATCH_PATIENCE {
        // Rows before servers: what is asked for in between is no mismatch.
        let rows = site.desktops().await?;
        let servers = cloud.servers(setup.deployment()).await?;
        let differ = cloud::differences(&rows, &servers);
        if differ.is_empty() {
            matched = matched.or(Some(stopped.elapsed()));
            settled = (cloud::moving(&rows) == 0).then(|| stopped.elapsed());
        } else {
            matched = None;
        }
        sleep(Duration::from_secs(1)).await;
    }
    let rows = site.desktops().await?;
    let servers = cloud.servers(setup.deployment()).await?;
    figures.kill(
        options.kills,
        (matched, settled),
        MATCH_MAX,
        &rows,
        &servers,
        doubled_ever,
        &counts,
    );
    Ok(())
}

/// Deletes all desktops, and says what is left of them in the cloud.
async fn clear(cloud: &Cloud, site: &Site, setup: &Setup) -> Result<()> {
    let rows = site.desktops().await?;
    println!("Deleting {} desktops", rows.len());
    for row in &rows {
        drop(site.delete(&row.id).await);
    }
    let count = u32::try_from(rows.len())?;
    let until = Instant::now() + BEGIN_MAX + EACH_MAX * count;
    loop {
        let left = cloud.servers(setup.deployment()).await?.len();
        let rows = site.desktops().await?.len();
        if left == 0 && rows == 0 {
            return Ok(());
        }
        if Instant::now() > until {
            bail!(
                "{left} servers and {rows} rows are left over; look for the tag beamdesk:{}",
                setup.deployment()
            );
        }
        sleep(Duration::from_secs(1)).await;
    }
}

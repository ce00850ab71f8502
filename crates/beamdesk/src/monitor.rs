//! `beamdesk monitor`: what this node has, told to the portal or printed.

use std::{
    env,
    fs::File,
    io::{ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use beamdesk_monitor::{Config, Entry, Given, Probe, ProbeConfig, Sample, Tree, host_name, run};
use beamdesk_types::{Card, NodeName, Partitioning, Secret};
use clap::{Args, ValueEnum};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;
use url::Url;

use crate::{clock::SystemClock, data::default_folder};

/// Holds an enrolment secret, for who starts monitors by a tool.
const SECRET_VARIABLE: &str = "BEAMDESK_ENROL_SECRET";
/// A secret is some 110 characters.
const SECRET_BYTES_MAX: u64 = 4096;

#[derive(Args)]
pub(crate) struct Options {
    /// The portal's address for monitors, https://HOST:PORT
    #[arg(long, value_name = "URL", required_unless_present = "print")]
    portal: Option<Url>,

    /// File with the enrolment secret, needed the first time only; the variable
    /// BEAMDESK_ENROL_SECRET does too
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,

    /// Folder for identity and state [default: /var/lib/beamdesk-monitor for root, else beside
    /// ~/.local/share/beamdesk]
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,

    /// Name of this node, as the cloud knows it [default: its host name]
    #[arg(long)]
    name: Option<NodeName>,

    /// Seconds between two samples
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=3600))]
    interval: u16,

    /// Who gets the cards: virtual machines, or programs of this host
    #[arg(long, value_enum, default_value_t = GiveTo::Machines)]
    give_to: GiveTo,

    /// Folder in whose file system disks of desktops lie
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    disk: PathBuf,

    /// Table of cards (TOML) that adds to the one built in, and overrides it
    #[arg(long, value_name = "FILE")]
    cards: Option<PathBuf>,

    /// Looks at copies of another machine's /sys, /proc and /etc below this folder
    #[arg(long, value_name = "FOLDER", default_value = "/")]
    root: PathBuf,

    /// Does not load NVIDIA's library, which keeps cards from being bound to another driver
    #[arg(long)]
    no_nvml: bool,

    /// Prints what is seen, and ends
    #[arg(long)]
    print: bool,

    /// Prints as JSON
    #[arg(long, requires = "print")]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GiveTo {
    Machines,
    Host,
}

pub(crate) fn monitor(options: &Options) -> Result<()> {
    let name = match &options.name {
        Some(name) => name.clone(),
        None => NodeName::of_host(&host_name(&Tree::new(&options.root))),
    };
    let given = match options.give_to {
        GiveTo::Machines => Given::Passthrough,
        GiveTo::Host => Given::Host,
    };
    let probe = ProbeConfig {
        root: options.root.clone(),
        cards: options.cards.clone(),
        disk: options.disk.clone(),
        given,
        nvml: !options.no_nvml,
    };
    if options.print {
        return print(&name, probe, options.json);
    }
    let portal = options.portal.clone().context("--portal is missing")?;
    let config = Config {
        node: name,
        probe,
        portal,
        entry: Entry::Enrol { secret: secret(options.secret_file.as_deref())? },
        interval: Duration::from_secs(options.interval.into()),
        state: options.state.clone().unwrap_or_else(state_folder),
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let done = runtime.block_on(report(config));
    // A driver that hangs must not keep the monitor from ending.
    runtime.shutdown_background();
    done
}

async fn report(config: Config) -> Result<()> {
    let shutdown = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let running = run(config, Arc::new(SystemClock), shutdown.clone());
    tokio::pin!(running);
    tokio::select! {
        done = &mut running => return Ok(done?),
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    info!("Stopping");
    shutdown.cancel();
    Ok(running.await?)
}

/// Beside the folder of `beamdesk up`.
fn state_folder() -> PathBuf {
    default_folder().with_file_name("beamdesk-monitor")
}

/// `None` where none is given: an identity may be kept from before.
fn secret(file: Option<&Path>) -> Result<Option<Secret>> {
    let text = match (file, env::var(SECRET_VARIABLE)) {
        (Some(file), _) => {
            let shown = file.display();
            let mut text = String::new();
            // May be standard input: /dev/stdin.
            File::open(file)
                .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text))
                .with_context(|| format!("could not read {shown}"))?;
            text
        }
        (None, Ok(text)) => text,
        (None, Err(_)) => return Ok(None),
    };
    Ok(Some(Secret::new(text.trim().to_owned())).filter(|secret| !secret.expose().is_empty()))
}

/// Whoever reads only the beginning, like `head`, has what it wants.
fn print(name: &NodeName, config: ProbeConfig, as_json: bool) -> Result<()> {
    let mut probe = Probe::new(config)?;
    let sample = probe.sample();
    let text = if as_json {
        let Sample { facts, cards } = &sample;
        let seen = json!({
            "node": name, "machine": probe.machine(), "facts": facts, "cards": cards,
        });
        serde_json::to_string_pretty(&seen)? + "\n"
    } else {
        words(name, probe.machine().unwrap_or("no machine id"), &sample)
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn words(name: &NodeName, machine: &str, sample: &Sample) -> String {
    let Sample { facts, cards } = sample;
    let mut lines = vec![
        format!("node    {name} ({machine})"),
        format!("CPUs    {}, {} % busy", facts.cpus, facts.cpu_busy_permille / 10),
        format!("memory  {} of {} MiB used", facts.memory_mib_used, facts.memory_mib),
        format!("disk    {} of {} GiB used", facts.disk_gib_used, facts.disk_gib),
    ];
    if !facts.cpu_model.is_empty() {
        lines.insert(2, format!("        {}", facts.cpu_model));
    }
    if cards.is_empty() {
        lines.push("cards   none".to_owned());
    }
    lines.extend(cards.iter().map(|card| format!("card    {}", line(card))));
    lines.extend(facts.hints.iter().map(|hint| format!("hint    {hint}")));
    lines.join("\n") + "\n"
}

fn line(card: &Card) -> String {
    let state = format!("{:?}", card.state).to_lowercase();
    let mut line = format!(
        "{}  {}, {} MiB, {} cores, {} GB/s, {state}",
        card.address, card.model, card.memory_mib, card.cores, card.bandwidth_gb_s
    );
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            line.extend([", ", name, " ", &value]);
        }
    };
    add("by", card.owner.clone());
    match &card.partitioning {
        Partitioning::Whole => {}
        Partitioning::Shared => add("given in", Some("shares".to_owned())),
        Partitioning::Mdev { profile, parent } | Partitioning::Mig { profile, parent } => {
            add(profile, Some(format!("of {parent}")));
        }
        Partitioning::Vf { parent } => add("part of", Some(parent.to_string())),
    }
    add("NUMA node", card.numa_node.map(|node| node.to_string()));
    add("IOMMU group", card.iommu_group.map(|group| group.to_string()));
    add("busy", card.busy_percent.map(|percent| format!("{percent} %")));
    add("FAULT:", Some(card.fault.clone()).filter(|fault| !fault.is_empty()));
    line
}

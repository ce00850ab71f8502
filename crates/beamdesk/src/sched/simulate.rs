//! `beamdesk sched simulate`: a table of policies, and the same as JSON, CSV and plots.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "talks to a person at a terminal")]

use std::{
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use beamdesk_sched::{
    Guard, Policy, Settings,
    simulate::{
        Arrivals, Holding, Measure, SEEDS_MAX, Summary, Trace, WhatIf, heps, openb,
        openb_constrained, openb_with_cpu_nodes, published, what_if,
    },
};
use clap::{Args, ValueEnum};

use super::{figures, plot};

/// A file of this size is no trace: the largest that is read has a million rows.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Beyond, one waits for hours.
const INFLATE_MAX: f64 = 10.0;

#[derive(Args)]
pub(crate) struct Options {
    /// One of the traces that are part of the program.
    #[arg(long, value_enum, default_value = "openb", conflicts_with_all = ["nodes", "tasks"])]
    trace: Shipped,
    /// Hosts of a trace of your own: CSV in the columns of openb (see docs/simulator.md).
    #[arg(long, requires = "tasks")]
    nodes: Option<PathBuf>,
    /// Tasks of it.
    #[arg(long, requires = "nodes")]
    tasks: Option<PathBuf>,
    /// Policies to compare, with commas between, or `all`.
    #[arg(long, default_value = "all")]
    policy: String,
    /// First and last seed: 42..46 is five runs of each policy.
    #[arg(long, default_value = "42..46", value_parser = seeds)]
    seeds: RangeInclusive<u64>,
    /// Until the tasks that came have asked for so many times the cards there are.
    #[arg(long, default_value_t = 1.3)]
    inflate: f64,
    /// Tasks leave again; on average they ask for this part of the cards (0.85).
    #[arg(long, conflicts_with_all = ["inflate", "memory_needs"])]
    departures: Option<f64>,
    /// With departures: how long tasks stay.
    #[arg(long, value_enum, default_value = "exponential", requires = "departures")]
    holding: Stays,
    /// Whole cards at 80 % load, each with a need of memory that the scheduler is told of or not.
    #[arg(long, value_enum, conflicts_with = "inflate")]
    memory_needs: Option<Told>,
    /// Keeps desktops without cards from stranding cards, as the portal does.
    #[arg(long)]
    guard: bool,
    /// Writes the figures here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes the table here, as CSV.
    #[arg(long)]
    csv: Option<PathBuf>,
    /// Writes plots into this folder: allocation, fragmentation and refusals against load.
    #[arg(long)]
    svg: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Shipped {
    /// Alibaba's GPU-sharing trace: 1,213 GPU nodes, 6,212 cards, 8,152 tasks.
    Openb,
    /// The same; a third of the tasks with cards want named models.
    OpenbGpuspec33,
    /// The same tasks, and 310 more nodes without cards.
    OpenbAll,
    /// A made-up light source: 250 hosts, desktops of 500 people.
    Heps,
}

#[derive(Clone, Copy, ValueEnum)]
enum Stays {
    Exponential,
    Trace,
}

#[derive(Clone, Copy, ValueEnum)]
enum Told {
    Filtered,
    Unfiltered,
}

pub(crate) fn simulate(options: &Options) -> Result<()> {
    let policies = policies(&options.policy)?;
    let (trace, name) = trace(options)?;
    let (arrivals, name) = arrivals(options, name)?;
    let guard = options.guard.then(Guard::default);
    let question = WhatIf {
        trace,
        policies,
        settings: Settings { guard, ..Settings::default() },
        arrivals,
        seeds: options.seeds.clone(),
        threads: thread::available_parallelism().map_or(1, usize::from),
    };
    let runs = question.policies.len() * options.seeds.clone().count();
    let ended = AtomicUsize::new(0);
    let summaries = what_if(&question, &|| false, &|policy, seed, outcome| {
        let ended = 1 + ended.fetch_add(1, Ordering::Relaxed);
        let (measure, value) = outcome
            .of(Measure::Alloc130)
            .map(|value| ("alloc130", value))
            .or_else(|| outcome.of(Measure::Alloc).map(|value| ("alloc", value)))
            .unwrap_or_default();
        eprintln!("[{ended}/{runs}] {policy}, seed {seed}: {measure} {value:.2}");
    });
    let Some(summaries) = summaries else { bail!("it was stopped") };
    let beside = |policy| match (arrivals, options.nodes.is_none(), options.trace) {
        (Arrivals::Fill { .. }, true, Shipped::Openb) => published(policy, false),
        (Arrivals::Fill { .. }, true, Shipped::OpenbGpuspec33) => published(policy, true),
        _ => None,
    };
    println!("{}", figures::table(&summaries, beside));
    write(options, &name, &summaries)
}

fn write(options: &Options, trace: &str, summaries: &[Summary]) -> Result<()> {
    let seeds = options.seeds.clone().count();
    let put = |file: &Path, text: String| {
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    };
    if let Some(file) = &options.json {
        put(file, figures::json(trace, summaries, seeds, &command())?)?;
    }
    if let Some(file) = &options.csv {
        put(file, figures::csv(trace, summaries))?;
    }
    if let Some(folder) = &options.svg {
        fs::create_dir_all(folder)?;
        for (name, svg) in plot::plots(summaries) {
            put(&folder.join(name), svg)?;
        }
    }
    Ok(())
}

/// What was typed, so that a figure says how to have it again.
fn command() -> String {
    let typed = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    format!("beamdesk {typed}")
}

fn policies(text: &str) -> Result<Vec<Policy>> {
    if text == "all" {
        return Ok(Policy::ALL.to_vec());
    }
    text.split(',')
        .map(|name| name.trim().parse().with_context(|| format!("{:?}", name.trim())))
        .collect()
}

fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    match (from.parse::<u64>(), to.trim_start_matches('=').parse::<u64>()) {
        (Ok(from), Ok(to)) if from <= to && to - from < SEEDS_MAX => Ok(from..=to),
        _ => Err(format!("is FIRST..LAST, at most {SEEDS_MAX} seeds")),
    }
}

fn trace(options: &Options) -> Result<(Trace, String)> {
    if let (Some(nodes), Some(tasks)) = (&options.nodes, &options.tasks) {
        let trace = Trace::parse(&read(nodes)?, &read(tasks)?)
            .with_context(|| format!("{} and {}", nodes.display(), tasks.display()))?;
        let stem = tasks.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
        return Ok((trace, stem.unwrap_or_default().chars().map(plain).collect()));
    }
    let (trace, name) = match options.trace {
        Shipped::Openb => (openb()?, "openb"),
        Shipped::OpenbGpuspec33 => (openb_constrained()?, "openb_gpuspec33"),
        Shipped::OpenbAll => (openb_with_cpu_nodes()?, "openb_all"),
        Shipped::Heps => (heps(0), "heps"),
    };
    Ok((trace, name.to_owned()))
}

fn read(file: &Path) -> Result<String> {
    let bytes = fs::metadata(file).with_context(|| format!("{}", file.display()))?.len();
    ensure!(bytes <= FILE_BYTES_MAX, "{} is larger than 256 MiB", file.display());
    fs::read_to_string(file).with_context(|| format!("{}", file.display()))
}

/// How the tasks come, and the name of the trace in figures.
fn arrivals(options: &Options, name: String) -> Result<(Arrivals, String)> {
    if let Some(load) = options.departures {
        ensure!(load > 0.0 && load <= INFLATE_MAX, "--departures is above 0 and at most 10");
        let holding = match options.holding {
            Stays::Exponential => Holding::Exponential,
            Stays::Trace => Holding::Trace,
        };
        let arrivals = Arrivals::Churn { load, holding };
        return Ok((arrivals, format!("{name}_departures{:.0}", 100.0 * load)));
    }
    if let Some(told) = options.memory_needs {
        let (filtered, word) = match told {
            Told::Filtered => (true, "memory"),
            Told::Unfiltered => (false, "memory_unfiltered"),
        };
        return Ok((Arrivals::MemoryNeeds { load: 0.8, filtered }, format!("{name}_{word}")));
    }
    let until = options.inflate;
    ensure!(until > 0.0 && until <= INFLATE_MAX, "--inflate is above 0 and at most 10");
    Ok((Arrivals::Fill { until }, name))
}

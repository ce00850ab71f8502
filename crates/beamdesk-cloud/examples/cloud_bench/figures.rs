//! What is measured, in words and as figures.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Options,
    cloud::{Server, doubled},
    share::{self, Span},
    site::Desktop,
};

/// How desktops came along, sample by sample.
#[derive(Debug)]
pub(crate) struct Samples {
    begun: Instant,
    told: Instant,
    /// When each was seen first, and seen to have arrived.
    asked: BTreeMap<String, Instant>,
    arrived: BTreeMap<String, Duration>,
    slowest_page: Duration,
    retried: u32,
}

impl Samples {
    pub(crate) fn new(begun: Instant) -> Self {
        Self {
            begun,
            told: begun,
            asked: BTreeMap::new(),
            arrived: BTreeMap::new(),
            slowest_page: Duration::ZERO,
            retried: 0,
        }
    }

    /// `took`: how long the portal needed to tell of all of them.
    pub(crate) fn take(&mut self, desktops: &[Desktop], took: Duration) {
        let now = Instant::now();
        self.slowest_page = self.slowest_page.max(took);
        for desktop in desktops {
            let asked = *self.asked.entry(desktop.id.clone()).or_insert(now);
            if desktop.has_arrived() {
                self.arrived.entry(desktop.id.clone()).or_insert(now - asked);
            }
        }
        let generations = desktops.iter().map(|one| one.generation.saturating_sub(1));
        self.retried = self.retried.max(generations.sum());
    }

    /// When each desktop was waited for, in milliseconds since the run began.
    pub(crate) fn waits(&self) -> Vec<Span> {
        let now = Instant::now();
        let wait = |(id, asked): (&String, &Instant)| {
            let took = self.arrived.get(id).copied().unwrap_or(now - *asked);
            let from = millis(*asked - self.begun);
            (from, from + millis(took))
        };
        self.asked.iter().map(wait).collect()
    }

    /// A line every ten seconds.
    pub(crate) fn tell(&mut self, desktops: &[Desktop]) {
        if self.told.elapsed() > Duration::from_secs(10) {
            self.told = Instant::now();
            println!("{:5} s  {}", self.begun.elapsed().as_secs(), in_words(desktops));
        }
    }
}

pub(crate) fn in_words(desktops: &[Desktop]) -> String {
    let mut phases: BTreeMap<&str, usize> = BTreeMap::new();
    for desktop in desktops {
        *phases.entry(&desktop.phase).or_default() += 1;
    }
    let phases: Vec<String> =
        phases.into_iter().map(|(phase, count)| format!("{count} {phase}")).collect();
    let place = desktops.iter().filter(|one| one.waiting.is_some()).count();
    format!("{}; {place} told their place", phases.join(", "))
}

pub(crate) struct Figures {
    command: String,
    hosts: usize,
    all: Vec<Value>,
}

impl Figures {
    pub(crate) fn new(options: &Options, hosts: usize) -> Self {
        let mut command = format!(
            "cargo xtask bench cloud --desktops {} --hosts {}",
            options.desktops, options.hosts
        );
        if options.kills > 0 {
            command += &format!(" --kills {} --seed {}", options.kills, options.seed);
        }
        if options.portals > 1 {
            command += &format!(" --portals {}", options.portals);
        }
        Self { command, hosts, all: Vec::new() }
    }

    fn add(&mut self, name: &str, value: impl Into<Value>, unit: &str, n: usize) {
        let value = value.into();
        println!("  {name:28} {value} {unit}");
        self.all.push(json!({ "name": name, "value": value, "unit": unit, "n": n,
            "hosts": self.hosts, "command": self.command }));
    }

    #[expect(clippy::too_many_arguments, reason = "what came of a run, once")]
    pub(crate) fn scale(
        &mut self,
        samples: &Samples,
        desktops: &[Desktop],
        servers: &[Server],
        busy: &[Span],
        cpu: f64,
        enrolled: usize,
        metrics: &str,
    ) {
        let asked = samples.asked.len();
        let ready = desktops.iter().filter(|one| one.phase == "ready").count();
        let failed: Vec<&Desktop> = desktops.iter().filter(|one| one.phase == "failed").collect();
        let reasonless = failed.iter().filter(|one| one.failure.is_none()).count();
        let elapsed = samples.begun.elapsed();
        println!("Scale: {asked} desktops on {} hosts, {} s", self.hosts, elapsed.as_secs());
        self.add("cloud.asked", asked, "desktops", 1);
        self.add("cloud.ready", ready, "desktops", asked);
        self.add("cloud.failed", failed.len(), "desktops", asked);
        self.add("cloud.failed_without_reason", reasonless, "desktops", asked);
        self.add("cloud.lost", asked - ready - failed.len(), "desktops", asked);
        self.add("cloud.doubled", doubled(servers).len(), "desktops", asked);
        let differ = crate::cloud::differences(desktops, servers);
        self.add(
            "cloud.orphans",
            differ.iter().filter(|one| one.contains("no row")).count(),
            "servers",
            asked,
        );
        self.add("cloud.enrolled", enrolled, "agents", asked);
        self.add("cloud.elapsed", round(elapsed.as_secs_f64()), "s", 1);
        let (own, waited) = share::own(&samples.waits(), busy);
        let percent = 100.0 * decimal_ms(own) / decimal_ms(waited.max(1));
        self.add("cloud.own_share", round(percent), "%", asked);
        self.add("cloud.nova_share", round(100.0 - percent), "%", asked);
        self.add("cloud.own_cpu", round(cpu), "s", 1);
        self.add(
            "cloud.own_cpu_per_desktop",
            round(1000.0 * cpu / decimal(asked.max(1))),
            "ms",
            asked,
        );
        let mut times: Vec<f64> = samples.arrived.values().map(Duration::as_secs_f64).collect();
        times.sort_unstable_by(f64::total_cmp);
        self.add("cloud.arrival_p50", round(percentile(&times, 50)), "s", times.len());
        self.add("cloud.arrival_p99", round(percentile(&times, 99)), "s", times.len());
        self.add("cloud.page_max", round(samples.slowest_page.as_secs_f64() * 1000.0), "ms", 1);
        let retries = usize::try_from(samples.retried).unwrap_or(usize::MAX);
        self.add(
            "cloud.placement_failures",
            round(100.0 * decimal(retries) / decimal(asked.max(1))),
            "%",
            asked,
        );
        for line in metrics.lines().filter(|line| line.starts_with("beamdesk_decisions")) {
            println!("  {line}");
        }
        for one in failed.iter().take(5) {
            println!("  failed: {} {}", one.id, one.failure.clone().unwrap_or_default());
        }
        for one in desktops.iter().filter(|one| !one.has_arrived()).take(5) {
            println!("  {}: {} {}", one.phase, one.id, one.cloud.clone().unwrap_or_default());
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a run's outcome, once")]
    pub(crate) fn kill(
        &mut self,
        kills: usize,
        (matched, settled): (Option<Duration>, Option<Duration>),
        matched_max: Duration,
        rows: &[Desktop],
        servers: &[Server],
        doubled_ever: usize,
        counts: &Value,
    ) {
        println!("Kill: {kills} kills; the proxy did {counts}");
        let differ = crate::cloud::differences(rows, servers);
        let of = |word: &str| differ.iter().filter(|one| one.contains(word)).count();
        self.add("cloud.kills", kills, "kills", 1);
        self.add("cloud.kill_doubled", of("two servers"), "desktops", kills);
        self.add("cloud.kill_doubled_ever", doubled_ever, "desktops", kills);
        self.add("cloud.kill_orphans", of("no row"), "servers", kills);
        self.add("cloud.kill_lost", of("no server"), "desktops", kills);
        self.add("cloud.kill_rows", rows.len(), "desktops", kills);
        let seconds = |after: Option<Duration>| json!(after.map(|one| round(one.as_secs_f64())));
        self.add("cloud.kill_matched_after", seconds(matched), "s", kills);
        self.add("cloud.kill_settled_after", seconds(settled), "s", kills);
        let in_time = matched.is_some_and(|after| after <= matched_max);
        self.add("cloud.kill_matched_in_time", in_time, "", kills);
    }

    pub(crate) fn write(&self, file: Option<&Path>) -> Result<()> {
        let Some(file) = file else { return Ok(()) };
        let text = serde_json::to_string_pretty(&self.all)?;
        std::fs::write(file, text).with_context(|| format!("could not write {}", file.display()))
    }
}

/// Of a sorted list.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let at = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(at).copied().unwrap_or_default()
}

/// To a thousandth.
fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn decimal_ms(ms: u64) -> f64 {
    u32::try_from(ms).map_or(f64::MAX, f64::from)
}

fn decimal(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

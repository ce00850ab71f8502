//! Decisions a second, on one thread, without anything durable: desktops come and go on clusters
//! that are nearly full.
//!
//! `cargo run --release -p beamdesk-sched --example speed [-- --json FILE]`

use std::{collections::VecDeque, io::Write as _, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use beamdesk_sched::{CardRoom, Cluster, Host, Placement, Policy, Request, Settings, Shape};
use beamdesk_types::{GpuRequest, WHOLE_CARD};
use rustix::time::{ClockId, clock_gettime};

const GIB: u64 = 1024;
/// Requested card shares of all that there are, in percent, at which as many go as come.
const LOAD_PERCENT: u64 = 85;
const SIZES: usize = 24;
/// In a row, while a cluster is filled.
const REFUSED_MAX: usize = 200;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let json_file = match (arguments.next().as_deref(), arguments.next()) {
        (None, None) => None,
        (Some("--json"), Some(file)) => Some(file),
        _ => bail!("usage: speed [--json FILE]"),
    };
    let mut figures = Vec::new();
    for (policy, hosts, decisions) in [
        (Policy::Fit, 250, 200_000),
        (Policy::FgdBf, 250, 200_000),
        (Policy::ExpectedFill, 250, 50_000),
        (Policy::Paper, 250, 200_000),
        (Policy::Fit, 10_000, 100_000),
        (Policy::FgdBf, 10_000, 100_000),
        (Policy::ExpectedFill, 10_000, 50_000),
        (Policy::FgdBf, 100_000, 100_000),
    ] {
        measure(policy, hosts, decisions, &mut figures)?;
    }
    if let Some(file) = json_file {
        let object = |figure: &Figure| {
            let Figure { name, value, unit, n } = figure;
            serde_json::json!({ "name": name, "value": value, "unit": unit, "n": n, "command": "cargo xtask bench sched" })
        };
        let figures: Vec<_> = figures.iter().map(object).collect();
        std::fs::write(&file, serde_json::json!(figures).to_string()).context(file)?;
    }
    Ok(())
}

struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    n: usize,
}

fn measure(
    policy: Policy,
    hosts: usize,
    decisions: usize,
    figures: &mut Vec<Figure>,
) -> anyhow::Result<()> {
    let mut add = |measure: &str, value: f64, unit: &'static str, n: usize| -> anyhow::Result<()> {
        let name = format!("sched.speed.{policy}.{hosts}.{measure}");
        writeln!(std::io::stdout(), "{name:48} {value:14.3} {unit:6} n={n}")?;
        figures.push(Figure { name, value, unit, n });
        Ok(())
    };
    let mut world = World::new(policy, hosts);
    let before = cpu();
    for size in world.sizes.clone() {
        std::hint::black_box(world.cluster.place(&size).is_ok());
    }
    add("first_look", seconds(before) * 1e3, "ms", SIZES)?;
    world.fill();

    let before = cpu();
    for _ in 0..decisions {
        world.step();
    }
    add("decisions", real(decisions) / seconds(before), "1/s", decisions)?;

    let mut times: Vec<Duration> = Vec::with_capacity(decisions);
    for _ in 0..decisions {
        let size = world.next_size();
        let before = cpu();
        world.decide(size);
        times.push(cpu().saturating_sub(before));
        world.leave();
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    add("decision_p50", at(50), "ms", decisions)?;
    add("decision_p99", at(99), "ms", decisions)?;

    let looks = (1_000_000 / hosts).clamp(10, 2000);
    let before = cpu();
    for _ in 0..looks {
        let size = world.next_size();
        let fitting =
            world.cluster.ranks(&world.sizes[size]).iter().filter(|rank| rank.is_ok()).count();
        std::hint::black_box(fitting);
    }
    add("look_at_all", seconds(before) * 1e3 / real(looks), "ms", looks)
}

struct World {
    cluster: Cluster,
    sizes: Vec<Request>,
    running: VecDeque<(usize, Placement)>,
    /// Card shares in use and at which as many go as come, in thousandths.
    used_milli: u64,
    wanted_milli: u64,
    chance: u64,
}

impl World {
    fn new(policy: Policy, count: usize) -> Self {
        let hosts: Vec<Host> = (0..count).map(host).collect();
        let all: u64 = hosts.iter().map(Host::free_cards_milli).sum();
        let sizes = sizes();
        let shape = |size: &Request| Shape {
            cpu_milli: size.cpu_milli,
            memory_mib: size.memory_mib,
            gpu: size.gpu.clone(),
            weight: 1.0,
        };
        let workload = sizes.iter().map(shape).collect();
        let settings = Settings { policy, workload, ..Settings::default() };
        let cluster = Cluster::new(hosts, settings);
        let wanted_milli = all * LOAD_PERCENT / 100;
        Self { cluster, sizes, running: VecDeque::new(), used_milli: 0, wanted_milli, chance: 1 }
    }

    /// Up to the load wanted, or until next to nothing fits any more.
    fn fill(&mut self) {
        let mut refused = 0;
        while self.used_milli < self.wanted_milli && refused < REFUSED_MAX {
            let size = self.next_size();
            refused = if self.decide(size) { 0 } else { refused + 1 };
        }
    }

    fn step(&mut self) {
        let size = self.next_size();
        self.decide(size);
        self.leave();
    }

    /// Places one desktop, or learns why it cannot be.
    fn decide(&mut self, size: usize) -> bool {
        let request = &self.sizes[size];
        match self.cluster.place(request) {
            Ok(placement) => {
                self.cluster.take(request, &placement);
                self.used_milli += milli(request);
                self.running.push_back((size, placement));
                true
            }
            Err(_) => false,
        }
    }

    /// Lets some go, by chance, until there are as many as wanted.
    fn leave(&mut self) {
        while self.used_milli > self.wanted_milli {
            let count = u64::try_from(self.running.len()).unwrap_or(1).max(1);
            let any = usize::try_from(self.random() % count).unwrap_or(0);
            let Some((size, placement)) = self.running.swap_remove_back(any) else { return };
            self.cluster.release(&self.sizes[size], &placement);
            self.used_milli -= milli(&self.sizes[size]);
        }
    }

    fn next_size(&mut self) -> usize {
        let sizes = u64::try_from(self.sizes.len()).unwrap_or(1);
        usize::try_from(self.random() % sizes).unwrap_or(0)
    }

    /// `SplitMix64`.
    fn random(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn milli(request: &Request) -> u64 {
    u64::from(request.gpu.count) * u64::from(request.gpu.share_milli)
}

/// One of five kinds: three with one to four workstation cards, one with eight, one without.
fn host(index: usize) -> Host {
    let name = format!("node-{index:06}");
    let (model, memory_gib, cores, bandwidth, gflops) = match index % 4 {
        0 | 1 => ("RTX A6000", 48, 10_752, 768, 38_700),
        2 => ("A40", 48, 10_752, 696, 37_400),
        _ => ("T4", 16, 2560, 320, 8100),
    };
    let (cards, cpus) = match index % 5 {
        0 => (4, 64),
        1 => (2, 48),
        2 => (1, 32),
        3 => (8, 128),
        _ => (0, 64),
    };
    let card = |number: usize| CardRoom {
        address: format!("0000:{number:02x}:00.0").parse().unwrap_or_else(|_| unreachable!()),
        model: Arc::from(model),
        memory_mib: memory_gib * GIB,
        cores,
        bandwidth_gb_s: bandwidth,
        clock_mhz: 1700,
        gflops,
        numa_node: Some(u32::from(number >= 4)),
        free_milli: WHOLE_CARD,
        is_shared: true,
    };
    let name = name.parse().unwrap_or_else(|_| unreachable!());
    let host = Host::new(name, cpus * 1000, cpus * 8 * GIB, 4000);
    Host { cards: (0..cards).map(card).collect(), ..host }
}

/// Desktops without card, with shares of one, and with one, two, four or eight.
fn sizes() -> Vec<Request> {
    let mut sizes = Vec::new();
    for cpus in [2, 4, 8, 16] {
        sizes.push((cpus, GpuRequest::default()));
    }
    for (share_milli, memory_gib) in [(125, 0), (250, 0), (250, 8), (500, 0), (500, 8), (500, 16)] {
        let gpu = GpuRequest { share_milli, ..GpuRequest::whole(1, memory_gib * GIB) };
        sizes.push((4, gpu));
    }
    for (count, cpus) in [(1, 4), (1, 8), (1, 16), (2, 16), (4, 32)] {
        for memory_gib in [0, 24] {
            sizes.push((cpus, GpuRequest::whole(count, memory_gib * GIB)));
        }
    }
    for (models, count) in
        [(&["RTX A6000"][..], 1), (&["RTX A6000", "A40"], 1), (&["T4"], 1), (&[], 8)]
    {
        let models = models.iter().map(|model| (*model).to_owned()).collect();
        sizes.push((8 * u64::from(count), GpuRequest { models, ..GpuRequest::whole(count, 0) }));
    }
    let request = |(cpus, gpu): (u64, GpuRequest)| Request {
        cpu_milli: cpus * 1000,
        memory_mib: cpus * 4 * GIB,
        disk_gib: 20,
        gpu,
        ..Request::default()
    };
    let sizes: Vec<Request> = sizes.into_iter().map(request).collect();
    assert_eq!(sizes.len(), SIZES, "as many sizes as are told");
    sizes
}

/// CPU time of this thread: other programs on the machine do not count.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn seconds(before: Duration) -> f64 {
    cpu().saturating_sub(before).as_secs_f64()
}

fn real(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

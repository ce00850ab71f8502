//! How long a plan of the queue takes, on one thread: 250 hosts, all cards in use, 200 desktops
//! that wait.
//!
//! `cargo run --release -p beamdesk-sched --example plan [-- --json FILE]`

use std::{io::Write as _, sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use beamdesk_sched::{
    Booking, CardRoom, Cluster, Host, Request, Settings,
    queue::{Job, Running, Situation, plan},
};
use beamdesk_types::{DesktopId, GpuRequest, ReservationId, SizeId, StationId, WHOLE_CARD};
use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

const GIB: u64 = 1024;
const HOSTS: usize = 250;
const WAITING: usize = 200;
const PLANS: usize = 20;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let json_file = match (arguments.next().as_deref(), arguments.next()) {
        (None, None) => None,
        (Some("--json"), Some(file)) => Some(file),
        _ => bail!("usage: plan [--json FILE]"),
    };
    let mut figures = Vec::new();
    for (name, reservations, endless_percent) in
        [("terms", 0, 0), ("endless", 0, 30), ("reservations", 10, 10), ("full_calendar", 100, 10)]
    {
        let site = Site::new(reservations, endless_percent);
        let situation = site.situation();
        let mut times = Vec::with_capacity(PLANS);
        for _ in 0..PLANS {
            let before = cpu();
            std::hint::black_box(plan(&situation));
            times.push(cpu().saturating_sub(before).as_secs_f64() * 1e3);
        }
        times.sort_unstable_by(f64::total_cmp);
        let told = plan(&situation);
        let known = told.waits.iter().filter(|wait| wait.estimate.is_some()).count();
        writeln!(
            std::io::stdout(),
            "sched.queue.{name}.plan {:8.2} ms (longest {:.2}; {} run, {} start, {} wait, {known} know when)",
            times[PLANS / 2],
            times[PLANS - 1],
            site.running.len(),
            told.starts.len(),
            told.waits.len(),
        )?;
        figures.push(serde_json::json!({
            "name": format!("sched.queue.{name}.plan"), "value": times[PLANS / 2], "unit": "ms",
            "n": PLANS, "command": "cargo xtask bench sched",
        }));
    }
    if let Some(file) = json_file {
        std::fs::write(&file, serde_json::json!(figures).to_string()).context(file)?;
    }
    Ok(())
}

/// A facility in the middle of the day.
struct Site {
    hosts: Vec<Host>,
    settings: Settings,
    running: Vec<Running>,
    queue: Vec<Job>,
    reservations: Vec<Booking>,
    offers: Vec<(SizeId, Request)>,
    chance: u64,
}

impl Site {
    fn new(reservations: u32, endless_percent: u64) -> Self {
        let hosts: Vec<Host> = (0..HOSTS).map(host).collect();
        let sizes = sizes();
        let offers = sizes.iter().enumerate().map(|(index, size)| (named(index), size.clone()));
        let mut site = Self {
            hosts,
            settings: Settings::default(),
            running: Vec::new(),
            queue: Vec::new(),
            reservations: Vec::new(),
            offers: offers.collect(),
            chance: 1,
        };
        site.fill(&sizes, endless_percent);
        for index in 0..reservations {
            let from = now() + SignedDuration::from_hours(i64::from(index % 48));
            site.reservations.push(Booking {
                id: ReservationId::from_u128(u128::from(index)),
                station: station(u64::from(index % 20)),
                request: sizes[usize::try_from(index).unwrap_or(0) % sizes.len()].clone(),
                count: 4,
                from,
                to: from + SignedDuration::from_hours(24),
            });
        }
        site
    }

    /// Starts desktops where they fit; those that do not wait.
    fn fill(&mut self, sizes: &[Request], endless_percent: u64) {
        let mut cluster = Cluster::new(self.hosts.clone(), self.settings.clone());
        while self.queue.len() < WAITING {
            let size = usize::try_from(self.random(sizes.len().try_into().unwrap_or(1)));
            let mut request = sizes[size.unwrap_or(0)].clone();
            // Half of them for one of 20 stations, the others for one of 100 people.
            let group = if self.random(2) == 0 {
                let station = station(self.random(20));
                request.station = Some(station.clone());
                station.to_string()
            } else {
                format!("person-{}", self.random(100))
            };
            let hours = i64::try_from(self.random(72)).unwrap_or(0) + 1;
            let term =
                (self.random(100) >= endless_percent).then(|| SignedDuration::from_hours(hours));
            let number = u128::from(self.random(u64::MAX));
            let id = DesktopId::from_u128(number);
            match cluster.place(&request) {
                Ok(placement) => {
                    cluster.take(&request, &placement);
                    let minutes = i64::try_from(self.random(4000)).unwrap_or(0) + 1;
                    let ends = term.map(|_| now() + SignedDuration::from_mins(minutes));
                    let (host, cards) = (placement.host, placement.cards);
                    self.running.push(Running { id, group, request, host, cards, ends });
                }
                Err(_) => {
                    let minutes = i64::try_from(self.random(300)).unwrap_or(0);
                    let queued = now() - SignedDuration::from_mins(minutes);
                    self.queue.push(Job { id, group, request, queued, term });
                }
            }
        }
        self.hosts = cluster.hosts().to_vec();
    }

    fn situation(&self) -> Situation<'_> {
        Situation {
            now: now(),
            hosts: self.hosts.clone(),
            settings: self.settings.clone(),
            running: &self.running,
            reservations: &self.reservations,
            queue: &self.queue,
            offers: &self.offers,
        }
    }

    /// `SplitMix64`.
    fn random(&mut self, below: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_hours(500_000)
}

fn station(index: u64) -> StationId {
    format!("station-{index}").parse().unwrap_or_else(|_| unreachable!())
}

fn named(index: usize) -> SizeId {
    format!("size-{index}").parse().unwrap_or_else(|_| unreachable!())
}

/// Three of four with one to four cards, one without.
fn host(index: usize) -> Host {
    let cards = index % 4;
    let cards = if cards == 3 { 4 } else { cards };
    let card = |number: usize| CardRoom {
        address: format!("0000:{number:02x}:00.0").parse().unwrap_or_else(|_| unreachable!()),
        model: Arc::from(if index.is_multiple_of(3) { "A40" } else { "RTX A6000" }),
        memory_mib: 48 * GIB,
        cores: 10_752,
        bandwidth_gb_s: 768,
        clock_mhz: 1800,
        gflops: 38_700,
        numa_node: None,
        free_milli: WHOLE_CARD,
        is_shared: index.is_multiple_of(2),
    };
    let name = format!("node-{index:03}").parse().unwrap_or_else(|_| unreachable!());
    let host = Host::new(name, 48_000, 384 * GIB, 4000);
    Host { cards: (0..cards).map(card).collect(), ..host }
}

fn sizes() -> Vec<Request> {
    let mut sizes = Vec::new();
    for cpus in [4, 8, 16, 32] {
        sizes.push((cpus, GpuRequest::default()));
        for (count, share_milli) in [(1, 250), (1, 500), (1, 1000), (2, 1000), (4, 1000)] {
            sizes.push((cpus, GpuRequest { share_milli, ..GpuRequest::whole(count, 0) }));
        }
    }
    let request = |(cpus, gpu): (u64, GpuRequest)| Request {
        cpu_milli: cpus * 1000,
        memory_mib: cpus * 8 * GIB,
        disk_gib: 50,
        gpu,
        ..Request::default()
    };
    sizes.into_iter().map(request).collect()
}

/// CPU time of this thread: other programs on the machine do not count.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

//! Small random worlds, as the oracle and as the crate see them.

use beamdesk_sched::{
    Booking, Host, Policy, Request, Settings,
    queue::{Job, Plan, Running, Situation, plan},
};
use beamdesk_types::{DesktopId, GpuRequest, ReservationId, StationId};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::{
    oracle::{Asks, Item, NEVER, Reserved, Size, is_possible, keeps},
    world::{host, plain, request, with_cards, with_gpu},
};

/// Somebody who waits: what, for which group, since when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waits {
    pub(crate) asks: Asks,
    pub(crate) group: usize,
    pub(crate) queued: i64,
}

/// A world at an hour.
#[derive(Clone)]
pub(crate) struct Small {
    pub(crate) now: i64,
    pub(crate) hosts: Vec<Size>,
    /// With the group of each, and its cards.
    pub(crate) runs: Vec<(Item, usize, Vec<usize>)>,
    pub(crate) reserved: Vec<Reserved>,
    /// With their numbers.
    pub(crate) queue: Vec<(u128, Waits)>,
    pub(crate) policy: Policy,
}

pub(crate) fn hour(at: i64) -> Timestamp {
    Timestamp::from_second(1_000_000_000 + at * 3600).unwrap()
}

pub(crate) fn of_hour(at: Timestamp) -> i64 {
    (at.as_second() - 1_000_000_000) / 3600
}

pub(crate) fn station(index: usize) -> StationId {
    format!("station-{index}").parse().unwrap()
}

pub(crate) fn asked(size: Size, of: Option<usize>) -> Request {
    let gpu = GpuRequest::whole(u32::try_from(size.1).unwrap(), 0);
    Request { station: of.map(station), ..with_gpu(request(size.0, 1), gpu) }
}

impl std::fmt::Debug for Small {
    /// One line for each thing: the hours of a failing world are read by people.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "at {} by {}: hosts {:?}", self.now, self.policy, self.hosts)?;
        for (item, group, cards) in &self.runs {
            writeln!(f, "  runs {item:?} of {group} on cards {cards:?}")?;
        }
        for one in &self.reserved {
            writeln!(f, "  {one:?}")?;
        }
        for (id, waits) in &self.queue {
            writeln!(f, "  {id} {waits:?}")?;
        }
        Ok(())
    }
}

impl Small {
    pub(crate) fn items(&self) -> Vec<Item> {
        self.runs.iter().map(|(item, ..)| *item).collect()
    }

    pub(crate) fn host(&self, index: usize) -> Host {
        let (cpus, cards) = self.hosts[index];
        let cards = vec![plain(1024); usize::try_from(cards).unwrap()];
        let mut host = with_cards(host(&format!("host-{index}"), cpus, 1000), &cards);
        for (item, _, cards) in self.runs.iter().filter(|(item, ..)| item.host == index) {
            host.take(&asked(item.size, item.station), cards);
        }
        host
    }

    pub(crate) fn plan(&self) -> Plan {
        let running: Vec<Running> = self
            .runs
            .iter()
            .enumerate()
            .map(|(index, (item, group, cards))| Running {
                id: DesktopId::from_u128(1000 + u128::try_from(index).unwrap()),
                group: format!("group-{group}"),
                request: asked(item.size, item.station),
                host: item.host,
                cards: cards.clone(),
                ends: (item.to < NEVER).then(|| hour(item.to)),
            })
            .collect();
        let reservations: Vec<Booking> = self
            .reserved
            .iter()
            .enumerate()
            .map(|(index, one)| Booking {
                id: ReservationId::from_u128(u128::try_from(index).unwrap()),
                station: station(one.station),
                request: asked(one.size, None),
                count: u32::try_from(one.count).unwrap(),
                from: hour(one.from),
                to: hour(one.to),
            })
            .collect();
        let queue: Vec<Job> = self
            .queue
            .iter()
            .map(|(id, waits)| Job {
                id: DesktopId::from_u128(*id),
                group: format!("group-{}", waits.group),
                request: asked(waits.asks.size, waits.asks.station),
                queued: hour(waits.queued),
                term: waits.asks.term.map(SignedDuration::from_hours),
            })
            .collect();
        plan(&Situation {
            now: hour(self.now),
            hosts: (0..self.hosts.len()).map(|index| self.host(index)).collect(),
            settings: Settings { policy: self.policy, guard: None, ..Settings::default() },
            running: &running,
            reservations: &reservations,
            queue: &queue,
            offers: &[],
        })
    }

    /// Those that the plan starts run now.
    pub(crate) fn start(&mut self, plan: &Plan) {
        for start in &plan.starts {
            let at = self.queue.iter().position(|(id, _)| DesktopId::from_u128(*id) == start.id);
            let (_, waits) = self.queue.remove(at.unwrap());
            let item = waits.asks.on(start.placement.host, self.now);
            self.runs.push((item, waits.group, start.placement.cards.clone()));
        }
    }

    /// The clock goes on to the next hour at which something changes; who is over leaves.
    pub(crate) fn advance(&mut self) -> bool {
        let ends = self.runs.iter().map(|(item, ..)| item.to).filter(|&to| to < NEVER);
        let times = self.reserved.iter().flat_map(|one| [one.from, one.to]);
        let Some(next) = ends.chain(times).filter(|&at| at > self.now).min() else { return false };
        self.now = next;
        self.runs.retain(|(item, ..)| item.to > next);
        true
    }
}

fn size(cpus: u64, cards: u64) -> impl Strategy<Value = Size> {
    prop_oneof![
        2 => (1..=cpus, Just(0)),
        3 => (1..=cpus, 1..=cards),
    ]
}

fn term() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![9 => (1..=12_i64).prop_map(Some), 1 => Just(None)]
}

/// `groups`, `reservations` at most.
pub(crate) fn small(groups: usize, reservations: usize) -> impl Strategy<Value = Small> {
    let hosts = prop::collection::vec((2..=4_u64, 0..=3_u64), 1..=3);
    let station = || prop::option::of(0..2_usize);
    let runs = prop::collection::vec((0..3_usize, size(3, 2), term(), station(), 0..groups), 0..=5);
    let reserved = (0..2_usize, size(3, 2), 1..=2_usize, 0..=8_i64, 1..=8_i64);
    let reserved = prop::collection::vec(reserved, 0..=reservations);
    let queue = (size(4, 3), term(), station(), 0..groups, -30..=0_i64);
    let queue = prop::collection::vec(queue, 1..=6);
    let policy = prop::sample::select(vec![Policy::FgdBf, Policy::BestFit, Policy::Spread]);
    (hosts, runs, reserved, queue, policy).prop_map(|(hosts, runs, reserved, queue, policy)| {
        let mut all: Vec<Reserved> = Vec::new();
        for (station, size, count, from, long) in reserved {
            let one = Reserved { station, size, count, from, to: from + long };
            // Which desktop counts for which of two at once is another question.
            let is_at_once = |other: &Reserved| {
                other.station == station && other.from < one.to && from < other.to
            };
            if !all.iter().any(is_at_once) {
                all.push(one);
            }
        }
        let queue = queue
            .into_iter()
            .zip(0_u128..)
            .map(|((size, term, station, group, queued), id)| {
                (id, Waits { asks: Asks { size, term, station }, group, queued })
            })
            .collect();
        let mut world = Small { now: 0, hosts, runs: Vec::new(), reserved: all, queue, policy };
        for (host, size, term, station, group) in runs {
            world.run(Asks { size, term, station }, host, group);
        }
        // Only what can be held is promised.
        while !keeps(&world.hosts, &world.items(), &world.reserved, world.now) {
            world.reserved.pop();
        }
        world
    })
}

impl Small {
    /// Lets somebody run there, if there is room.
    fn run(&mut self, asks: Asks, host: usize, group: usize) {
        if host >= self.hosts.len() {
            return;
        }
        let item = asks.on(host, self.now);
        let mut items = self.items();
        items.push(item);
        if is_possible(&self.hosts, &items, self.now) {
            let room = self.host(host);
            let free = room.cards.iter().enumerate().filter(|(_, card)| card.is_free());
            let count = usize::try_from(asks.size.1).unwrap();
            let cards = free.map(|(index, _)| index).take(count).collect();
            self.runs.push((item, group, cards));
        }
    }
}

//! What is asked of a placement and what it answers.

use std::{
    cmp::{Ordering, Reverse},
    collections::BTreeMap,
    fmt,
};

use beamdesk_types::{GpuRequest, Misfit};

use crate::{Guard, Policy, Request, policy::formula::real};

/// Where a desktop goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Index into [`Cluster::hosts`](crate::Cluster::hosts).
    pub host: usize,
    /// Indices into [`Host::cards`](crate::Host::cards), ascending.
    pub cards: Vec<usize>,
}

/// No host has room; for which reason how many of them have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NoRoom {
    pub hosts: usize,
    pub misfits: BTreeMap<Misfit, usize>,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "none of {} nodes has room", self.hosts)
    }
}

impl std::error::Error for NoRoom {}

/// A kind of request that is expected again, for policies that look ahead (FGD's workload).
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    pub cpu_milli: u64,
    /// Only [`Policy::ExpectedFill`] looks at it.
    pub memory_mib: u64,
    pub gpu: GpuRequest,
    /// How often, relative to the others.
    pub weight: f64,
}

/// How a cluster ranks its hosts.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    pub policy: Policy,
    /// Of the least-requested score (equation 1). The two are scaled to a sum of 1.
    pub cpu_weight: f64,
    pub memory_weight: f64,
    /// What will be asked; see [`workload`]. Before there is a history: the sizes, all with the
    /// same weight. Empty: fragmentation does not count.
    pub workload: Vec<Shape>,
    /// `None`: desktops without cards may strand cards. Never looked at by the paper's policies.
    pub guard: Option<Guard>,
    /// Of the chance of [`Policy::Random`].
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Policy::ExpectedFill,
            cpu_weight: 0.5,
            memory_weight: 0.5,
            workload: Vec::new(),
            guard: Some(Guard::default()),
            seed: 0,
        }
    }
}

/// How one host would rank. The greater rank wins; among equal ones the smaller node name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rank {
    /// Hosts of a higher tier come first whatever their score: a station's own hosts, and for
    /// desktops without card the hosts without cards.
    pub tier: u8,
    /// By the policy; higher is better.
    pub score: f64,
    /// How empty the host is, from 0 to 1; among equal scores the fullest host wins.
    pub left_over: f64,
    /// Memory of the cards it would give; then the smallest that do win.
    pub cards_mib: u64,
}

impl Rank {
    /// Greater is better.
    pub fn order(&self, other: &Self) -> Ordering {
        (self.tier.cmp(&other.tier))
            .then_with(|| self.score.total_cmp(&other.score))
            .then_with(|| other.left_over.total_cmp(&self.left_over))
            .then_with(|| other.cards_mib.cmp(&self.cards_mib))
    }
}

/// Shapes of a whole workload. openb has 151; a facility has some tens of sizes.
const SHAPES_MAX: usize = 512;
/// How many of the requests the shapes of a workload cover. The rest are rare ones.
const COVERED_PERCENT: usize = 95;

/// The workload to expect from what was asked before: its shapes, the most frequent first, until
/// they cover 95 % of the requests.
pub fn workload<'a>(requests: impl IntoIterator<Item = &'a Request>) -> Vec<Shape> {
    let mut asked: Vec<(u64, &GpuRequest)> =
        requests.into_iter().map(|request| (request.cpu_milli, &request.gpu)).collect();
    asked.sort_unstable_by(|one, other| {
        (one.0.cmp(&other.0)).then_with(|| by_cards(one.1, other.1))
    });
    let total = asked.len();
    let mut counted: Vec<(usize, (u64, &GpuRequest))> = asked
        .chunk_by(|one, other| one == other)
        .filter_map(|same| Some((same.len(), *same.first()?)))
        .collect();
    counted.sort_by_key(|(count, _)| Reverse(*count));
    let mut covered = 0;
    let mut shapes = Vec::new();
    for (count, (cpu_milli, gpu)) in counted {
        if covered * 100 >= total * COVERED_PERCENT {
            break;
        }
        covered += count;
        let weight = real(u64::try_from(count).unwrap_or(u64::MAX));
        shapes.push(Shape { cpu_milli, memory_mib: 0, gpu: gpu.clone(), weight });
    }
    let sum = real(u64::try_from(covered).unwrap_or(u64::MAX));
    shapes.iter_mut().for_each(|shape| shape.weight /= sum);
    shapes
}

/// All that was asked before, memory included and however rare: requests for several cards are
/// rare, and matter.
pub(crate) fn whole_workload<'a>(requests: impl IntoIterator<Item = &'a Request>) -> Vec<Shape> {
    let mut asked: Vec<&Request> = requests.into_iter().collect();
    let order = |one: &&Request, other: &&Request| {
        (one.cpu_milli, one.memory_mib)
            .cmp(&(other.cpu_milli, other.memory_mib))
            .then_with(|| by_cards(&one.gpu, &other.gpu))
    };
    asked.sort_unstable_by(order);
    let total = real(u64::try_from(asked.len()).unwrap_or(u64::MAX));
    let mut shapes: Vec<Shape> = asked
        .chunk_by(|one, other| order(one, other).is_eq())
        .filter_map(|same| {
            let Request { cpu_milli, memory_mib, gpu, .. } = same.first()?;
            let weight = real(u64::try_from(same.len()).unwrap_or(u64::MAX)) / total;
            let (cpu_milli, memory_mib) = (*cpu_milli, *memory_mib);
            Some(Shape { cpu_milli, memory_mib, gpu: gpu.clone(), weight })
        })
        .collect();
    // The rarest are left out where there are too many to be reckoned with.
    shapes.sort_by(|one, other| other.weight.total_cmp(&one.weight));
    shapes.truncate(SHAPES_MAX);
    shapes
}

/// Any order that depends on nothing else.
fn by_cards(one: &GpuRequest, other: &GpuRequest) -> Ordering {
    let key = |gpu: &GpuRequest| {
        (gpu.count, gpu.share_milli, gpu.memory_mib, gpu.cores, gpu.bandwidth_gb_s)
    };
    key(one).cmp(&key(other)).then_with(|| one.models.cmp(&other.models))
}

//! Tasks come and leave again (a loss system: who finds no room goes away).

use std::{cmp::Ordering, collections::BinaryHeap};

use super::{
    Chance, Holding, Measure, Outcome, Task, Trace,
    measure::{Count, fragmentation},
    percent, real, real_len,
};
use crate::{Cluster, Placement, Settings};

/// Tasks that come in one run.
const ARRIVALS: usize = 32_000;
/// The first of them only fill the cluster, and are not measured.
const WARM_UP: usize = 17_000;
/// Arrivals between two looks at fragmentation, which costs as much as a thousand placements.
const LOOK_EVERY: usize = 250;

/// Someone who will leave.
struct Leaving<'a> {
    at: f64,
    task: &'a Task,
    placement: Placement,
}

pub(crate) fn churn(
    trace: &Trace,
    settings: Settings,
    load: f64,
    holding: Holding,
    seed: u64,
    stop: &dyn Fn() -> bool,
) -> Option<Outcome> {
    let capacity = trace.capacity_milli();
    let workload = settings.workload.clone();
    let mut chance = Chance::new(seed);
    let mut cluster = Cluster::new(trace.hosts.clone(), settings);
    let stay = Stay::new(&trace.tasks, holding);
    let between = stay.card_time / (load * real(capacity));
    let mut leaving: BinaryHeap<Leaving<'_>> = BinaryHeap::new();
    let (mut now, mut used, mut count) = (0.0, 0_u64, Count::default());
    let (mut used_time, mut measured_from, mut frags) = (0.0, 0.0, Vec::new());
    for arrival in 0..ARRIVALS {
        if stop() {
            return None;
        }
        if arrival == WARM_UP {
            (count, used_time, measured_from) = (Count::default(), 0.0, now);
        }
        let until = now + between * chance.exponential();
        while leaving.peek().is_some_and(|next| next.at <= until) {
            let Some(gone) = leaving.pop() else { break };
            used_time += real(used) * (gone.at - now);
            now = gone.at;
            used -= gone.task.gpu_milli();
            cluster.release(&gone.task.request, &gone.placement);
        }
        used_time += real(used) * (until - now);
        now = until;
        let task = trace.tasks.get(chance.below(trace.tasks.len()))?;
        let stays = stay.of(task, &mut chance);
        let (cards, milli) = (task.request.gpu.count, task.gpu_milli());
        count.came(cards, milli);
        match cluster.place(&task.request) {
            Ok(placement) => {
                cluster.take(&task.request, &placement);
                used += milli;
                leaving.push(Leaving { at: now + stays, task, placement });
            }
            Err(_) => count.refused(cards, milli),
        }
        if arrival >= WARM_UP && arrival % LOOK_EVERY == 0 {
            frags.push(fragmentation(&cluster, &workload, capacity));
        }
    }
    let mut measures = vec![
        (Measure::Alloc, percent(used_time / (now - measured_from), real(capacity))),
        (Measure::Frag, frags.iter().sum::<f64>() / real_len(frags.len()).max(1.0)),
    ];
    measures.extend(count.measures());
    measures.extend(count.blocked());
    Some(Outcome { measures, curve: Vec::new() })
}

/// How long tasks stay, in means.
struct Stay {
    holding: Holding,
    /// Of those whose length is known, seconds.
    mean_s: f64,
    /// Mean of card thousandths times length.
    card_time: f64,
}

impl Stay {
    fn new(tasks: &[Task], holding: Holding) -> Self {
        let known: Vec<u64> = tasks.iter().filter_map(|task| task.runs_s).collect();
        let mean_s = known.iter().map(|&runs| real(runs)).sum::<f64>() / real_len(known.len());
        let mean_s = if mean_s > 0.0 { mean_s } else { 1.0 };
        let mut stay = Self { holding, mean_s, card_time: 0.0 };
        let of_one = |task: &Task| real(task.gpu_milli()) * stay.expected(task);
        stay.card_time = tasks.iter().map(of_one).sum::<f64>() / real_len(tasks.len()).max(1.0);
        stay
    }

    fn expected(&self, task: &Task) -> f64 {
        match (self.holding, task.runs_s) {
            (Holding::Exponential, _) | (Holding::Trace, None) => 1.0,
            (Holding::Trace, Some(runs)) => real(runs) / self.mean_s,
        }
    }

    fn of(&self, task: &Task, chance: &mut Chance) -> f64 {
        match self.holding {
            Holding::Exponential => chance.exponential(),
            Holding::Trace => self.expected(task),
        }
    }
}

impl Ord for Leaving<'_> {
    /// The earliest is the greatest, so that a heap gives it first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.total_cmp(&self.at)
    }
}

impl PartialOrd for Leaving<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Leaving<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Leaving<'_> {}

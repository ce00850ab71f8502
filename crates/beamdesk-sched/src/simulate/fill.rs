//! Fills a cluster: tasks come, and none leaves (the FGD paper's evaluation).

use super::{
    Chance, Measure, Outcome, Point, Task, Trace,
    measure::{Count, fragmentation},
    percent, real,
};
use crate::{Cluster, Settings};

/// Percent of load between two points of a curve.
const POINT_EVERY: f64 = 1.0;

/// The trace's tasks shuffled, then others drawn from it, until they ask for `until` times the
/// capacity.
pub(crate) fn inflated<'a>(
    tasks: &'a [Task],
    capacity_milli: u64,
    until: f64,
    chance: &mut Chance,
) -> Vec<&'a Task> {
    let mut order: Vec<&Task> = tasks.iter().collect();
    chance.shuffle(&mut order);
    let wanted = until * real(capacity_milli);
    let mut asked: u64 = order.iter().map(|task| task.gpu_milli()).sum();
    // A trace that asks for no card would never get there.
    while asked > 0 && real(asked) < wanted {
        let Some(task) = tasks.get(chance.below(tasks.len())) else { break };
        asked += task.gpu_milli();
        order.push(task);
    }
    order
}

pub(crate) fn fill(
    trace: &Trace,
    settings: Settings,
    until: f64,
    seed: u64,
    stop: &dyn Fn() -> bool,
) -> Option<Outcome> {
    let capacity = trace.capacity_milli();
    let order = inflated(&trace.tasks, capacity, until, &mut Chance::new(seed));
    let workload = settings.workload.clone();
    let mut cluster = Cluster::new(trace.hosts.clone(), settings);
    let (mut count, mut used) = (Count::default(), 0_u64);
    let (mut first, mut alloc100, mut curve) = (None, None, Vec::new());
    let mut next_point = 0.0;
    for task in order {
        if stop() {
            return None;
        }
        let (cards, milli) = (task.request.gpu.count, task.gpu_milli());
        count.came(cards, milli);
        let load = percent(real(count.asked_milli), real(capacity));
        match cluster.place(&task.request) {
            Ok(placement) => {
                cluster.take(&task.request, &placement);
                used += milli;
            }
            Err(_) => {
                count.refused(cards, milli);
                if cards > 0 {
                    first.get_or_insert(load);
                }
            }
        }
        let allocated = percent(real(used), real(capacity));
        if load >= 100.0 {
            alloc100.get_or_insert(allocated);
        }
        if load >= next_point {
            let refused = percent(real(count.refused_milli), real(capacity));
            let frag = fragmentation(&cluster, &workload, capacity);
            curve.push(Point { load, allocated, frag, refused });
            next_point += POINT_EVERY;
        }
    }
    let allocated = percent(real(used), real(capacity));
    let load = percent(real(count.asked_milli), real(capacity));
    let mut measures = vec![
        (Measure::Alloc100, alloc100.unwrap_or(allocated)),
        (Measure::Alloc130, allocated),
        (Measure::Frag, fragmentation(&cluster, &workload, capacity)),
        (Measure::First, first.unwrap_or(load)),
    ];
    measures.extend(count.measures());
    Some(Outcome { measures, curve })
}

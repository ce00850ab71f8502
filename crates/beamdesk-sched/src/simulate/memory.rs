//! What the filter by card memory is worth: how many land on a card that is too small without it.

use beamdesk_types::WHOLE_CARD;

use super::{Chance, Measure, Outcome, Task, Trace, fill::inflated, measure::Count, percent, real};
use crate::{Cluster, Request, Settings};

/// Assumed needs per card, MiB, and how many of 100 have them; openb tells none.
const NEEDS: [(u64, usize); 4] = [(8 << 10, 60), (14 << 10, 20), (19 << 10, 15), (29 << 10, 5)];
/// Requests for several cards need at most this of each, or hardly a host could take them.
const NEED_OF_SEVERAL_MAX: u64 = 19 << 10;

pub(crate) fn memory_needs(
    trace: &Trace,
    mut settings: Settings,
    load: f64,
    filtered: bool,
    seed: u64,
    stop: &dyn Fn() -> bool,
) -> Option<Outcome> {
    let capacity = trace.capacity_milli();
    let mut chance = Chance::new(seed);
    let tasks: Vec<Task> = trace.tasks.iter().map(whole).collect();
    // What was asked before told of its needs too, where needs are told.
    let asked: Vec<Request> =
        tasks.iter().map(|task| asking(task, filtered, &mut chance).0).collect();
    settings.workload = settings.policy.workload(&asked);
    let order = inflated(&tasks, capacity, load, &mut chance);
    let mut cluster = Cluster::new(trace.hosts.clone(), settings);
    let (mut count, mut too_small, mut used) = (Count::default(), 0_u64, 0_u64);
    for task in order {
        if stop() {
            return None;
        }
        if real(count.asked_milli) >= load * real(capacity) {
            break;
        }
        let (cards, milli) = (task.request.gpu.count, task.gpu_milli());
        count.came(cards, milli);
        let (request, need) = asking(task, filtered, &mut chance);
        let Ok(placement) = cluster.place(&request) else {
            count.refused(cards, milli);
            continue;
        };
        used += milli;
        let chosen = cluster.hosts().get(placement.host).map_or(&[][..], |host| &host.cards);
        let small = |&card: &usize| chosen.get(card).is_some_and(|card| card.memory_mib < need);
        too_small += u64::from(placement.cards.iter().any(small));
        cluster.take(&request, &placement);
    }
    let requests = real(count.gpu_requests);
    let mut measures = vec![
        (Measure::TooSmall, percent(real(too_small), requests)),
        (Measure::Alloc, percent(real(used), real(capacity))),
    ];
    measures.extend(count.measures());
    measures.extend(count.blocked());
    Some(Outcome { measures, curve: Vec::new() })
}

/// The task with cards for itself, and no need of them known.
fn whole(task: &Task) -> Task {
    let mut gpu = task.request.gpu.clone();
    (gpu.share_milli, gpu.memory_mib, gpu.cores) = (WHOLE_CARD, 0, 0);
    Task { request: Request { gpu, ..task.request.clone() }, runs_s: task.runs_s }
}

/// The request as it is put, and what it really needs of each card.
fn asking(task: &Task, filtered: bool, chance: &mut Chance) -> (Request, u64) {
    let need = need(task.request.gpu.count, chance);
    let mut request = task.request.clone();
    if filtered && request.wants_cards() {
        request.gpu.memory_mib = need;
    }
    (request, need)
}

fn need(cards: u32, chance: &mut Chance) -> u64 {
    let mut drawn = chance.below(100);
    for (need, of_100) in NEEDS {
        if drawn < of_100 {
            return if cards > 1 { need.min(NEED_OF_SEVERAL_MAX) } else { need };
        }
        drawn -= of_100;
    }
    0
}

//! The order of the queue: dominant-resource fairness between groups, and waiting counts.
//!
//! Ghodsi et al., "Dominant resource fairness", NSDI 2011: the next desktop goes to the group whose
//! largest share of any resource is least. Here the time at which a desktop was queued is added to
//! that share, so that nobody starves: whoever was queued [`WAIT_WORTH`] before somebody else comes
//! first whatever both groups have. All wait at the same speed, so the order changes only when
//! somebody starts or ends, never by the clock alone.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
};

use jiff::{SignedDuration, Timestamp};

use crate::{Host, Request};

/// Waiting so long weighs as much as having all of the cluster.
pub const WAIT_WORTH: SignedDuration = SignedDuration::from_hours(24);

/// Shares are counted in so many parts: whole numbers are the same on every machine.
const WHOLE: u128 = 1_000_000;

/// CPU, memory, disk and thousandths of cards.
pub(super) type Amounts = [u128; 4];

pub(super) fn needs(request: &Request) -> Amounts {
    let cards = u128::from(request.gpu.count) * u128::from(request.gpu.share_milli);
    [request.cpu_milli.into(), request.memory_mib.into(), request.disk_gib.into(), cards]
}

/// What there is.
pub(super) fn capacity(hosts: &[Host]) -> Amounts {
    hosts.iter().fold([0; 4], |sum, host| {
        let cards = u128::try_from(host.cards.len()).unwrap_or(u128::MAX).saturating_mul(1000);
        let has = [
            host.cpu_milli.total.into(),
            host.memory_mib.total.into(),
            host.disk_gib.total.into(),
            cards,
        ];
        add(sum, has)
    })
}

pub(super) fn add(one: Amounts, other: Amounts) -> Amounts {
    zip(one, other, u128::saturating_add)
}

pub(super) fn subtract(one: Amounts, other: Amounts) -> Amounts {
    zip(one, other, u128::saturating_sub)
}

fn zip(one: Amounts, other: Amounts, with: fn(u128, u128) -> u128) -> Amounts {
    let ([a, b, c, d], [e, f, g, h]) = (one, other);
    [with(a, e), with(b, f), with(c, g), with(d, h)]
}

/// The largest share of any resource, in millionths.
fn dominant_share(used: Amounts, capacity: Amounts) -> u128 {
    let shares = zip(used, capacity, |used, all| match all {
        0 => 0,
        all => used.saturating_mul(WHOLE) / all,
    });
    shares.into_iter().max().unwrap_or_default()
}

/// Somebody who waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// Whatever number the caller knows it by.
    pub(super) job: usize,
    pub(super) group: usize,
    pub(super) needs: Amounts,
    pub(super) queued: Timestamp,
}

/// In which order they come, if each is given its room in turn. `waiting` has the longest-waiting
/// first; `used` says what each group has.
pub(super) fn order(waiting: &[Waiting], used: &[Amounts], capacity: Amounts) -> Vec<usize> {
    let mut queues: HashMap<usize, VecDeque<&Waiting>> = HashMap::new();
    for one in waiting {
        queues.entry(one.group).or_default().push_back(one);
    }
    let mut has: HashMap<usize, Amounts> = HashMap::new();
    for &group in queues.keys() {
        has.insert(group, used.get(group).copied().unwrap_or_default());
    }
    // The group's share and its first's time of queueing, in the same measure.
    let key = |used: Amounts, first: &Waiting| {
        let share = i128::try_from(dominant_share(used, capacity)).unwrap_or(i128::MAX / 4);
        let whole = i128::try_from(WHOLE).unwrap_or_default();
        let queued = i128::from(first.queued.as_millisecond()) * whole / WAIT_WORTH.as_millis();
        (share.min(i128::MAX / 4) + queued, first.queued, first.job)
    };
    let mut heap = BinaryHeap::with_capacity(queues.len());
    for (&group, queue) in &queues {
        if let (Some(first), Some(&used)) = (queue.front(), has.get(&group)) {
            heap.push(Reverse((key(used, first), group)));
        }
    }
    let mut ordered = Vec::with_capacity(waiting.len());
    while let Some(Reverse((_, group))) = heap.pop() {
        let (Some(queue), Some(used)) = (queues.get_mut(&group), has.get_mut(&group)) else {
            continue;
        };
        let Some(first) = queue.pop_front() else { continue };
        ordered.push(first.job);
        *used = add(*used, first.needs);
        if let Some(next) = queue.front() {
            heap.push(Reverse((key(*used, next), group)));
        }
    }
    ordered
}

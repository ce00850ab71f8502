//! Small worlds of hosts with CPUs and whole cards in which every possibility can be tried.
//!
//! Knows nothing of the crate under test: only sums of CPUs and cards at moments.

/// CPUs and cards.
pub(crate) type Size = (u64, u64);
pub(crate) const NEVER: i64 = i64::MAX;

/// Somebody on a host from one hour to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) host: usize,
    pub(crate) size: Size,
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) station: Option<usize>,
}

/// `count` desktops of a station.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reserved {
    pub(crate) station: usize,
    pub(crate) size: Size,
    pub(crate) count: usize,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asks {
    pub(crate) size: Size,
    pub(crate) term: Option<i64>,
    pub(crate) station: Option<usize>,
}

impl Asks {
    pub(crate) fn on(&self, host: usize, from: i64) -> Item {
        let to = self.term.map_or(NEVER, |term| from.saturating_add(term));
        Item { host, size: self.size, from, to, station: self.station }
    }
}

/// Whether nobody has more than there is, at any time from `now` on.
pub(crate) fn is_possible(hosts: &[Size], items: &[Item], now: i64) -> bool {
    items.iter().map(|item| item.from.max(now)).all(|at| {
        hosts.iter().enumerate().all(|(host, &(cpus, cards))| {
            let there = |item: &&Item| item.host == host && item.from <= at && at < item.to;
            let used = items.iter().filter(there);
            let (used_cpus, used_cards) =
                used.fold((0, 0), |sum, item| (sum.0 + item.size.0, sum.1 + item.size.1));
            used_cpus <= cpus && used_cards <= cards
        })
    })
}

/// The times for which room must be held: those of the reservations in which too few desktops of
/// the station run that need as much.
pub(crate) fn windows(reserved: &[Reserved], items: &[Item], now: i64) -> Vec<Item> {
    let mut windows = Vec::new();
    for one in reserved.iter().filter(|one| one.to > now) {
        let from = one.from.max(now);
        let counts = |item: &&Item| {
            item.station == Some(one.station)
                && item.size.0 >= one.size.0
                && item.size.1 >= one.size.1
                && item.to > from
                && item.from < one.to
        };
        let runs: Vec<&Item> = items.iter().filter(counts).collect();
        let run_at = |at: i64| runs.iter().filter(|run| run.from <= at && at < run.to).count();
        for unit in 0..one.count {
            // Hour after hour: is there one for it?
            let mut since = None;
            for at in from..=one.to {
                let is_open = at < one.to && run_at(at) <= unit;
                match (since, is_open) {
                    (None, true) => since = Some(at),
                    (Some(begun), false) => {
                        let (size, station) = (one.size, None);
                        windows.push(Item { host: usize::MAX, size, from: begun, to: at, station });
                        since = None;
                    }
                    (None, false) | (Some(_), true) => {}
                }
            }
        }
    }
    windows
}

/// Whether there is any way to give all windows a host beside the items.
pub(crate) fn can_hold(hosts: &[Size], items: &[Item], windows: &[Item], now: i64) -> bool {
    if !is_possible(hosts, items, now) {
        return false;
    }
    let Some((first, rest)) = windows.split_first() else { return true };
    (0..hosts.len()).any(|host| {
        let mut items = items.to_vec();
        items.push(Item { host, ..*first });
        can_hold(hosts, &items, rest, now)
    })
}

/// Whether everybody named can be there while all reservations get their room.
pub(crate) fn keeps(hosts: &[Size], items: &[Item], reserved: &[Reserved], now: i64) -> bool {
    can_hold(hosts, items, &windows(reserved, items, now), now)
}

/// The earliest start of somebody on any host, over all ways to hold the reservations, if nobody
/// else starts. [`NEVER`]: only when those without end have left.
pub(crate) fn earliest(
    hosts: &[Size],
    items: &[Item],
    reserved: &[Reserved],
    asks: &Asks,
    now: i64,
) -> i64 {
    let mut times: Vec<i64> = items.iter().map(|item| item.to).filter(|&to| to < NEVER).collect();
    times.extend(reserved.iter().flat_map(|one| [one.from, one.to]));
    times.push(now);
    times.retain(|&at| at >= now);
    times.sort_unstable();
    times.dedup();
    let starts = |at: i64| {
        (0..hosts.len()).any(|host| {
            let mut items = items.to_vec();
            items.push(asks.on(host, at));
            keeps(hosts, &items, reserved, now)
        })
    };
    times.into_iter().find(|&at| starts(at)).unwrap_or(NEVER)
}

//! The paper's algorithm (sections 3.4 and 3.5), as it is written, flaws included.
//!
//! It is here to be compared with. The cosine does not see how large a host is, and the power of
//! the card outweighs everything else, so the best cards go to the smallest requests.

use super::{
    Best, Outlook, cards,
    formula::{SCORE_MAX, card_power, cosine, least_requested, real},
};
use crate::{Host, Request};

/// In which unit memory is measured, in MiB: the cosine depends on it.
pub(super) struct Unit {
    mib: f64,
}

pub(super) const GIB: Unit = Unit { mib: 1024.0 };
pub(super) const MIB: Unit = Unit { mib: 1.0 };

pub(super) fn best(outlook: &Outlook, unit: &Unit, request: &Request, host: &Host) -> Best {
    if !request.wants_cards() {
        return Best { score: priority(outlook, request, host), cards: Vec::new() };
    }
    let asked = asked(request).in_unit(unit);
    best_group(request, host, |group| {
        let power = group
            .iter()
            .filter_map(|&index| host.cards.get(index))
            .map(|card| {
                let card = [card.gflops, card.bandwidth_gb_s, card.clock_mhz].map(f64::from);
                card_power(card, outlook.maxima.card_power)
            })
            .fold(0.0, f64::max);
        SCORE_MAX * power * cosine(idle(host, group).in_unit(unit), asked)
    })
}

/// `PriorityScore` of a desktop without card: every host without cards is above every host with.
fn priority(outlook: &Outlook, request: &Request, host: &Host) -> f64 {
    let least = least_requested(
        [host.cpu_milli.total, host.memory_mib.total].map(real),
        [
            host.cpu_milli.used.saturating_add(request.cpu_milli),
            host.memory_mib.used.saturating_add(request.memory_mib),
        ]
        .map(real),
        outlook.weights,
    );
    if host.cards.is_empty() { SCORE_MAX + least } else { least }
}

/// Scores each model of which the host has enough cards, and takes the best; of equals the
/// smaller cards.
pub(super) fn best_group(request: &Request, host: &Host, score: impl Fn(&[usize]) -> f64) -> Best {
    let groups = cards::groups(&request.gpu, host);
    let scored = groups.iter().map(|group| (score(group), group));
    let best = scored.max_by(|(one, cards), (other, others)| {
        let smaller = || cards::smallest(host, others).cmp(&cards::smallest(host, cards));
        one.total_cmp(other).then_with(smaller)
    });
    match best {
        Some((score, group)) => Best { score, cards: cards::picked(&request.gpu, host, group) },
        None => Best { score: 0.0, cards: Vec::new() },
    }
}

/// N or R of equation 3: cards, MiB and cores of one card, vCPUs, MiB of memory.
#[derive(Clone, Copy)]
pub(super) struct Vector(pub(super) [f64; 5]);

impl Vector {
    fn in_unit(self, unit: &Unit) -> [f64; 5] {
        let Self([cards, card_memory, cores, cpus, memory]) = self;
        [cards, card_memory / unit.mib, cores, cpus, memory / unit.mib]
    }
}

/// What is idle on a host, with the cards of one group; a share that is free counts as that part
/// of a card.
pub(super) fn idle(host: &Host, group: &[usize]) -> Vector {
    let cards = || group.iter().filter_map(|&index| host.cards.get(index));
    let free: u64 = cards().map(|card| u64::from(card.free_milli)).sum();
    let memory_mib = cards().map(|card| card.memory_mib).min().unwrap_or(0);
    let cores = cards().map(|card| card.cores).min().unwrap_or(0);
    Vector([
        real(free) / 1000.0,
        real(memory_mib),
        f64::from(cores),
        real(host.cpu_milli.free()) / 1000.0,
        real(host.memory_mib.free()),
    ])
}

pub(super) fn asked(request: &Request) -> Vector {
    let gpu = &request.gpu;
    let cards = u64::from(gpu.count) * u64::from(gpu.share_milli);
    Vector([
        real(cards) / 1000.0,
        real(gpu.memory_mib),
        f64::from(gpu.cores),
        real(request.cpu_milli) / 1000.0,
        real(request.memory_mib),
    ])
}

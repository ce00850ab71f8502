//! Well-known rules, to be compared with.

use beamdesk_types::WHOLE_CARD;

use super::{
    Best, Outlook, cards,
    formula::{SCORE_MAX, least_requested as mean_free, product, ratio, real},
};
use crate::{Host, Request};

/// Least left over of CPU and card shares, both measured in the largest host's.
pub(super) fn best_fit(outlook: &Outlook, request: &Request, host: &Host) -> Best {
    let [cpu, cards] = free_parts(outlook, host);
    let [asked_cpu, asked_cards] = asked_parts(outlook, request);
    let left = 0.5 * (cpu - asked_cpu) + 0.5 * (cards - asked_cards);
    packed(SCORE_MAX * (1.0 - left), request, host)
}

/// The dot product of free and asked, both measured in the largest host's; less is better, so that
/// large hosts are left to those who ask for much. In whole points, as in FGD's repository: finer
/// ones allocate less.
pub(super) fn dot_product(outlook: &Outlook, request: &Request, host: &Host) -> Best {
    let product = product(free_parts(outlook, host), asked_parts(outlook, request));
    packed((SCORE_MAX * (1.0 - product / 2.0)).floor(), request, host)
}

/// Cards in use first (the fuller the better), then free cards of hosts in use (the fewer the
/// better), then idle hosts (the smaller the better).
pub(super) fn gpu_packing(request: &Request, host: &Host) -> Best {
    let chosen = cards::packed(request, host);
    if chosen.is_empty() {
        return Best { score: 0.0, cards: chosen };
    }
    let free_of = |index: &usize| host.cards.get(*index).map_or(0, |card| card.free_milli);
    let idle = host.cards.iter().filter(|card| card.is_free()).count();
    let opened = chosen.iter().filter(|index| free_of(index) >= WHOLE_CARD).count();
    let of = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let score = if idle == host.cards.len() {
        (SCORE_MAX / 3.0).floor() - of(idle).min(SCORE_MAX / 3.0)
    } else if opened > 0 {
        (SCORE_MAX / 2.0 - of(opened)).max((SCORE_MAX / 3.0).floor())
    } else {
        let percent: u32 = chosen.iter().map(|index| free_of(index) / 10).sum();
        (SCORE_MAX - f64::from(percent / 10)).max(SCORE_MAX / 2.0)
    };
    Best { score, cards: chosen }
}

/// Spreads: what stays free of CPU and memory, and of cards where they are asked for, with equal
/// weights.
pub(super) fn least_requested(request: &Request, host: &Host) -> Best {
    let cpu = (host.cpu_milli.total, host.cpu_milli.used.saturating_add(request.cpu_milli));
    let memory = (host.memory_mib.total, host.memory_mib.used.saturating_add(request.memory_mib));
    let score = if request.wants_cards() {
        let total = u64::try_from(host.cards.len()).unwrap_or(0) * u64::from(WHOLE_CARD);
        let used = total.saturating_sub(host.free_cards_milli()) + asked_cards_milli(request);
        mean_free(
            [cpu.0, memory.0, total].map(real),
            [cpu.1, memory.1, used].map(real),
            [1.0 / 3.0; 3],
        )
    } else {
        mean_free([cpu.0, memory.0].map(real), [cpu.1, memory.1].map(real), [0.5; 2])
    };
    packed(score, request, host)
}

/// Nova's RAM weigher.
pub(super) fn most_memory(request: &Request, host: &Host) -> Best {
    packed(real(host.memory_mib.free()), request, host)
}

/// What Nova's RAM, CPU and PCI weighers look at: free memory, free CPU, and few free cards. Each
/// is scaled to 0..1 over the hosts that fit, and they are added.
pub(crate) fn nova_weights(host: &Host) -> [f64; 3] {
    let free = host.cards.iter().filter(|card| card.is_free()).count();
    let free = u32::try_from(free).unwrap_or(u32::MAX);
    [real(host.memory_mib.free()), real(host.cpu_milli.free()), -f64::from(free)]
}

fn packed(score: f64, request: &Request, host: &Host) -> Best {
    Best { score, cards: cards::packed(request, host) }
}

fn asked_cards_milli(request: &Request) -> u64 {
    u64::from(request.gpu.count) * u64::from(request.gpu.share_milli)
}

/// Free CPU and free card shares as parts of the largest host's.
fn free_parts(outlook: &Outlook, host: &Host) -> [f64; 2] {
    [
        ratio(real(host.cpu_milli.free()), outlook.maxima.cpu_milli),
        ratio(real(host.free_cards_milli()), outlook.maxima.cards_milli),
    ]
}

fn asked_parts(outlook: &Outlook, request: &Request) -> [f64; 2] {
    [
        ratio(real(request.cpu_milli), outlook.maxima.cpu_milli),
        ratio(real(asked_cards_milli(request)), outlook.maxima.cards_milli),
    ]
}

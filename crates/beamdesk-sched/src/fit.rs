//! Whether one host can take one desktop, and if not, why not.

use beamdesk_types::{GpuRequest, Misfit, WHOLE_CARD};

use crate::{CardRoom, Guard, Host, Request};

/// Says whether the host has room now, and if not, the first reason why, in the order of
/// [`Misfit`]. Cards of one request are always of one model.
pub fn fits(request: &Request, host: &Host, guard: Option<&Guard>) -> Result<(), Misfit> {
    is_open(request, host)?;
    if request.cpu_milli > host.cpu_milli.free() {
        return Err(Misfit::Vcpus);
    }
    if request.memory_mib > host.memory_mib.free() {
        return Err(Misfit::Memory);
    }
    if request.disk_gib > host.disk_gib.free() {
        return Err(Misfit::Disk);
    }
    if request.wants_cards() {
        return has_cards(&request.gpu, host);
    }
    match guard {
        Some(guard) if !guard.allows(request, host) => Err(Misfit::Guard),
        Some(_) | None => Ok(()),
    }
}

/// What speaks against the host however empty it is.
fn is_open(request: &Request, host: &Host) -> Result<(), Misfit> {
    if let Some(closed) = host.closed {
        return Err(closed);
    }
    if request.excluded.contains(&host.name) {
        return Err(Misfit::Excluded);
    }
    if request.only.as_ref().is_some_and(|only| *only != host.name) {
        return Err(Misfit::Elsewhere);
    }
    let is_kept_for = |station| host.kept_for.contains(station);
    if !host.kept_for.is_empty() && !request.station.as_ref().is_some_and(is_kept_for) {
        return Err(Misfit::Station);
    }
    Ok(())
}

/// The filters a card must pass, each with what is missing where too few cards pass it and those
/// before it.
type Need = (fn(&GpuRequest, &CardRoom) -> bool, Misfit);
const NEEDS: [Need; 4] = [
    (has_model, Misfit::GpuModel),
    (has_memory, Misfit::GpuMemory),
    (has_cores, Misfit::GpuCores),
    (has_bandwidth, Misfit::GpuBandwidth),
];

fn has_cards(gpu: &GpuRequest, host: &Host) -> Result<(), Misfit> {
    if host.is_stale {
        return Err(Misfit::Stale);
    }
    let count = usize::try_from(gpu.count).unwrap_or(usize::MAX);
    if most_of_a_model(host, |card| is_eligible(gpu, card), count) {
        return Ok(());
    }
    if host.cards.iter().filter(|card| has_room(gpu, card)).count() < count {
        return Err(Misfit::Gpus);
    }
    for passed in 1..=NEEDS.len() {
        let (needs, _) = NEEDS.split_at(passed);
        let passes =
            |card: &CardRoom| has_room(gpu, card) && needs.iter().all(|(need, _)| need(gpu, card));
        if let (false, Some((_, misfit))) = (most_of_a_model(host, passes, count), needs.last()) {
            return Err(*misfit);
        }
    }
    Ok(())
}

/// Whether `count` cards of one model pass.
fn most_of_a_model(host: &Host, passes: impl Fn(&CardRoom) -> bool, count: usize) -> bool {
    host.cards.iter().enumerate().any(|(index, first)| {
        // Counted from the first card of its model on.
        passes(first)
            && host
                .cards
                .iter()
                .skip(index)
                .filter(|card| same_model(card, first) && passes(card))
                .count()
                >= count
    })
}

/// Whether the card has what is asked for, and enough of it free.
pub(crate) fn is_eligible(gpu: &GpuRequest, card: &CardRoom) -> bool {
    has_room(gpu, card) && NEEDS.iter().all(|(need, _)| need(gpu, card))
}

/// Whether the card is one that could be asked for so, were it free.
pub(crate) fn suits(gpu: &GpuRequest, card: &CardRoom) -> bool {
    (gpu.share_milli >= WHOLE_CARD || card.is_shared)
        && NEEDS.iter().all(|(need, _)| need(gpu, card))
}

pub(crate) fn same_model(one: &CardRoom, other: &CardRoom) -> bool {
    one.model == other.model
}

fn has_room(gpu: &GpuRequest, card: &CardRoom) -> bool {
    card.free_milli >= gpu.share_milli && (gpu.share_milli >= WHOLE_CARD || card.is_shared)
}

fn has_model(gpu: &GpuRequest, card: &CardRoom) -> bool {
    gpu.models.is_empty() || gpu.models.iter().any(|model| **model == *card.model)
}

/// With a share comes that share of the memory.
fn has_memory(gpu: &GpuRequest, card: &CardRoom) -> bool {
    let share = u128::from(gpu.share_milli.min(WHOLE_CARD));
    u128::from(card.memory_mib) * share >= u128::from(gpu.memory_mib) * u128::from(WHOLE_CARD)
}

fn has_cores(gpu: &GpuRequest, card: &CardRoom) -> bool {
    card.cores >= gpu.cores
}

fn has_bandwidth(gpu: &GpuRequest, card: &CardRoom) -> bool {
    card.bandwidth_gb_s >= gpu.bandwidth_gb_s
}

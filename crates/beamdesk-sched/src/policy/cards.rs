//! Which cards of a host a request takes.

use std::cmp::Reverse;

use beamdesk_types::{GpuRequest, WHOLE_CARD};

use crate::{
    CardRoom, Host, Request,
    fit::{is_eligible, same_model},
};

/// The cards that are eligible, by model; only models of which there are enough.
pub(super) fn groups(gpu: &GpuRequest, host: &Host) -> Vec<Vec<usize>> {
    let mut groups: Vec<(&CardRoom, Vec<usize>)> = Vec::new();
    for (index, card) in host.cards.iter().enumerate() {
        if !is_eligible(gpu, card) {
            continue;
        }
        match groups.iter_mut().find(|(first, _)| same_model(first, card)) {
            Some((_, group)) => group.push(index),
            None => groups.push((card, vec![index])),
        }
    }
    groups.into_iter().map(|(_, group)| group).filter(|group| group.len() >= count(gpu)).collect()
}

/// The cards that a request takes when its policy says nothing about cards: the smallest model
/// that does, so that better cards are left to those who need them.
pub(super) fn packed(request: &Request, host: &Host) -> Vec<usize> {
    if !request.wants_cards() {
        return Vec::new();
    }
    let groups = groups(&request.gpu, host);
    let smallest = groups.iter().min_by_key(|group| smallest(host, group));
    smallest.map(|group| picked(&request.gpu, host, group)).unwrap_or_default()
}

/// The cards of one group that a request takes, ascending. A share goes to the fullest card that
/// fits. Whole cards are taken near each other, where they leave the fewest others near them.
pub(super) fn picked(gpu: &GpuRequest, host: &Host, group: &[usize]) -> Vec<usize> {
    let mut picked = group.to_vec();
    let quality = |index: usize| host.cards.get(index).map(grade);
    if gpu.share_milli < WHOLE_CARD {
        let free = |index: usize| host.cards.get(index).map(|card| card.free_milli);
        picked.sort_unstable_by_key(|&index| (free(index), quality(index), index));
    } else if picked.len() > count(gpu) {
        let numa_node = |index: usize| host.cards.get(index).and_then(|card| card.numa_node);
        // First the NUMA nodes that have enough, the fullest of them first; then, where none has,
        // those that have the most, so that the request is scattered over few.
        let order = |index: usize| {
            let near = group.iter().filter(|&&other| numa_node(other) == numa_node(index)).count();
            if near >= count(gpu) { (false, near, Reverse(0)) } else { (true, 0, Reverse(near)) }
        };
        if count(gpu) == 1 {
            picked.sort_by_cached_key(|&index| (quality(index), order(index), index));
        } else {
            picked.sort_by_cached_key(|&index| {
                (order(index), numa_node(index), quality(index), index)
            });
        }
    }
    picked.truncate(count(gpu));
    picked.sort_unstable();
    picked
}

/// Memory, cores, bandwidth, compute power, and whether shares may be put there.
pub(super) type Grade = (u64, u32, u32, u32, bool);

/// How good a card is, to take the smaller of two, and the one that can be given only whole.
pub(super) fn grade(card: &CardRoom) -> Grade {
    (card.memory_mib, card.cores, card.bandwidth_gb_s, card.gflops, card.is_shared)
}

/// The grade of the smallest card of a group.
pub(super) fn smallest(host: &Host, group: &[usize]) -> Option<Grade> {
    group.iter().filter_map(|&index| host.cards.get(index)).map(grade).min()
}

pub(super) fn count(gpu: &GpuRequest) -> usize {
    usize::try_from(gpu.count).unwrap_or(usize::MAX)
}

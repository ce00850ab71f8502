//! Picks the node for a desktop.

use std::{cmp::Reverse, fmt};

use beamdesk_types::{Node, NodeName};

use crate::fit::{Misfit, Request, fits, free_disk_gib, free_memory_mib, free_vcpus};

/// No node has room; why, for each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRoom {
    pub misfits: Vec<(NodeName, Misfit)>,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "none of {} nodes has room", self.misfits.len())
    }
}

impl std::error::Error for NoRoom {}

/// Filters, scores and picks. Ties go to the lower node name, so the answer is repeatable and
/// does not depend on the order of `nodes`.
pub fn place(request: &Request, nodes: &[Node]) -> Result<NodeName, NoRoom> {
    let mut best: Option<(Score, &NodeName)> = None;
    let mut misfits = Vec::new();
    for node in nodes {
        match fits(request, node) {
            Ok(()) => {
                let candidate = (best_fit(request, node), &node.name);
                if best.as_ref().is_none_or(|present| candidate < *present) {
                    best = Some(candidate);
                }
            }
            Err(misfit) => misfits.push((node.name.clone(), misfit)),
        }
    }
    best.map(|(_, name)| name.clone()).ok_or(NoRoom { misfits })
}

/// Lower is better, the first field first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    /// Cards that a desktop without need of them would keep others from.
    cards_in_the_way: usize,
    /// Memory of the cards it would take: the smallest that do.
    cards_memory_mib: u64,
    /// What is left over, as the sum of the shares of vCPUs, memory and disk, in millionths.
    left_over: u64,
    /// Of two equally full nodes the one with more memory free.
    memory_left_mib: Reverse<u64>,
}

/// Best fit: the node that this desktop fills most, so that large gaps stay for large desktops.
fn best_fit(request: &Request, node: &Node) -> Score {
    let wanted = usize::try_from(request.gpu.count).unwrap_or(usize::MAX);
    let memory_left_mib = free_memory_mib(node).saturating_sub(request.memory_mib);
    let vcpus_left = free_vcpus(node).saturating_sub(request.vcpus);
    let disk_left_gib = free_disk_gib(node).saturating_sub(request.disk_gib);
    Score {
        cards_in_the_way: if wanted == 0 { node.gpus_free_mib.len() } else { 0 },
        cards_memory_mib: smallest_cards_mib(request, node, wanted),
        left_over: millionths(u64::from(vcpus_left), u64::from(node.vcpus))
            + millionths(memory_left_mib, node.memory_mib)
            + millionths(disk_left_gib, node.disk_gib),
        memory_left_mib: Reverse(memory_left_mib),
    }
}

fn smallest_cards_mib(request: &Request, node: &Node, wanted: usize) -> u64 {
    let mut cards: Vec<u64> =
        node.gpus_free_mib.iter().copied().filter(|&m| m >= request.gpu.memory_mib).collect();
    cards.sort_unstable();
    cards.iter().take(wanted).fold(0, |sum, &mib| sum.saturating_add(mib))
}

/// Shares as whole numbers: exact to compare, the same on every machine.
fn millionths(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 0;
    }
    let share = u128::from(part) * 1_000_000 / u128::from(whole);
    u64::try_from(share).unwrap_or(u64::MAX / 4)
}

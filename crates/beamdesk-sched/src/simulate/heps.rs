//! A made-up light source: no trace of a facility's desktops is public.
//!
//! 250 hosts with workstation and data-centre cards, 500 desktops of the kinds that beamlines use,
//! with terms of hours to days. Figures from it compare policies; they foretell no site's own.

use std::{str::FromStr, sync::Arc};

use beamdesk_types::{CardAddress, GpuRequest, NodeName, WHOLE_CARD};

use super::{Chance, Task, Trace, cards};
use crate::{CardRoom, Host, Request};

const DESKTOPS: usize = 500;
const HOUR_S: u64 = 3600;

/// Hosts, vCPUs, memory GiB, disk GiB, cards each, their model.
const HOSTS: [(usize, u64, u64, u64, usize, &str); 8] = [
    (60, 64, 256, 4000, 0, ""),
    (30, 32, 128, 2000, 1, "RTX A6000"),
    (45, 64, 256, 4000, 2, "RTX A6000"),
    (30, 64, 384, 4000, 3, "RTX A6000"),
    (35, 128, 512, 8000, 4, "RTX A6000"),
    (20, 64, 256, 4000, 4, "RTX A5000"),
    (20, 128, 512, 8000, 4, "A40"),
    (10, 64, 256, 4000, 4, "T4"),
];

/// Of 100 desktops so many: vCPUs, memory GiB, disk GiB, cards, share, memory of each MiB.
const KINDS: [(usize, u64, u64, u64, u32, u32, u64); 9] = [
    // A terminal beside the experiment.
    (22, 4, 16, 50, 0, WHOLE_CARD, 0),
    // A look at data, with a quarter or half of a card.
    (16, 4, 16, 50, 1, 250, 4 << 10),
    (14, 8, 32, 100, 1, 500, 8 << 10),
    // Work on pictures.
    (16, 8, 32, 100, 1, WHOLE_CARD, 12 << 10),
    (14, 16, 64, 200, 1, WHOLE_CARD, 22 << 10),
    // Volumes that fit only a large card.
    (9, 16, 96, 500, 1, WHOLE_CARD, 40 << 10),
    // Reconstruction, on several cards.
    (5, 32, 128, 1000, 2, WHOLE_CARD, 40 << 10),
    (2, 48, 192, 1000, 3, WHOLE_CARD, 20 << 10),
    (2, 64, 256, 2000, 4, WHOLE_CARD, 20 << 10),
];

/// Terms, and how many of 100 desktops have them.
const TERMS: [(usize, u64); 5] = [(25, 4), (30, 8), (25, 24), (15, 72), (5, 168)];

/// The hosts are always the same; the desktops depend on the seed.
pub fn heps(seed: u64) -> Trace {
    let mut chance = Chance::new(seed);
    let mut hosts = Vec::new();
    for (count, vcpus, memory_gib, disk_gib, cards, model) in HOSTS {
        for _ in 0..count {
            let name = NodeName::from_str(&format!("heps-{:03}", hosts.len()));
            let Ok(name) = name else { unreachable!("the name is plain") };
            let mut host = Host::new(name, vcpus * 1000, memory_gib << 10, disk_gib);
            host.cards = (0..cards).filter_map(|index| card(index, model)).collect();
            hosts.push(host);
        }
    }
    let tasks = (0..DESKTOPS).map(|_| desktop(&mut chance)).collect();
    Trace { hosts, tasks }
}

fn card(index: usize, model: &str) -> Option<CardRoom> {
    let known = cards::known(model);
    let numa_node = u32::try_from(index / 2).ok()?;
    Some(CardRoom {
        address: CardAddress::from_str(&format!("0000:{:02x}:00.0", 0x41 + index)).ok()?,
        model: Arc::from(model),
        memory_mib: known.memory_mib,
        cores: known.cores,
        bandwidth_gb_s: known.bandwidth_gb_s,
        clock_mhz: known.clock_mhz,
        gflops: known.gflops,
        numa_node: Some(numa_node),
        free_milli: WHOLE_CARD,
        is_shared: true,
    })
}

fn desktop(chance: &mut Chance) -> Task {
    let (_, vcpus, memory_gib, disk_gib, count, share_milli, gpu_memory) =
        KINDS[drawn(chance, &KINDS.map(|kind| kind.0))];
    let (_, hours) = TERMS[drawn(chance, &TERMS.map(|term| term.0))];
    let gpu = GpuRequest { share_milli, ..GpuRequest::whole(count, gpu_memory) };
    let request = Request {
        cpu_milli: vcpus * 1000,
        memory_mib: memory_gib << 10,
        disk_gib,
        gpu,
        ..Request::default()
    };
    Task { request, runs_s: Some(hours * HOUR_S) }
}

/// An index, each as likely as its number says.
fn drawn(chance: &mut Chance, weights: &[usize]) -> usize {
    let mut left = chance.below(weights.iter().sum());
    let falls_in = |&weight: &usize| match left.checked_sub(weight) {
        Some(rest) => {
            left = rest;
            false
        }
        None => true,
    };
    weights.iter().position(falls_in).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{HOSTS, KINDS, TERMS, heps};

    #[test]
    fn the_made_up_site_has_its_size() {
        let trace = heps(1);
        assert_eq!((trace.hosts.len(), trace.tasks.len()), (250, 500));
        assert_eq!(HOSTS.map(|kind| kind.0).iter().sum::<usize>(), 250);
        assert_eq!(KINDS.map(|kind| kind.0).iter().sum::<usize>(), 100);
        assert_eq!(TERMS.map(|term| term.0).iter().sum::<usize>(), 100);
        for task in &trace.tasks {
            assert_eq!(task.request.gpu.check(), Ok(()));
        }
        assert_ne!(heps(1).tasks, heps(2).tasks);
        assert_eq!(heps(1), heps(1));
    }
}

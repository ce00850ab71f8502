//! Hosts kept in reserve for requests for several cards.
//!
//! Whoever wants one card finds room on any host; whoever wants eight needs a host of which nobody
//! has broken anything off. So as many hosts as such requests are expected to hold at once are the
//! last that smaller requests are given, and the first that they are given themselves.

use std::collections::{BTreeSet, HashMap};

use beamdesk_types::{NodeName, WHOLE_CARD};

use super::super::formula::real;
use crate::{Host, Shape, fit::suits};

/// So much more than is expected on average, because requests come in heaps.
const MARGIN: f64 = 1.15;

/// For how many cards at once a host is kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Reserve {
    kept: HashMap<NodeName, u32>,
}

impl Reserve {
    pub(crate) fn of(hosts: &[Host], workload: &[Shape]) -> Self {
        let milli = |shape: &Shape| {
            let weight = if shape.weight.is_finite() { shape.weight.max(0.0) } else { 0.0 };
            weight * f64::from(shape.gpu.count) * f64::from(shape.gpu.share_milli)
        };
        let all: f64 = workload.iter().map(milli).sum();
        let cards: usize = hosts.iter().map(|host| host.cards.len()).sum();
        let counts: BTreeSet<u32> = workload.iter().map(|shape| shape.gpu.count).collect();
        let mut reserve = Self::default();
        // The largest first: fewest hosts can take them.
        for count in counts.into_iter().rev().filter(|count| *count > 1) {
            let shapes: Vec<&Shape> = workload.iter().filter(|s| s.gpu.count == count).collect();
            let part = shapes.iter().map(|shape| milli(shape)).sum::<f64>() / all;
            let mut wanted = part * real_len(cards) * MARGIN;
            let mut able: Vec<(f64, usize, &Host)> = hosts
                .iter()
                .filter(|host| host.closed.is_none() && !reserve.kept.contains_key(&host.name))
                .map(|host| {
                    let taken = shapes.iter().filter(|shape| takes(host, shape));
                    (taken.map(|shape| milli(shape)).sum(), host.cards.len(), host)
                })
                .filter(|(taken, ..)| *taken > 0.0)
                .collect();
            // Who can take the most of them; of those the smallest.
            able.sort_by(|one, other| {
                (other.0.total_cmp(&one.0))
                    .then_with(|| one.1.cmp(&other.1))
                    .then_with(|| one.2.name.cmp(&other.2.name))
            });
            for (_, cards, host) in able {
                let usable = cards - cards % usize::try_from(count).unwrap_or(1).max(1);
                if wanted < 0.5 * f64::from(count) {
                    break;
                }
                wanted -= real_len(usable);
                reserve.kept.insert(host.name.clone(), count);
            }
        }
        reserve
    }

    /// 1 for a request that the host is kept for, -1 for a smaller one, 0 for any other host.
    pub(crate) fn rank(&self, host: &Host, cards: u32) -> i8 {
        match self.kept.get(&host.name) {
            None => 0,
            Some(count) if cards >= *count => 1,
            Some(_) => -1,
        }
    }

    /// Whether it would be the same with one host in place of another.
    pub(crate) fn stays(before: &Host, after: &Host) -> bool {
        let facts = |host: &Host| {
            (host.cpu_milli.total, host.memory_mib.total, host.closed.is_some(), host.cards.len())
        };
        facts(before) == facts(after)
            && before.cards.iter().zip(&after.cards).all(|(one, other)| {
                let facts = |card: &crate::CardRoom| {
                    (card.memory_mib, card.cores, card.bandwidth_gb_s, card.is_shared)
                };
                facts(one) == facts(other) && one.model == other.model
            })
    }
}

/// Whether the host could take it with nobody on it.
fn takes(host: &Host, shape: &Shape) -> bool {
    let suiting = host.cards.iter().filter(|card| suits(&shape.gpu, card));
    shape.gpu.share_milli == WHOLE_CARD
        && host.cpu_milli.total >= shape.cpu_milli
        && host.memory_mib.total >= shape.memory_mib
        && u32::try_from(suiting.count()).is_ok_and(|cards| cards >= shape.gpu.count)
}

fn real_len(count: usize) -> f64 {
    real(u64::try_from(count).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use beamdesk_types::{GpuRequest, Misfit};

    use super::Reserve;
    use crate::{Host, Shape, simulate::hosts_of};

    fn hosts() -> Vec<Host> {
        let row = |name: &str, cards: u32| format!("{name},64000,1000,{cards},T4\n");
        let rows: String = [("a", 8), ("b", 8), ("c", 8), ("d", 4), ("e", 4)]
            .map(|(name, cards)| row(name, cards))
            .concat();
        hosts_of(&format!("sn,cpu_milli,memory_mib,gpu,model\n{rows}")).unwrap()
    }

    fn shape(count: u32, weight: f64) -> Shape {
        let gpu = GpuRequest::whole(count, 0);
        Shape { cpu_milli: 1000, memory_mib: 0, gpu, weight }
    }

    fn ranks(hosts: &[Host], workload: &[Shape], cards: u32) -> Vec<i8> {
        let reserve = Reserve::of(hosts, workload);
        hosts.iter().map(|host| reserve.rank(host, cards)).collect()
    }

    #[test]
    fn as_many_hosts_are_kept_as_large_requests_will_hold() {
        // A quarter of the cards is asked for eight at a time: one of the large hosts.
        let workload = [shape(1, 24.0), shape(8, 1.0)];
        assert_eq!(ranks(&hosts(), &workload, 1), [-1, 0, 0, 0, 0]);
        assert_eq!(ranks(&hosts(), &workload, 8), [1, 0, 0, 0, 0]);
        // Four at a time go to the smaller hosts.
        let workload = [shape(1, 24.0), shape(4, 1.0)];
        assert_eq!(ranks(&hosts(), &workload, 2), [0, 0, 0, -1, 0]);
        assert_eq!(ranks(&hosts(), &[shape(1, 1.0)], 1), [0; 5]);
        assert_eq!(ranks(&hosts(), &[shape(16, 1.0)], 1), [0; 5]);
    }

    #[test]
    fn a_closed_host_is_not_counted_on() {
        let mut hosts = hosts();
        hosts[0].closed = Some(Misfit::Disabled);
        assert_eq!(ranks(&hosts, &[shape(1, 24.0), shape(8, 1.0)], 1), [0, -1, 0, 0, 0]);
    }
}

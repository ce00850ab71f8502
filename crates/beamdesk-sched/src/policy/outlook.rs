//! What scores need to know of the cluster as a whole.

use std::sync::Arc;

use beamdesk_types::WHOLE_CARD;

use super::{
    Expectation, Reserve,
    fgd::Fragmentation,
    formula::{ratio, real},
};
use crate::{Host, Policy, Settings};

/// What is the same for all hosts when one request is scored.
#[derive(Debug, Clone)]
pub(crate) struct Outlook {
    /// CPU and memory; they sum to 1.
    pub(crate) weights: [f64; 2],
    pub(crate) maxima: Maxima,
    pub(crate) fragmentation: Fragmentation,
    pub(crate) expectation: Arc<Expectation>,
    pub(crate) reserve: Reserve,
    pub(crate) seed: u64,
    /// How many decisions there were; only chance looks at it.
    pub(crate) decisions: u64,
}

impl Outlook {
    pub(crate) fn new(hosts: &[Host], settings: &Settings) -> Self {
        // Only one policy looks at it, and to make it takes longer than a decision.
        let is_wanted = settings.policy == Policy::ExpectedFill;
        let expected = if is_wanted { &settings.workload[..] } else { &[] };
        Self {
            weights: weights(settings),
            maxima: Maxima::of(hosts),
            fragmentation: Fragmentation::new(&settings.workload),
            expectation: Expectation::of(expected),
            reserve: Reserve::of(hosts, expected),
            seed: settings.seed,
            decisions: 0,
        }
    }

    /// Whether scores stay what they are when one host of these was replaced by another.
    pub(crate) fn stays(&self, before: &Host, after: &Host, hosts: &[Host]) -> bool {
        (Maxima::of_host(before) == Maxima::of_host(after) || Maxima::of(hosts) == self.maxima)
            && Reserve::stays(before, after)
    }

    /// How empty a host is, from 0 to 1: the mean of its free CPU and its free card shares, each
    /// as a part of the largest host's.
    pub(crate) fn left_over(&self, host: &Host) -> f64 {
        0.5 * ratio(real(host.cpu_milli.free()), self.maxima.cpu_milli)
            + 0.5 * ratio(real(host.free_cards_milli()), self.maxima.cards_milli)
    }
}

/// Weights that are no numbers, or sum to nothing, count as equal.
fn weights(settings: &Settings) -> [f64; 2] {
    let [cpu, memory] = [settings.cpu_weight, settings.memory_weight].map(|weight| weight.max(0.0));
    let sum = cpu + memory;
    if sum.is_finite() && sum > 0.0 { [cpu / sum, memory / sum] } else { [0.5, 0.5] }
}

/// The largest capacity of each resource that any one host, or card, has.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Maxima {
    pub(crate) cpu_milli: f64,
    pub(crate) memory_mib: f64,
    /// Thousandths of cards of one host.
    pub(crate) cards_milli: f64,
    pub(crate) card_memory_mib: f64,
    pub(crate) card_cores: f64,
    /// Compute power, bandwidth, clock.
    pub(crate) card_power: [f64; 3],
}

impl Maxima {
    pub(crate) fn of(hosts: &[Host]) -> Self {
        hosts.iter().fold(Self::default(), |maxima, host| maxima.and(Self::of_host(host)))
    }

    pub(crate) fn of_host(host: &Host) -> Self {
        let cards = u64::try_from(host.cards.len()).unwrap_or(u64::MAX);
        let alone = Self {
            cpu_milli: real(host.cpu_milli.total),
            memory_mib: real(host.memory_mib.total),
            cards_milli: real(cards.saturating_mul(u64::from(WHOLE_CARD))),
            ..Self::default()
        };
        host.cards.iter().fold(alone, |maxima, card| {
            maxima.and(Self {
                card_memory_mib: real(card.memory_mib),
                card_cores: f64::from(card.cores),
                card_power: [card.gflops, card.bandwidth_gb_s, card.clock_mhz].map(f64::from),
                ..Self::default()
            })
        })
    }

    /// The larger of each.
    pub(crate) fn and(self, other: Self) -> Self {
        let [gflops, bandwidth, clock] = self.card_power;
        let [other_gflops, other_bandwidth, other_clock] = other.card_power;
        Self {
            cpu_milli: self.cpu_milli.max(other.cpu_milli),
            memory_mib: self.memory_mib.max(other.memory_mib),
            cards_milli: self.cards_milli.max(other.cards_milli),
            card_memory_mib: self.card_memory_mib.max(other.card_memory_mib),
            card_cores: self.card_cores.max(other.card_cores),
            card_power: [
                gflops.max(other_gflops),
                bandwidth.max(other_bandwidth),
                clock.max(other_clock),
            ],
        }
    }
}

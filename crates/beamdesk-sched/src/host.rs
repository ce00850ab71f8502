//! What the scheduler sees of a node at one moment.

use std::sync::Arc;

use beamdesk_types::{CardAddress, Misfit, NodeName, StationId, WHOLE_CARD};

use crate::Request;

/// How much there is of something, and how much of it is taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    pub total: u64,
    pub used: u64,
}

impl Amount {
    /// All of it free.
    pub fn of(total: u64) -> Self {
        Self { total, used: 0 }
    }

    /// What is left. More may be used than there is, for instance after an administrator lowered
    /// an overcommit: then nothing is free, rather than a number that wrapped around.
    pub fn free(self) -> u64 {
        self.total.saturating_sub(self.used)
    }

    fn take(&mut self, amount: u64) {
        self.used = self.used.saturating_add(amount);
    }

    fn give_back(&mut self, amount: u64) {
        self.used = self.used.saturating_sub(amount);
    }
}

/// A node as the scheduler sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub name: NodeName,
    /// Thousandths of a vCPU, overcommit counted in.
    pub cpu_milli: Amount,
    pub memory_mib: Amount,
    pub disk_gib: Amount,
    pub cards: Vec<CardRoom>,
    /// Why it takes nobody, whatever is asked: disabled, in maintenance or in quarantine.
    pub closed: Option<Misfit>,
    /// Its monitor has been silent for too long: no cards are given from it.
    pub is_stale: bool,
    /// Stations that it takes, and nobody else. Empty: everybody.
    pub kept_for: Vec<StationId>,
}

/// One card of a host, or a part of one that can be given away by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardRoom {
    pub address: CardAddress,
    pub model: Arc<str>,
    pub memory_mib: u64,
    /// CUDA cores or stream processors.
    pub cores: u32,
    /// Memory bandwidth.
    pub bandwidth_gb_s: u32,
    pub clock_mhz: u32,
    /// Single-precision peak, 10^9 operations a second.
    pub gflops: u32,
    pub numa_node: Option<u32>,
    /// Thousandths that are free: 1000 is a whole card, 0 also one that is not to be had.
    pub free_milli: u32,
    /// Whether shares of less than the whole may be put here.
    pub is_shared: bool,
}

impl Host {
    /// Without cards, open to everybody, nothing used.
    pub fn new(name: NodeName, cpu_milli: u64, memory_mib: u64, disk_gib: u64) -> Self {
        Self {
            name,
            cpu_milli: Amount::of(cpu_milli),
            memory_mib: Amount::of(memory_mib),
            disk_gib: Amount::of(disk_gib),
            cards: Vec::new(),
            closed: None,
            is_stale: false,
            kept_for: Vec::new(),
        }
    }

    /// Books what a request takes, with the cards chosen for it (indices into `cards`; others are
    /// ignored).
    pub fn take(&mut self, request: &Request, cards: &[usize]) {
        self.cpu_milli.take(request.cpu_milli);
        self.memory_mib.take(request.memory_mib);
        self.disk_gib.take(request.disk_gib);
        for &index in cards {
            if let Some(card) = self.cards.get_mut(index) {
                card.free_milli = card.free_milli.saturating_sub(request.gpu.share_milli);
            }
        }
    }

    /// The inverse of [`Self::take`].
    pub fn release(&mut self, request: &Request, cards: &[usize]) {
        self.cpu_milli.give_back(request.cpu_milli);
        self.memory_mib.give_back(request.memory_mib);
        self.disk_gib.give_back(request.disk_gib);
        for &index in cards {
            if let Some(card) = self.cards.get_mut(index) {
                let free = card.free_milli.saturating_add(request.gpu.share_milli);
                card.free_milli = free.min(WHOLE_CARD);
            }
        }
    }

    /// Thousandths of cards that are free, of all of them together.
    pub fn free_cards_milli(&self) -> u64 {
        self.cards.iter().map(|card| u64::from(card.free_milli)).sum()
    }
}

impl CardRoom {
    /// Whether nobody has any of it.
    pub fn is_free(&self) -> bool {
        self.free_milli >= WHOLE_CARD
    }
}

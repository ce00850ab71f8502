//! Keeps desktops without cards from stranding the cards of a host.

use beamdesk_types::WHOLE_CARD;

use crate::{Host, Request};

/// What must stay beside each free card when a desktop without card comes to its host: a card
/// whose host has no CPU or memory left is of no use to anybody.
///
/// Off in the paper's policy; its text sets no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    /// Thousandths of a vCPU for each free card.
    pub cpu_milli_per_card: u64,
    pub memory_mib_per_card: u64,
}

impl Default for Guard {
    /// What a small desktop with one card usually has.
    fn default() -> Self {
        Self { cpu_milli_per_card: 4000, memory_mib_per_card: 16 << 10 }
    }
}

impl Guard {
    /// Whether the host's free cards stay usable beside this request. A card of which a share is
    /// free counts by that share.
    pub fn allows(&self, request: &Request, host: &Host) -> bool {
        let cards_milli = host.free_cards_milli();
        if request.wants_cards() || cards_milli == 0 {
            return true;
        }
        let stays = |free: u64, taken: u64, per_card: u64| {
            let needed = u128::from(cards_milli) * u128::from(per_card);
            u128::from(free.saturating_sub(taken)) * u128::from(WHOLE_CARD) >= needed
        };
        stays(host.cpu_milli.free(), request.cpu_milli, self.cpu_milli_per_card)
            && stays(host.memory_mib.free(), request.memory_mib, self.memory_mib_per_card)
    }
}

//! `random`: any host that fits, each as likely as the others, whatever their order.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use beamdesk_types::WHOLE_CARD;

use super::{Best, Outlook, cards};
use crate::{Host, Request};

/// A number that one host gets in one decision. The highest wins.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn of(outlook: &Outlook, name: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (outlook.seed, outlook.decisions, name).hash(&mut hasher);
        Self(hasher.finish())
    }

    /// From 0 to 1.
    fn part(&self) -> f64 {
        // Half of the bits are plenty to tell hosts apart.
        f64::from(u32::try_from(self.0 >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }

    fn below(&self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(1).max(1);
        usize::try_from(self.0 % bound).unwrap_or(0)
    }
}

pub(super) fn best(outlook: &Outlook, request: &Request, host: &Host) -> Best {
    let chance = Chance::of(outlook, host.name.as_str());
    let mut chosen = cards::packed(request, host);
    if request.gpu.share_milli < WHOLE_CARD && request.wants_cards() {
        let any = cards::groups(&request.gpu, host).concat();
        chosen = any.get(chance.below(any.len())).copied().into_iter().collect();
    }
    Best { score: chance.part(), cards: chosen }
}

//! What of a sample is worth sending.

use std::collections::BTreeMap;

use beamdesk_types::{Card, NodeContent, NodeFacts};

use crate::Sample;

/// Steps below which a number counts as unchanged: a chart of a day shows no less, and an idle node
/// sends nothing.
const CPU_STEP_PERMILLE: u16 = 20;
const CARD_STEP_PERCENT: u8 = 5;
/// Of the whole.
const MEMORY_STEP_DIVISOR: u64 = 100;

/// The sample, with what jitters set back to what was sent last.
pub fn settle(sent: &Sample, now: Sample) -> Sample {
    let before: BTreeMap<_, &Card> = sent.cards.iter().map(|card| (&card.address, card)).collect();
    let settled = |card: Card| match before.get(&card.address) {
        Some(before) => settle_card(before, card),
        None => card,
    };
    Sample {
        facts: settle_facts(&sent.facts, now.facts),
        cards: now.cards.into_iter().map(settled).collect(),
    }
}

/// What differs from the sample that was sent with generation `since`.
pub fn changes(since: u64, sent: &Sample, now: &Sample) -> NodeContent {
    let before: BTreeMap<_, &Card> = sent.cards.iter().map(|card| (&card.address, card)).collect();
    let is_there: BTreeMap<_, ()> = now.cards.iter().map(|card| (&card.address, ())).collect();
    let differs = |card: &&Card| before.get(&card.address) != Some(card);
    let gone = before.keys().filter(|address| !is_there.contains_key(*address));
    NodeContent::Changes {
        since,
        facts: (now.facts != sent.facts).then(|| now.facts.clone()),
        cards: now.cards.iter().filter(differs).cloned().collect(),
        gone: gone.map(|&address| address.clone()).collect(),
    }
}

fn settle_facts(sent: &NodeFacts, now: NodeFacts) -> NodeFacts {
    let cpu_is_near = sent.cpu_busy_permille.abs_diff(now.cpu_busy_permille) < CPU_STEP_PERMILLE;
    let memory_step = now.memory_mib / MEMORY_STEP_DIVISOR;
    let memory_is_near = sent.memory_mib_used.abs_diff(now.memory_mib_used) < memory_step;
    NodeFacts {
        cpu_busy_permille: if cpu_is_near { sent.cpu_busy_permille } else { now.cpu_busy_permille },
        memory_mib_used: if memory_is_near { sent.memory_mib_used } else { now.memory_mib_used },
        ..now
    }
}

fn settle_card(sent: &Card, now: Card) -> Card {
    let busy_percent = match (sent.busy_percent, now.busy_percent) {
        (Some(sent), Some(now)) if sent.abs_diff(now) < CARD_STEP_PERCENT => Some(sent),
        (_, busy) => busy,
    };
    let step = now.memory_mib / MEMORY_STEP_DIVISOR;
    let memory_mib_used = match (sent.memory_mib_used, now.memory_mib_used) {
        (Some(sent), Some(now)) if sent.abs_diff(now) < step => Some(sent),
        (_, used) => used,
    };
    Card { busy_percent, memory_mib_used, ..now }
}

//! A record and a good report make the next record.

use std::collections::BTreeMap;

use beamdesk_store::NodeRecord;
use beamdesk_types::{Card, CardAddress, CardState, DesktopId, NodeContent, NodeReport, Timestamp};

use super::{Fault, FaultCode, Known, Taken, limits};

/// How the fault of a card begins that is not there any more though a desktop holds it. Its monitor
/// does not tell of it, so the portal keeps it in the record: out of use, for the administrator to
/// see.
const GONE: &str = "gone while a desktop holds it";

/// Whether this card is kept in the record although its monitor does not tell of it.
pub(crate) fn is_gone(card: &Card) -> bool {
    card.state == CardState::Faulty && card.fault.starts_with(GONE)
}

/// The next record. What is said in it alone has been checked; what changes make of all the cards
/// together has not.
pub(super) fn merge(known: &Known<'_>, report: NodeReport, now: Timestamp) -> Result<Taken, Fault> {
    let NodeReport { node: _, machine, generation, sampled, interval_s, version, content } = report;
    let old = known.record;
    let is_new_monitor = old.interval_s != interval_s
        || old.version != version
        || old.machine.as_ref() != Some(&machine);
    let told = match content {
        NodeContent::Full { facts, cards } => Some((Some(facts), cards)),
        NodeContent::Changes { facts: None, cards, gone, .. }
            if cards.is_empty() && gone.is_empty() =>
        {
            None
        }
        NodeContent::Changes { facts, cards, gone, .. } => {
            let facts = facts.or_else(|| old.facts.clone());
            Some((facts, changed(&old.cards, cards, &gone)))
        }
    };
    let is_sign_of_life = told.is_none() && !is_new_monitor;
    let mut record = NodeRecord {
        machine: Some(machine),
        generation,
        sampled: Some(sampled),
        received: Some(now),
        interval_s,
        version,
        ..old.clone()
    };
    let mut vanished = Vec::new();
    if let Some((facts, cards)) = told {
        record.facts = facts;
        record.cards = cards;
        keep_held(&mut record.cards, known, &mut vanished, now);
        limits::all_cards(&record.cards).map_err(|why| Fault::new(FaultCode::Absurd, why))?;
    }
    Ok(Taken { record, is_sign_of_life, vanished, heals: false })
}

/// All cards the monitor tells of, after these changes.
fn changed(old: &[Card], new: Vec<Card>, gone: &[CardAddress]) -> Vec<Card> {
    let mut cards: BTreeMap<CardAddress, Card> = old
        .iter()
        .filter(|card| !is_gone(card) && !gone.contains(&card.address))
        .map(|card| (card.address.clone(), card.clone()))
        .collect();
    cards.extend(new.into_iter().map(|card| (card.address.clone(), card)));
    cards.into_values().collect()
}

/// Keeps cards in the record that desktops hold and the monitor tells of no more.
fn keep_held(
    cards: &mut Vec<Card>,
    known: &Known<'_>,
    vanished: &mut Vec<(CardAddress, DesktopId)>,
    now: Timestamp,
) {
    for (address, desktop) in known.held {
        if cards.iter().any(|card| card.address == *address) {
            continue;
        }
        // One that was never told of is known from elsewhere: the cloud's own count.
        let Some(before) = known.record.cards.iter().find(|card| card.address == *address) else {
            continue;
        };
        if !is_gone(before) {
            vanished.push((address.clone(), *desktop));
        }
        let fault = if is_gone(before) {
            before.fault.clone()
        } else {
            // To the second; nobody reads fractions.
            let at = Timestamp::from_second(now.as_second()).unwrap_or(now);
            format!("{GONE}: desktop {desktop}, since {at}")
        };
        cards.push(Card { state: CardState::Faulty, fault, busy_percent: None, ..before.clone() });
    }
}

//! What no machine is: numbers and texts of a report beyond these bounds are not believed.

use std::collections::HashSet;

use beamdesk_types::{CARDS_MAX, Card, NodeContent, NodeFacts, NodeReport, Partitioning};

use super::{Fault, FaultCode};

/// Threads of the largest machines are some thousand.
const CPUS_MAX: u32 = 65_536;
/// 64 TiB; the largest machines have half of that.
const MEMORY_MIB_MAX: u64 = 64 << 20;
/// An EiB, for disks that are a file system of the site.
const DISK_GIB_MAX: u64 = 1 << 30;
/// 16 TiB, as in a request for cards.
const CARD_MEMORY_MIB_MAX: u64 = 16 << 20;
const CORES_MAX: u32 = 1_000_000;
const BANDWIDTH_GB_S_MAX: u32 = 100_000;
const CLOCK_MHZ_MAX: u32 = 100_000;
/// 10^18 operations a second.
const GFLOPS_MAX: u32 = 1_000_000_000;
/// Each card may have one, and the host some.
const HINTS_MAX: usize = CARDS_MAX + 64;
const HINT_CHARS_MAX: usize = 1024;
/// Of models, versions, owners and the like.
const TEXT_CHARS_MAX: usize = 256;
/// A UUID has 36.
const MACHINE_CHARS_MAX: usize = 128;
/// A monitor that speaks less often than once an hour is no monitor.
const INTERVAL_S_MAX: u32 = 3600;
/// What a text of a report may take in a message to an administrator.
const SHOWN_CHARS_MAX: usize = 64;

/// What is absurd about the report, if anything is.
pub(super) fn check(report: &NodeReport) -> Option<Fault> {
    reasons(report).err().map(|detail| Fault::new(FaultCode::Absurd, detail))
}

/// A text out of a report, bounded and without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let mut shown: String = chars
        .by_ref()
        .take(SHOWN_CHARS_MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

fn reasons(report: &NodeReport) -> Result<(), String> {
    at_most("generation", report.generation, u64::try_from(i64::MAX).unwrap_or(u64::MAX))?;
    at_most("seconds between reports", report.interval_s, INTERVAL_S_MAX)?;
    if report.interval_s == 0 {
        return Err("it says that no time lies between reports".to_owned());
    }
    if report.machine.trim().is_empty() {
        return Err("it does not say which machine it is".to_owned());
    }
    text("machine id", &report.machine, MACHINE_CHARS_MAX)?;
    text("version", &report.version, TEXT_CHARS_MAX)?;
    match &report.content {
        NodeContent::Full { facts: node, cards } => {
            facts(node)?;
            all_cards(cards)
        }
        NodeContent::Changes { facts: node, cards, gone, since: _ } => {
            node.as_ref().map_or(Ok(()), facts)?;
            at_most("cards that are gone", gone.len(), CARDS_MAX)?;
            all_cards(cards)
        }
    }
}

fn facts(facts: &NodeFacts) -> Result<(), String> {
    if facts.cpus == 0 || facts.memory_mib == 0 {
        return Err("it says that it has no CPU or no memory".to_owned());
    }
    at_most("CPUs", facts.cpus, CPUS_MAX)?;
    at_most("MiB of memory", facts.memory_mib, MEMORY_MIB_MAX)?;
    at_most("MiB of used memory", facts.memory_mib_used, facts.memory_mib)?;
    at_most("GiB of disk", facts.disk_gib, DISK_GIB_MAX)?;
    at_most("GiB of used disk", facts.disk_gib_used, facts.disk_gib)?;
    at_most("thousandths of busy CPU", facts.cpu_busy_permille, 1000)?;
    text("CPU model", &facts.cpu_model, TEXT_CHARS_MAX)?;
    at_most("hints", facts.hints.len(), HINTS_MAX)?;
    facts.hints.iter().try_for_each(|hint| text("hint", hint, HINT_CHARS_MAX))
}

/// Also of all cards together, once changes are applied.
pub(super) fn all_cards(cards: &[Card]) -> Result<(), String> {
    at_most("cards", cards.len(), CARDS_MAX)?;
    let mut seen = HashSet::new();
    for card in cards {
        if !seen.insert(&card.address) {
            return Err(format!("two cards have the address {}", card.address));
        }
        one_card(card).map_err(|reason| format!("card {}: {reason}", card.address))?;
    }
    Ok(())
}

fn one_card(card: &Card) -> Result<(), String> {
    at_most("MiB of memory", card.memory_mib, CARD_MEMORY_MIB_MAX)?;
    at_most("cores", card.cores, CORES_MAX)?;
    at_most("GB/s", card.bandwidth_gb_s, BANDWIDTH_GB_S_MAX)?;
    at_most("MHz", card.clock_mhz, CLOCK_MHZ_MAX)?;
    at_most("GFLOPS", card.gflops, GFLOPS_MAX)?;
    at_most("percent busy", card.busy_percent.unwrap_or_default(), 100)?;
    // Where no table knows how much memory a card has, it has zero.
    let memory_max = if card.memory_mib == 0 { CARD_MEMORY_MIB_MAX } else { card.memory_mib };
    at_most("MiB of used memory", card.memory_mib_used.unwrap_or_default(), memory_max)?;
    text("PCI id", &card.pci_id, TEXT_CHARS_MAX)?;
    text("model", &card.model, TEXT_CHARS_MAX)?;
    text("owner", card.owner.as_deref().unwrap_or_default(), TEXT_CHARS_MAX)?;
    text("fault", &card.fault, HINT_CHARS_MAX)?;
    match &card.partitioning {
        Partitioning::Whole | Partitioning::Shared => Ok(()),
        Partitioning::Mdev { profile, parent } | Partitioning::Mig { profile, parent } => {
            if *parent == card.address {
                return Err("it is a part of itself".to_owned());
            }
            text("profile", profile, TEXT_CHARS_MAX)
        }
        Partitioning::Vf { parent } if *parent == card.address => {
            Err("it is a part of itself".to_owned())
        }
        Partitioning::Vf { .. } => Ok(()),
    }
}

fn at_most<T: Copy + PartialOrd + std::fmt::Display>(
    what: &str,
    value: T,
    max: T,
) -> Result<(), String> {
    if value <= max { Ok(()) } else { Err(format!("it tells of {value} {what}, at most {max}")) }
}

fn text(what: &str, text: &str, chars_max: usize) -> Result<(), String> {
    if text.chars().count() <= chars_max {
        Ok(())
    } else {
        Err(format!("a {what} is longer than {chars_max} characters"))
    }
}

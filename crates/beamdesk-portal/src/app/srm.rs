//! What monitors say of their nodes is judged here before it is believed. Pure: time and what is
//! known are parameters.
//!
//! A report that cannot be true puts its node in quarantine: the node gets no desktops until an
//! administrator has looked. What puts itself right (a clock, a monitor of another version) ends by
//! itself with the next good report. A report that is merely late or doubled is refused and nothing
//! else.

mod limits;
mod merge;

use beamdesk_store::{NodeRecord, Quarantine};
use beamdesk_types::{CardAddress, DesktopId, NodeContent, NodeName, NodeReport, Timestamp};

pub(crate) use limits::shown;
pub(crate) use merge::is_gone;

/// A clock that is off by more is marked where administrators look; the age of a record is counted
/// by ours.
pub(crate) const CLOCK_OFF_WARN_S: i64 = 5 * 60;
/// A clock that is off by more says that nobody looks after the host, and that its certificates and
/// logs cannot be right.
pub(crate) const CLOCK_OFF_MAX_S: i64 = 30 * 60;

/// What the portal knows when a report comes.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    /// Whose monitor it is, by its certificate.
    pub(crate) node: &'a NodeName,
    pub(crate) record: &'a NodeRecord,
    /// Another node that this machine reports as.
    pub(crate) twin: Option<&'a NodeName>,
    /// Cards of this node that desktops of ours hold.
    pub(crate) held: &'a [(CardAddress, DesktopId)],
}

/// What is done about a report.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Taken(Box<Taken>),
    /// It was taken before; the answer got lost.
    Repeated,
    /// It builds on a report that the portal has not.
    WantsFull,
    /// Nothing of it is believed, and nothing is held against the node.
    Refused(Refused),
    /// The node is not believed any more.
    Quarantined(Fault),
}

/// What a good report changes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) record: NodeRecord,
    /// Nothing but its time is new.
    pub(crate) is_sign_of_life: bool,
    /// Cards that were there a report ago and are not now, though desktops hold them.
    pub(crate) vanished: Vec<(CardAddress, DesktopId)>,
    /// It was in quarantine for something that this report shows to be right again.
    pub(crate) heals: bool,
}

/// Why a report is not taken, as a stable word and in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: &'static str,
    pub(crate) detail: String,
}

/// Why a node is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: FaultCode,
    pub(crate) detail: String,
}

/// The word for it, stored and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultCode {
    /// It speaks in another node's name.
    Name,
    /// Another machine reports under this name.
    Machine,
    /// One machine reports under two names, or two have the same id.
    Twin,
    /// No machine is like that.
    Absurd,
    Clock,
    /// It is not a report.
    Unreadable,
}

impl FaultCode {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Machine => "machine",
            Self::Twin => "twin",
            Self::Absurd => "absurd",
            Self::Clock => "clock",
            Self::Unreadable => "unreadable",
        }
    }

    /// Whether a good report ends it. Nothing that was believed was wrong then.
    pub(crate) fn heals(code: &str) -> bool {
        code == Self::Clock.as_str() || code == Self::Unreadable.as_str()
    }
}

impl Fault {
    pub(crate) fn new(code: FaultCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// Whether this is to be told instead of what the node is in quarantine for. What only an
    /// administrator lifts must not be covered by what lifts itself.
    pub(crate) fn outweighs(&self, present: &str) -> bool {
        FaultCode::heals(present) && present != self.code.as_str()
    }

    pub(crate) fn quarantine(&self) -> Quarantine {
        Quarantine { code: self.code.as_str().to_owned(), detail: self.detail.clone() }
    }
}

/// Judges a report that came now.
pub(crate) fn judge(known: &Known<'_>, report: NodeReport, now: Timestamp) -> Verdict {
    let record = known.record;
    if let Some(fault) = stranger(known, &report) {
        return Verdict::Quarantined(fault);
    }
    // After an administrator lifted a quarantine the node begins anew, with whichever machine.
    let begins = record.machine.is_none();
    if !begins && report.generation < record.generation {
        let detail = format!(
            "generation {} after generation {}: replayed, or of a monitor that lost its state",
            report.generation, record.generation
        );
        return Verdict::Refused(Refused { code: "old_generation", detail });
    }
    if !begins && report.generation == record.generation {
        return Verdict::Repeated;
    }
    if let Some(fault) = limits::check(&report) {
        return Verdict::Quarantined(fault);
    }
    if let Some(fault) = clock(&report, now) {
        return Verdict::Quarantined(fault);
    }
    let builds_on_unknown = match &report.content {
        NodeContent::Full { .. } => false,
        NodeContent::Changes { since, .. } => {
            begins || record.facts.is_none() || *since != record.generation
        }
    };
    if builds_on_unknown {
        return Verdict::WantsFull;
    }
    let heals = record.quarantine.as_ref().is_some_and(|q| FaultCode::heals(&q.code));
    match merge::merge(known, report, now) {
        Ok(merged) => Verdict::Taken(Box::new(Taken { heals, ..merged })),
        Err(fault) => Verdict::Quarantined(fault),
    }
}

/// Seconds by which the node's clock was ahead of ours (behind: negative) at its last report.
pub(crate) fn clock_off_s(record: &NodeRecord) -> Option<i64> {
    let (sampled, received) = (record.sampled?, record.received?);
    Some(sampled.as_second().saturating_sub(received.as_second()))
}

/// Whether the report is of another node or machine than it should be.
fn stranger(known: &Known<'_>, report: &NodeReport) -> Option<Fault> {
    let (node, record) = (known.node, known.record);
    if report.node != *node {
        let detail = format!("with the certificate of {node} it reported as {}", report.node);
        return Some(Fault::new(FaultCode::Name, detail));
    }
    match (&record.machine, known.twin) {
        (Some(machine), _) if *machine != report.machine => {
            let machine = shown(machine);
            let other = shown(&report.machine);
            let detail = format!(
                "machine {machine} reported as {node}, and now machine {other} does: lift this if \
                 the host was replaced"
            );
            Some(Fault::new(FaultCode::Machine, detail))
        }
        (None, Some(twin)) => {
            let machine = shown(&report.machine);
            let detail = format!(
                "machine {machine} reports as {twin} already: one machine with two names, or two \
                 with one id (a copied /etc/machine-id)"
            );
            Some(Fault::new(FaultCode::Twin, detail))
        }
        (Some(_), _) | (None, None) => None,
    }
}

fn clock(report: &NodeReport, now: Timestamp) -> Option<Fault> {
    let off_s = report.sampled.as_second().saturating_sub(now.as_second());
    if off_s.saturating_abs() <= CLOCK_OFF_MAX_S {
        return None;
    }
    let (minutes, way) = (off_s.saturating_abs() / 60, if off_s > 0 { "ahead" } else { "behind" });
    let detail = format!("its clock is {minutes} minutes {way}; ends by itself when it is right");
    Some(Fault::new(FaultCode::Clock, detail))
}

#[cfg(test)]
mod tests;

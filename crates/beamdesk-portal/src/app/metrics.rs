//! What a monitoring system reads, in Prometheus' text format 0.0.4.
//!
//! Names say the unit; what only rises ends in `_total`. Labels come from a bounded set: nodes and
//! models of cards there are, and words of ours.

mod text;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use beamdesk_store::{ClaimRow, NodeRecord};
use beamdesk_types::{CardState, Desktop, Goal, NodeName, Phase, Timestamp};

use crate::{
    App, PortalError,
    app::nodes::{NodeState, Overview},
};

use text::{Kind, Page};

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReportVerdict {
    Taken,
    WantsFull,
    Refused,
    Flood,
    Quarantined,
}

/// What became of a desktop that asked for room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It has a claim.
    Placed,
    /// It waits.
    Waits,
    /// Somebody else took the room in the same moment; decided anew.
    Lost,
}

impl ReportVerdict {
    const ALL: [Self; 5] =
        [Self::Taken, Self::WantsFull, Self::Refused, Self::Flood, Self::Quarantined];

    fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::WantsFull => "wants_full",
            Self::Refused => "refused",
            Self::Flood => "flood",
            Self::Quarantined => "quarantined",
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Taken => 0,
            Self::WantsFull => 1,
            Self::Refused => 2,
            Self::Flood => 3,
            Self::Quarantined => 4,
        }
    }
}

impl Decision {
    const ALL: [Self; 3] = [Self::Placed, Self::Waits, Self::Lost];

    fn word(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Waits => "waits",
            Self::Lost => "lost",
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Placed => 0,
            Self::Waits => 1,
            Self::Lost => 2,
        }
    }
}

/// Upper bounds of the histogram of decisions, microseconds, with their label in seconds: around
/// the 20 ms that a decision may take with the database.
const BOUNDS: [(u64, &str); 9] = [
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_000, "0.002"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (20_000, "0.02"),
    (50_000, "0.05"),
    (200_000, "0.2"),
    (1_000_000, "1"),
];

/// What is counted as it happens.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    reports: [AtomicU64; ReportVerdict::ALL.len()],
    decisions: [AtomicU64; Decision::ALL.len()],
    /// How many took at most as long as each bound and longer than the one before; then the rest.
    took: [AtomicU64; BOUNDS.len() + 1],
    took_us: AtomicU64,
}

impl Metrics {
    pub(crate) fn reported(&self, verdict: ReportVerdict) {
        add(self.reports.get(verdict.place()), 1);
    }

    /// One plan for all that wait is one decision for each; call it for each with its share.
    pub(crate) fn decided(&self, decision: Decision, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        add(self.decisions.get(decision.place()), 1);
        let slot = BOUNDS.iter().position(|(bound, _)| us <= *bound).unwrap_or(BOUNDS.len());
        add(self.took.get(slot), 1);
        add(Some(&self.took_us), us);
    }
}

fn add(counter: Option<&AtomicU64>, by: u64) {
    if let Some(counter) = counter {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

fn value(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// All of it, now.
pub(crate) async fn page(app: &App) -> Result<String, PortalError> {
    let overview = Overview::load(app).await?;
    let desktops = app.store.open_desktops().await?;
    Ok(render(app.metrics(), &overview, &desktops, app.clock.now()))
}

fn render(metrics: &Metrics, overview: &Overview, desktops: &[Desktop], now: Timestamp) -> String {
    let mut page = Page::default();
    nodes(&mut page, overview, now);
    cards(&mut page, &overview.records, &overview.claims);
    desktops_by_phase(&mut page, desktops);
    decisions(&mut page, metrics);
    page.family("beamdesk_reports_total", Kind::Counter, "Reports of monitors, by what was done.");
    for (verdict, count) in ReportVerdict::ALL.iter().zip(&metrics.reports) {
        page.sample("", &[("verdict", verdict.word())], value(count));
    }
    page.text()
}

fn nodes(page: &mut Page, overview: &Overview, now: Timestamp) {
    page.family("beamdesk_nodes", Kind::Gauge, "Nodes, by state.");
    let mut states: BTreeMap<&str, u64> =
        NodeState::ALL.iter().map(|state| (state.word(), 0)).collect();
    for state in overview.states(now).values() {
        *states.entry(state.word()).or_default() += 1;
    }
    for (state, count) in states {
        page.sample("", &[("state", state)], count);
    }
    page.family(
        "beamdesk_report_age_seconds",
        Kind::Gauge,
        "Age of the newest report of each node, by the portal's clock.",
    );
    for record in &overview.records {
        if let Some(received) = record.received {
            let age = now.as_second().saturating_sub(received.as_second());
            let age = u64::try_from(age).unwrap_or_default();
            page.sample("", &[("node", record.name.as_str())], age);
        }
    }
}

fn cards(page: &mut Page, records: &[NodeRecord], claims: &[ClaimRow]) {
    let mut held: BTreeMap<(&NodeName, &str), u64> = BTreeMap::new();
    for row in claims {
        for card in &row.claim.cards {
            *held.entry((&row.claim.node, card.as_str())).or_default() +=
                u64::from(row.claim.share_milli);
        }
    }
    let mut by_state: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let mut claimed: BTreeMap<&str, u64> = BTreeMap::new();
    for record in records {
        for card in &record.cards {
            let held = held.get(&(&record.name, card.address.as_str())).copied().unwrap_or(0);
            let state = match card.state {
                CardState::Faulty => "faulty",
                CardState::Free | CardState::Assigned | CardState::Reserved if held > 0 => "held",
                CardState::Free => "free",
                CardState::Assigned => "assigned",
                CardState::Reserved => "reserved",
            };
            *by_state.entry((&card.model, state)).or_default() += 1;
            *claimed.entry(&card.model).or_default() += held;
        }
    }
    page.family(
        "beamdesk_cards",
        Kind::Gauge,
        "Cards, by model and state: held by desktops, free, assigned to others, reserved or faulty.",
    );
    for ((model, state), count) in by_state {
        page.sample("", &[("model", model), ("state", state)], count);
    }
    page.family(
        "beamdesk_cards_claimed_ratio",
        Kind::Gauge,
        "Cards that desktops have claimed, by model; shares of cards count as such.",
    );
    for (model, milli) in claimed {
        page.sample_text("", &[("model", model)], &text::thousandths(milli));
    }
}

fn desktops_by_phase(page: &mut Page, desktops: &[Desktop]) {
    page.family("beamdesk_desktops", Kind::Gauge, "Desktops, by phase.");
    for phase in Phase::ALL.iter().filter(|phase| **phase != Phase::Deleted) {
        let count = desktops.iter().filter(|desktop| desktop.phase == *phase).count();
        page.sample("", &[("phase", phase.as_str())], text::count(count));
    }
    page.family("beamdesk_queue_length", Kind::Gauge, "Desktops that wait for room.");
    let waits = |d: &&Desktop| d.phase == Phase::Pending && d.goal == Goal::Running;
    page.sample("", &[], text::count(desktops.iter().filter(waits).count()));
}

fn decisions(page: &mut Page, metrics: &Metrics) {
    page.family(
        "beamdesk_decisions_total",
        Kind::Counter,
        "Decisions where a desktop goes, by what came of them.",
    );
    for (decision, count) in Decision::ALL.iter().zip(&metrics.decisions) {
        page.sample("", &[("outcome", decision.word())], value(count));
    }
    page.family(
        "beamdesk_decision_seconds",
        Kind::Histogram,
        "Time of a decision with the database.",
    );
    let mut sum = 0;
    for (slot, count) in metrics.took.iter().enumerate() {
        sum += value(count);
        let bound = BOUNDS.get(slot).map_or("+Inf", |(_, label)| label);
        page.sample("_bucket", &[("le", bound)], sum);
    }
    page.sample_text("_sum", &[], &text::millionths(value(&metrics.took_us)));
    page.sample("_count", &[], sum);
}

#[cfg(test)]
mod tests;

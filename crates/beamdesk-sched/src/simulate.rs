//! Replays traces through the scheduler, to compare policies before real desktops feel them.
//!
//! Nothing here knows a clock or a file: a [`Trace`] goes in, [`Summary`]s come out, and the same
//! seeds give the same figures on every machine.

mod batch;
mod cards;
mod chance;
mod churn;
mod fill;
mod heps;
mod measure;
mod memory;
mod shipped;
mod trace;

pub use batch::{SEEDS_MAX, WhatIf, what_if};
pub use chance::Chance;
pub use heps::heps;
pub use measure::{Measure, Outcome, Point, Spread, Summary};
pub use shipped::{Published, openb, openb_constrained, openb_with_cpu_nodes, published};
pub use trace::{
    HOSTS_MAX, TASKS_MAX, Task, Trace, TraceError, hosts_of, nodes_csv, tasks_csv, tasks_of,
};

use serde::{Deserialize, Serialize};

use crate::Settings;

/// In which way the tasks of a trace come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Arrivals {
    /// One after another, shuffled, and they stay; more are drawn from the trace until they have
    /// asked for `until` times the cards there are (the FGD paper's inflated workload).
    Fill { until: f64 },
    /// For ever, and they leave again. `load` is what they ask on average, as part of the cards
    /// there are; who finds no room goes away.
    Churn { load: f64, holding: Holding },
    /// As `Fill`, each with whole cards and with a need of card memory that the scheduler is told
    /// of (`filtered`) or not.
    MemoryNeeds { load: f64, filtered: bool },
}

/// How long tasks stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holding {
    /// Exponentially, all with the same mean.
    #[default]
    Exponential,
    /// As long as the trace says. Who knows not of a task takes the mean.
    Trace,
}

/// Replays a trace once. `None`: `stop` said so.
pub fn simulate(
    trace: &Trace,
    settings: &Settings,
    arrivals: Arrivals,
    seed: u64,
    stop: &dyn Fn() -> bool,
) -> Option<Outcome> {
    let mut settings = settings.clone();
    settings.seed = seed;
    match arrivals {
        Arrivals::Fill { until } => fill::fill(trace, settings, until, seed, stop),
        Arrivals::Churn { load, holding } => {
            churn::churn(trace, settings, load, holding, seed, stop)
        }
        Arrivals::MemoryNeeds { load, filtered } => {
            memory::memory_needs(trace, settings, load, filtered, seed, stop)
        }
    }
}

/// Counts and sums as numbers with a fraction; all here are far below 2^53.
#[expect(clippy::as_conversions, reason = "the one place where counts become fractions")]
fn real(count: u64) -> f64 {
    count as f64
}

/// Of the lengths of lists.
fn real_len(count: usize) -> f64 {
    real(u64::try_from(count).unwrap_or(u64::MAX))
}

/// 0 of nothing.
fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { 100.0 * part / whole } else { 0.0 }
}

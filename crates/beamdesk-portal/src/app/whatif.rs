//! What would happen with another policy, other weights, more nodes: asked of the simulator.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use beamdesk_sched::{
    Amount, Host, Policy, Request,
    simulate::{self, Arrivals, Holding, Outcome, SEEDS_MAX, Summary, Trace},
};
use beamdesk_types::{NodeName, WHOLE_CARD};
use tokio::time::Instant;

use crate::{
    App, PortalError,
    app::{
        placement::{self, PlacementSettings},
        planning,
    },
};

/// One question at a time, and no longer: it takes a core.
const DEADLINE: Duration = Duration::from_secs(60);
const POLICIES_MAX: usize = 16;
const MORE_NODES_MAX: i32 = 2000;
const FEWER_NODES_MAX: i32 = -2000;
/// Of the synthetic trace.
const HEPS_SEED: u64 = 1;
/// Of the first run; the others follow.
const FIRST_SEED: u64 = 42;
/// Points of a curve that a page draws.
const POINTS_MAX: usize = 100;

/// Whose requests come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// This site's nodes and what was asked of them in the last weeks.
    History,
    /// A made-up facility of 250 hosts.
    Heps,
    /// A published trace of a cluster with 6,212 cards.
    Openb,
}

/// A question.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) policies: Vec<String>,
    pub(crate) more_nodes: i32,
    pub(crate) cpu_weight: f64,
    pub(crate) memory_weight: f64,
    pub(crate) source: Source,
    /// What is asked for, as part of the cards there are.
    pub(crate) load: f64,
    /// Whether those that came leave again.
    pub(crate) departures: bool,
    pub(crate) seeds: u32,
}

/// What would happen.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) results: Vec<Summary>,
    pub(crate) nodes: usize,
    pub(crate) cards: usize,
    pub(crate) took: Duration,
    /// Whether all seeds of all policies were run in the time there is.
    pub(crate) is_whole: bool,
}

/// Stops the simulation when whoever asked has gone, or the time is over.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub(crate) async fn ask(app: &App, question: &Question) -> Result<Answer, PortalError> {
    let policies = check(question)?;
    let weights = PlacementSettings {
        cpu_weight: question.cpu_weight,
        memory_weight: question.memory_weight,
        ..placement::settings(app).await?
    };
    let settings = weights.settings()?;
    let asking = app.planning().asking.clone().try_lock_owned();
    let asking = asking.map_err(|_| PortalError::Busy)?;
    let mut trace = trace(app, question.source).await?;
    change_nodes(&mut trace.hosts, question.more_nodes);
    if trace.hosts.is_empty() || trace.tasks.is_empty() {
        return Err(PortalError::Invalid { field: "trace", why: "has no nodes or no requests" });
    }
    let (nodes, cards) = (trace.hosts.len(), trace.hosts.iter().map(|host| host.cards.len()).sum());
    let arrivals = if question.departures {
        Arrivals::Churn { load: question.load, holding: Holding::Exponential }
    } else {
        Arrivals::Fill { until: question.load }
    };
    let seeds = u64::from(question.seeds);
    let what_if = simulate::WhatIf {
        trace,
        policies: policies.clone(),
        settings,
        arrivals,
        seeds: FIRST_SEED..=FIRST_SEED + seeds - 1,
        threads: 1,
    };
    let begun = Instant::now();
    let is_over = Arc::new(AtomicBool::new(false));
    let stop = Stop(is_over.clone());
    let runs: Arc<Mutex<BTreeMap<Policy, Vec<Outcome>>>> = Arc::default();
    let heard = runs.clone();
    let simulation = tokio::task::spawn_blocking(move || {
        let _one_at_a_time = asking;
        let done = |policy, _: u64, outcome: &Outcome| {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.entry(policy).or_default().push(outcome.clone());
        };
        simulate::what_if(&what_if, &|| is_over.load(Ordering::Relaxed), &done).is_some()
    });
    // What has run by the deadline is an answer too.
    let is_whole = match tokio::time::timeout(DEADLINE, simulation).await {
        Ok(ended) => ended.map_err(|_| PortalError::Unplanned)?,
        Err(_) => false,
    };
    drop(stop);
    let runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
    let results = policies.iter().filter_map(|policy| {
        let mut summary = Summary::over(*policy, runs.get(policy)?);
        thin(&mut summary.curve);
        Some(summary)
    });
    Ok(Answer { results: results.collect(), nodes, cards, took: begun.elapsed(), is_whole })
}

fn check(question: &Question) -> Result<Vec<Policy>, PortalError> {
    let invalid = |field, why| PortalError::Invalid { field, why };
    let mut policies = Vec::new();
    for name in &question.policies {
        let policy = name.parse().map_err(|_| invalid("policy", "there is none of this name"))?;
        if !policies.contains(&policy) {
            policies.push(policy);
        }
    }
    if policies.is_empty() || policies.len() > POLICIES_MAX {
        return Err(invalid("policy", "is at least one"));
    }
    if !(FEWER_NODES_MAX..=MORE_NODES_MAX).contains(&question.more_nodes) {
        return Err(invalid("more_nodes", "is -2000 to 2000"));
    }
    if !question.load.is_finite() || !(0.05..=2.0).contains(&question.load) {
        return Err(invalid("load", "is 0.05 to 2"));
    }
    if question.seeds == 0 || u64::from(question.seeds) > SEEDS_MAX.min(20) {
        return Err(invalid("seeds", "are 1 to 20"));
    }
    Ok(policies)
}

async fn trace(app: &App, source: Source) -> Result<Trace, PortalError> {
    match source {
        Source::Heps => Ok(simulate::heps(HEPS_SEED)),
        Source::Openb => {
            let read = tokio::task::spawn_blocking(simulate::openb).await;
            // It is part of the program: tests read it.
            read.ok().and_then(Result::ok).ok_or(PortalError::Unplanned)
        }
        Source::History => {
            let planned = planning::recent(app).await?;
            let hosts = planned.hosts.iter().filter(|host| host.closed.is_none()).map(emptied);
            let tasks = placement::past(app).await?.into_iter().map(|(request, runs_s)| {
                simulate::Task { request: Request { station: None, ..request }, runs_s }
            });
            Ok(Trace { hosts: hosts.collect(), tasks: tasks.collect() })
        }
    }
}

/// As if nobody ran there.
fn emptied(host: &Host) -> Host {
    let idle = |amount: Amount| Amount { total: amount.total, used: 0 };
    let mut host = Host {
        cpu_milli: idle(host.cpu_milli),
        memory_mib: idle(host.memory_mib),
        disk_gib: idle(host.disk_gib),
        is_stale: false,
        kept_for: Vec::new(),
        ..host.clone()
    };
    for card in &mut host.cards {
        card.free_milli = WHOLE_CARD;
    }
    host
}

/// More: copies of those there are, one after another. Fewer: the last go.
fn change_nodes(hosts: &mut Vec<Host>, more: i32) {
    let there = hosts.len();
    let count = usize::try_from(more.unsigned_abs()).unwrap_or(0);
    if more < 0 {
        hosts.truncate(there.saturating_sub(count));
        return;
    }
    let copies: Vec<Host> = hosts
        .iter()
        .cycle()
        .take(if there == 0 { 0 } else { count })
        .enumerate()
        .filter_map(|(number, host)| {
            let name: NodeName = format!("more-{number:04}").parse().ok()?;
            Some(Host { name, ..host.clone() })
        })
        .collect();
    hosts.extend(copies);
}

/// Leaves as many points as a page draws, the last among them.
fn thin(curve: &mut Vec<simulate::Point>) {
    if curve.len() <= POINTS_MAX {
        return;
    }
    let last = curve.len() - 1;
    let kept = (0..POINTS_MAX).map(|point| point * last / (POINTS_MAX - 1));
    *curve = kept.filter_map(|at| curve.get(at).copied()).collect();
}

#[cfg(test)]
mod tests {
    use beamdesk_sched::{Host, simulate::Point};

    use super::{change_nodes, thin};

    #[test]
    fn nodes_come_as_copies_with_names_of_their_own_and_go_from_the_end() {
        let host = |name: &str| Host::new(name.parse().unwrap(), 1000, 1024, 10);
        let mut hosts = vec![host("a"), host("b")];
        change_nodes(&mut hosts, 3);
        let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "more-0000", "more-0001", "more-0002"]);
        change_nodes(&mut hosts, -4);
        assert_eq!(hosts.len(), 1);
        change_nodes(&mut hosts, -4);
        change_nodes(&mut hosts, 4);
        assert!(hosts.is_empty(), "there is nothing to copy");
    }

    #[test]
    fn a_long_curve_keeps_its_ends() {
        let point = |load| Point { load, allocated: 0.0, frag: 0.0, refused: 0.0 };
        let mut curve: Vec<Point> = (0..1001).map(|load| point(f64::from(load))).collect();
        thin(&mut curve);
        assert_eq!(curve.len(), 100);
        assert!(curve[0].load < 0.5 && curve[99].load > 999.5);
    }
}

//! Many runs at once: policies times seeds, on as many threads as one likes.

use std::{
    ops::RangeInclusive,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{Arrivals, Outcome, Summary, Trace, simulate};
use crate::{Policy, Settings};

/// More seeds tell nothing new, and somebody waits for the answer.
pub const SEEDS_MAX: u64 = 1000;

/// A question: how would these policies do with this trace?
#[derive(Debug, Clone, PartialEq)]
pub struct WhatIf {
    pub trace: Trace,
    pub policies: Vec<Policy>,
    /// Weights and guard for all of them. The policy and seed in it are passed over, and a
    /// workload that is empty is taken from the trace.
    pub settings: Settings,
    pub arrivals: Arrivals,
    pub seeds: RangeInclusive<u64>,
    pub threads: usize,
}

/// Answers it, in the order of the policies. `None`: `stop` said so, which is asked before every
/// task, on every thread. `done` hears of each run that ends: the policy, its seed and how it went.
pub fn what_if(
    question: &WhatIf,
    stop: &(dyn Fn() -> bool + Sync),
    done: &(dyn Fn(Policy, u64, &Outcome) + Sync),
) -> Option<Vec<Summary>> {
    let seeds = question.seeds.clone().take(usize::try_from(SEEDS_MAX).unwrap_or(usize::MAX));
    let seeds: Vec<u64> = seeds.collect();
    let requests = || question.trace.tasks.iter().map(|task| &task.request);
    let jobs: Vec<(Policy, u64)> =
        question.policies.iter().flat_map(|&p| seeds.iter().map(move |&seed| (p, seed))).collect();
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<Vec<Option<Outcome>>> = Mutex::new(vec![None; jobs.len()]);
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(&(policy, seed)) = jobs.get(index) else { break };
            let mut settings = Settings { policy, ..question.settings.clone() };
            if settings.workload.is_empty() {
                settings.workload = policy.workload(requests());
            }
            let run = simulate(&question.trace, &settings, question.arrivals, seed, &stop);
            let Some(outcome) = run else { break };
            done(policy, seed, &outcome);
            let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(place) = outcomes.get_mut(index) {
                *place = Some(outcome);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 1..question.threads.max(1) {
            scope.spawn(work);
        }
        work();
    });
    let outcomes: Option<Vec<Outcome>> =
        outcomes.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
    let outcomes = outcomes?;
    let runs = outcomes.chunks(seeds.len().max(1));
    Some(question.policies.iter().zip(runs).map(|(&p, runs)| Summary::over(p, runs)).collect())
}

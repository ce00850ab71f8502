//! The order of reports: all first, then what changes against what the portal is known to have.

use beamdesk_types::{NodeContent, NodeName, NodeReport, NodeReportAnswer, Timestamp};

use crate::{Sample, changes, settle};

/// What is in every report.
#[derive(Debug, Clone)]
pub struct Reporter {
    node: NodeName,
    machine: String,
    interval_s: u32,
    generation: u64,
    /// What the portal answered to, by generation.
    known: Option<(u64, Sample)>,
    /// What it was sent and has not answered yet.
    sent: Option<(u64, Sample)>,
}

impl Reporter {
    /// `generation`: the last one used, also by an earlier run.
    pub fn new(node: NodeName, machine: String, interval_s: u32, generation: u64) -> Self {
        Self { node, machine, interval_s, generation, known: None, sent: None }
    }

    /// The last generation used.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The report to send of a sample.
    pub fn report(&mut self, sample: Sample, now: Timestamp) -> NodeReport {
        // By the clock, so that it rises also where the last one was lost; never below the last one,
        // so that it rises also where the clock went back.
        let clock = u64::try_from(now.as_millisecond()).unwrap_or_default();
        self.generation = self.generation.saturating_add(1).max(clock);
        let (content, sample) = match &self.known {
            Some((since, known)) => {
                let sample = settle(known, sample);
                (changes(*since, known, &sample), sample)
            }
            None => {
                let Sample { facts, cards } = sample.clone();
                (NodeContent::Full { facts, cards }, sample)
            }
        };
        self.sent = Some((self.generation, sample));
        NodeReport {
            node: self.node.clone(),
            machine: self.machine.clone(),
            generation: self.generation,
            sampled: now,
            interval_s: self.interval_s,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            content,
        }
    }

    /// The portal answered to the last report. `true`: it lacks what that one built on, send all.
    pub fn answered(&mut self, answer: &NodeReportAnswer) -> bool {
        // After an answer nobody gave, what the portal has is not known; it will say so itself.
        self.known = self.sent.take().filter(|_| !answer.wants_full);
        answer.wants_full
    }
}

//! What a simulation measures, over one seed and over many.

use serde::{Deserialize, Serialize};

use super::{percent, real, real_len};
use crate::{Cluster, Host, Policy, Shape};

/// One measure of a run. Figures bear its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Cards given away, percent of all, when those that came had asked for 100 %.
    Alloc100,
    /// The same at 130 %, or where the arrivals ended.
    Alloc130,
    /// Mean over time of the cards given away, percent of all.
    Alloc,
    /// Share of the cards that is free and of no use for what is expected (FGD), percent.
    Frag,
    /// What had been asked for, percent of all cards, when the first who wanted a card was refused.
    First,
    /// Refused requests for two cards or more.
    MultiFailed,
    /// Refused requests for cards.
    Failed,
    /// Refused requests without cards.
    CpuFailed,
    /// Refused requests for cards, percent of them.
    Blocked,
    /// Refused requests for two cards or more, percent of them.
    MultiBlocked,
    /// Cards in refused requests, percent of the cards asked for.
    WeightedBlocked,
    /// Placed on a card with too little memory, percent of the requests for cards.
    TooSmall,
}

impl Measure {
    /// As it is written in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Alloc100 => "alloc100",
            Self::Alloc130 => "alloc130",
            Self::Alloc => "alloc",
            Self::Frag => "frag",
            Self::First => "first",
            Self::MultiFailed => "multi_failed",
            Self::Failed => "failed",
            Self::CpuFailed => "cpu_failed",
            Self::Blocked => "blocked",
            Self::MultiBlocked => "multi_blocked",
            Self::WeightedBlocked => "weighted_blocked",
            Self::TooSmall => "too_small",
        }
    }
}

/// The state at one moment of a run, all in percent of the cards there are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// What those that came had asked for.
    pub load: f64,
    pub allocated: f64,
    pub frag: f64,
    /// Cards in requests that were refused so far.
    pub refused: f64,
}

/// What came out of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub measures: Vec<(Measure, f64)>,
    pub curve: Vec<Point>,
}

impl Outcome {
    pub fn of(&self, measure: Measure) -> Option<f64> {
        self.measures.iter().find(|(which, _)| *which == measure).map(|(_, value)| *value)
    }
}

/// Mean and sample standard deviation (0 of a single value).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    pub mean: f64,
    pub sd: f64,
}

impl Spread {
    pub fn over(values: &[f64]) -> Self {
        let count = real_len(values.len());
        let mean = values.iter().sum::<f64>() / count.max(1.0);
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { mean, sd: (squares / (count - 1.0).max(1.0)).sqrt() }
    }
}

/// One policy over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub policy: Policy,
    pub measures: Vec<(Measure, Spread)>,
    /// Mean of the runs' curves.
    pub curve: Vec<Point>,
}

impl Summary {
    /// All runs measure the same things, at the same loads.
    pub fn over(policy: Policy, runs: &[Outcome]) -> Self {
        let measured = runs.first().map_or(&[][..], |run| &run.measures);
        let measures = measured.iter().map(|&(measure, _)| {
            let values: Vec<f64> = runs.iter().filter_map(|run| run.of(measure)).collect();
            (measure, Spread::over(&values))
        });
        let points = runs.iter().map(|run| run.curve.len()).min().unwrap_or(0);
        let curve = (0..points).map(|at| {
            let mean = |what: fn(&Point) -> f64| {
                let values = runs.iter().filter_map(|run| run.curve.get(at)).map(what);
                values.sum::<f64>() / real_len(runs.len())
            };
            Point {
                load: mean(|point| point.load),
                allocated: mean(|point| point.allocated),
                frag: mean(|point| point.frag),
                refused: mean(|point| point.refused),
            }
        });
        Self { policy, measures: measures.collect(), curve: curve.collect() }
    }

    pub fn of(&self, measure: Measure) -> Option<Spread> {
        self.measures.iter().find(|(which, _)| *which == measure).map(|(_, value)| *value)
    }
}

/// What came and what was refused, while a run goes on.
#[derive(Debug, Default)]
pub(crate) struct Count {
    pub(crate) gpu_requests: u64,
    pub(crate) multi_requests: u64,
    pub(crate) asked_milli: u64,
    pub(crate) failed: u64,
    pub(crate) multi_failed: u64,
    pub(crate) cpu_failed: u64,
    pub(crate) refused_milli: u64,
}

impl Count {
    /// Counts a request for so many cards and shares of them.
    pub(crate) fn came(&mut self, cards: u32, milli: u64) {
        self.asked_milli += milli;
        self.gpu_requests += u64::from(cards > 0);
        self.multi_requests += u64::from(cards > 1);
    }

    pub(crate) fn refused(&mut self, cards: u32, milli: u64) {
        self.refused_milli += milli;
        self.failed += u64::from(cards > 0);
        self.multi_failed += u64::from(cards > 1);
        self.cpu_failed += u64::from(cards == 0);
    }

    pub(crate) fn measures(&self) -> [(Measure, f64); 3] {
        [
            (Measure::MultiFailed, real(self.multi_failed)),
            (Measure::Failed, real(self.failed)),
            (Measure::CpuFailed, real(self.cpu_failed)),
        ]
    }

    pub(crate) fn blocked(&self) -> [(Measure, f64); 3] {
        let part = |part, whole| percent(real(part), real(whole));
        [
            (Measure::Blocked, part(self.failed, self.gpu_requests)),
            (Measure::MultiBlocked, part(self.multi_failed, self.multi_requests)),
            (Measure::WeightedBlocked, part(self.refused_milli, self.asked_milli)),
        ]
    }
}

/// Fragmentation of the whole cluster, percent of `capacity_milli` (FGD, equation of section 1.5).
pub(crate) fn fragmentation(cluster: &Cluster, workload: &[Shape], capacity_milli: u64) -> f64 {
    let weights: f64 = workload.iter().map(|shape| shape.weight).sum();
    let of_host = |host: &Host| {
        let free = real(host.free_cards_milli());
        if free == 0.0 {
            return 0.0;
        }
        workload.iter().map(|shape| shape.weight * free.min(unusable(host, shape))).sum::<f64>()
    };
    let sum: f64 = cluster.hosts().iter().map(of_host).sum();
    if weights > 0.0 { percent(sum / weights, real(capacity_milli)) } else { 0.0 }
}

/// Thousandths of free cards of which this shape cannot make use. Infinite: of none of them.
fn unusable(host: &Host, shape: &Shape) -> f64 {
    let gpu = &shape.gpu;
    let suits = |model: &str| gpu.models.is_empty() || gpu.models.iter().any(|m| m == model);
    let fits = |free: u32, model: &str| free >= gpu.share_milli && suits(model);
    let fitting = host.cards.iter().filter(|card| fits(card.free_milli, &card.model)).count();
    let wanted = usize::try_from(gpu.count).unwrap_or(usize::MAX);
    if wanted == 0 || fitting < wanted || host.cpu_milli.free() < shape.cpu_milli {
        return f64::INFINITY;
    }
    let left = host.cards.iter().filter(|card| !fits(card.free_milli, &card.model));
    left.map(|card| f64::from(card.free_milli)).sum()
}

#[cfg(test)]
mod tests {
    use super::{Measure, Outcome, Point, Spread, Summary};
    use crate::Policy;

    #[test]
    fn mean_and_deviation_are_those_of_a_sample() {
        let spread = Spread::over(&[1.0, 2.0, 4.0, 5.0]);
        assert!((spread.mean - 3.0).abs() < 1e-12);
        assert!((spread.sd - (10.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(Spread::over(&[7.0]), Spread { mean: 7.0, sd: 0.0 });
    }

    #[test]
    fn a_summary_is_the_mean_of_the_runs() {
        let run = |value: f64| Outcome {
            measures: vec![(Measure::First, value)],
            curve: vec![Point { load: 1.0, allocated: value, frag: 0.0, refused: 0.0 }],
        };
        let summary = Summary::over(Policy::Fit, &[run(1.0), run(3.0)]);
        assert!((summary.of(Measure::First).unwrap().mean - 2.0).abs() < 1e-12);
        assert!((summary.curve[0].allocated - 2.0).abs() < 1e-12);
        assert_eq!(summary.of(Measure::Alloc), None);
    }
}

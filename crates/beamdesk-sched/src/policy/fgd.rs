//! Fragmentation gradient descent (Weng et al., ATC 2023): a placement is as good as little of the
//! cards becomes useless for what is usually asked.

use beamdesk_types::{GpuRequest, WHOLE_CARD};

use super::{
    Best, Outlook, cards,
    formula::{gradient_points, real},
};
use crate::{CardRoom, Host, Request, Shape, fit::suits};

/// A weight of 1. Weights are whole numbers of parts, so that sums are exact whatever their order
/// and equal placements get equal scores. With [`WHOLE_CARD`] and 256 cards a product stays below
/// 2^58.
const PARTS: f64 = 1e12;

/// What is usually asked, prepared to be met by hosts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fragmentation {
    /// Each combination of model, memory, cores and bandwidth that is asked for.
    demands: Vec<GpuRequest>,
    groups: Vec<Group>,
    /// Of all shapes together.
    parts: i64,
}

/// All shapes that ask for so many cards of one kind, and such a share of them.
#[derive(Debug, Clone)]
struct Group {
    /// Index into [`Fragmentation::demands`].
    demand: usize,
    share_milli: u32,
    count: usize,
    /// By CPU, ascending: how much, and the parts of all shapes that ask for no more.
    steps: Vec<(u64, i64)>,
}

impl Fragmentation {
    pub(crate) fn new(workload: &[Shape]) -> Self {
        let weight =
            |shape: &Shape| if shape.weight.is_finite() { shape.weight.max(0.0) } else { 0.0 };
        let sum: f64 = workload.iter().map(weight).sum();
        let mut all = Self::default();
        let mut groups: Vec<(Group, Vec<(u64, i64)>)> = Vec::new();
        for shape in workload {
            let parts = parts(weight(shape) / sum);
            all.parts += parts;
            if shape.gpu.count == 0 || shape.gpu.share_milli == 0 {
                continue; // Cards are of no use to it, wherever it goes.
            }
            let demand = all.demand(&shape.gpu);
            let (share_milli, count) = (shape.gpu.share_milli, cards::count(&shape.gpu));
            let same = |group: &Group| {
                (group.demand, group.share_milli, group.count) == (demand, share_milli, count)
            };
            match groups.iter_mut().find(|(group, _)| same(group)) {
                Some((_, shapes)) => shapes.push((shape.cpu_milli, parts)),
                None => {
                    let group = Group { demand, share_milli, count, steps: Vec::new() };
                    groups.push((group, vec![(shape.cpu_milli, parts)]));
                }
            }
        }
        all.groups = groups.into_iter().map(|(group, shapes)| group.with(shapes)).collect();
        all
    }

    fn demand(&mut self, gpu: &GpuRequest) -> usize {
        // Count and share are looked at by themselves.
        let demand = GpuRequest { count: 1, ..gpu.clone() };
        let found = self.demands.iter().position(|present| *present == demand);
        found.unwrap_or_else(|| {
            self.demands.push(demand);
            self.demands.len() - 1
        })
    }

    /// Thousandths of the host's cards that are free and of no use, averaged over the workload.
    pub(crate) fn milli(&self, host: &Host) -> f64 {
        self.gains(host, 0, 0, &[]).map_or(0.0, |(before, _)| whole(before))
    }

    /// Of parts of thousandths: F of the host, and for each way of placing a request (the cards it
    /// takes) by how much F falls.
    fn gains(
        &self,
        host: &Host,
        cpu_milli: u64,
        share_milli: u32,
        ways: &[Vec<usize>],
    ) -> Option<(i64, Vec<i64>)> {
        let free: Vec<i64> = host.cards.iter().map(|card| i64::from(card.free_milli)).collect();
        let total: i64 = free.iter().sum();
        let share = i64::from(share_milli);
        let cpu_before = host.cpu_milli.free();
        let cpu_after = cpu_before.saturating_sub(cpu_milli);
        let mut before = self.parts.checked_mul(total)?;
        let mut gains = Vec::with_capacity(ways.len());
        for way in ways {
            let taken = share * i64::try_from(way.len()).ok()?;
            gains.push(self.parts.checked_mul(taken)?);
        }
        let suits: Vec<bool> = self
            .demands
            .iter()
            .flat_map(|demand| host.cards.iter().map(|card| suits(demand, card)))
            .collect();
        for group in &self.groups {
            let wanted = i64::from(group.share_milli);
            let suits = suits.get(group.demand * free.len()..).unwrap_or_default();
            let use_of = |milli: i64| if milli >= wanted { (1, milli) } else { (0, 0) };
            let (mut usable, mut sum) = (0_usize, 0_i64);
            for (milli, suits) in free.iter().zip(suits) {
                if *suits {
                    let (count, milli) = use_of(*milli);
                    usable += count;
                    sum += milli;
                }
            }
            let (met_before, met_after) = (group.met(cpu_before), group.met(cpu_after));
            let useful = if usable >= group.count { met_before.checked_mul(sum)? } else { 0 };
            before -= useful;
            if met_after == 0 {
                gains.iter_mut().for_each(|gain| *gain -= useful);
                continue;
            }
            for (way, gain) in ways.iter().zip(&mut gains) {
                let (mut usable, mut sum) = (usable, sum);
                for &card in way {
                    if let (Some(milli), Some(true)) = (free.get(card), suits.get(card)) {
                        let (count, was) = use_of(*milli);
                        let (count_after, is) = use_of(milli - share);
                        usable = usable + count_after - count;
                        sum += is - was;
                    }
                }
                let useful_after =
                    if usable >= group.count { met_after.checked_mul(sum)? } else { 0 };
                *gain += useful_after - useful;
            }
        }
        Some((before, gains))
    }
}

impl Group {
    fn with(mut self, mut shapes: Vec<(u64, i64)>) -> Self {
        shapes.sort_unstable();
        let mut sum = 0;
        for (cpu_milli, parts) in shapes {
            sum += parts;
            self.steps.push((cpu_milli, sum));
        }
        self
    }

    /// Parts of the shapes that need no more CPU than this.
    fn met(&self, cpu_milli: u64) -> i64 {
        let met = self.steps.partition_point(|(needed, _)| *needed <= cpu_milli);
        met.checked_sub(1).and_then(|last| self.steps.get(last)).map_or(0, |(_, parts)| *parts)
    }
}

/// How placements of equal points are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ties {
    /// As in the authors' repository: the first card, then the smallest name.
    Repository,
    /// The better card, exactly; the fullest host.
    BestFit,
}

pub(super) fn best(outlook: &Outlook, request: &Request, host: &Host, ties: Ties) -> Best {
    let ways = ways(request, host, ties);
    let share = if request.wants_cards() { request.gpu.share_milli } else { 0 };
    let gains = outlook.fragmentation.gains(host, request.cpu_milli, share, &ways);
    let gains = gains.map(|(_, gains)| gains).unwrap_or_else(|| vec![0; ways.len()]);
    let scored = gains.into_iter().map(|gain| (gain, gradient_points(whole(gain)))).zip(ways);
    let best = scored.reduce(|best, next| {
        let ((gain, points), _) = &best;
        let ((next_gain, next_points), _) = &next;
        let is_better = match ties {
            Ties::Repository => next_points > points,
            Ties::BestFit => next_gain > gain,
        };
        if is_better { next } else { best }
    });
    let Some(((_, points), cards)) = best else { return Best { score: 0.0, cards: Vec::new() } };
    let score = match ties {
        Ties::Repository => points,
        // Below one point: it only tells equals apart.
        Ties::BestFit => points + 0.5 * (1.0 - outlook.left_over(host)),
    };
    Best { score, cards }
}

/// The ways in which a request can lie on a host: a share on each card that is different, whole
/// cards of each model. The first of equals is taken: the fullest and smallest.
pub(super) fn ways(request: &Request, host: &Host, ties: Ties) -> Vec<Vec<usize>> {
    let gpu = &request.gpu;
    if !request.wants_cards() {
        return vec![Vec::new()];
    }
    let groups = cards::groups(gpu, host);
    if gpu.share_milli >= WHOLE_CARD {
        let mut groups: Vec<_> = groups.iter().collect();
        groups.sort_by_key(|group| cards::smallest(host, group));
        return groups.into_iter().map(|group| cards::picked(gpu, host, group)).collect();
    }
    let card = |index: usize| host.cards.get(index);
    let mut each = groups.concat();
    if ties == Ties::Repository {
        each.sort_unstable();
        return each.into_iter().map(|index| vec![index]).collect();
    }
    each.sort_by_key(|&index| {
        (card(index).map(|card| (card.free_milli, cards::grade(card))), index)
    });
    each.dedup_by(|one, other| card(*one).zip(card(*other)).is_some_and(|(a, b)| is_alike(a, b)));
    each.into_iter().map(|index| vec![index]).collect()
}

fn is_alike(one: &CardRoom, other: &CardRoom) -> bool {
    one.free_milli == other.free_milli
        && one.model == other.model
        && cards::grade(one) == cards::grade(other)
}

/// A weight between 0 and 1 in whole parts.
#[expect(clippy::cast_possible_truncation, reason = "at most PARTS, far inside of i64")]
fn parts(weight: f64) -> i64 {
    if weight.is_finite() { (weight.clamp(0.0, 1.0) * PARTS).round() as i64 } else { 0 }
}

fn whole(parts: i64) -> f64 {
    let size = real(parts.unsigned_abs()) / PARTS;
    if parts < 0 { -size } else { size }
}

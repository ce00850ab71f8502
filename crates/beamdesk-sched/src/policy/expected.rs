//! Expected fill: a placement is as good as little of what the host would still be filled with is
//! lost by it.
//!
//! The workload is turned into a number of streams of requests, always the same ones. A host's
//! prospect is how much of its cards the streams would fill, each coming to the host by itself
//! until nothing more fits, and a premium for each kind of request for several cards that it could
//! still take at all: those come seldom, and nothing makes up for their room once it is broken up.
//! Other than FGD this sees that the CPU beside the cards runs out, and that shares add up.
//! How it was found: docs/decisions/0010-beyond-fgd.md.

mod memo;
mod reserve;

use std::sync::Arc;

use beamdesk_types::{GpuRequest, WHOLE_CARD};

pub(crate) use self::reserve::Reserve;

use self::memo::{Classes, Memo, Room};
use super::{Best, Outlook, cards, fgd, formula::real};
use crate::{Host, Request, Shape, simulate::Chance};

/// Streams: with half as many chance weighs too much; twice as many gain nothing.
const STREAMS: usize = 64;
/// Requests in each. The largest host is full before.
const STREAM_LENGTH: usize = 100;
/// The premium of a request for several cards: as if so many of it more were expected.
const PREMIUM: f64 = 4.0;
/// The premium of a request that needs a much larger card than all others do. Less than that for
/// several cards: with 4 those are refused twice as often where sizes differ in memory.
const CHOOSY_PREMIUM: f64 = 2.0;
/// Differences of less than this count as equal, thousandths of a card: what the streams do not
/// know better.
const QUANTUM_MILLI: i64 = 20;
/// Weighs more than any difference of prospects: 256 cards are 12,800 quanta.
const RESERVED_POINTS: f64 = 1e6;
/// Any number; all placements are judged by the same streams.
const SEED: u64 = 999;

/// What is expected of hosts, for one workload.
#[derive(Debug)]
pub(crate) struct Expectation {
    shapes: Vec<Expected>,
    /// Indices into `shapes`.
    streams: Vec<Vec<usize>>,
    /// Of the shapes that want cards.
    cpu_least: u64,
    memo: Memo,
}

#[derive(Debug)]
struct Expected {
    cpu_milli: u64,
    memory_mib: u64,
    gpu: GpuRequest,
    count: usize,
    /// In the unit of [`Expectation::prospect`].
    premium: i64,
}

impl Expectation {
    /// For a workload; what was worked out for it before is found again.
    pub(crate) fn of(workload: &[Shape]) -> Arc<Self> {
        memo::expectation(workload, || Self::new(workload))
    }

    fn new(workload: &[Shape]) -> Self {
        let weight =
            |shape: &Shape| if shape.weight.is_finite() { shape.weight.max(0.0) } else { 0.0 };
        let sum: f64 = workload.iter().map(weight).sum();
        // The part of the workload that makes do with much smaller cards.
        let choosiness = |shape: &Shape| {
            let modest =
                |other: &&Shape| other.gpu.count > 0 && card_mib(other) < card_mib(shape) / 5 * 4;
            workload.iter().filter(modest).map(weight).sum::<f64>() / sum
        };
        let premium = |shape: &Shape| {
            let milli = f64::from(shape.gpu.count) * f64::from(shape.gpu.share_milli);
            let expected = weight(shape) / sum * milli * real_len(STREAMS);
            let several = if shape.gpu.count > 1 { PREMIUM } else { 0.0 };
            let choosy = if shape.gpu.count > 0 { CHOOSY_PREMIUM * choosiness(shape) } else { 0.0 };
            rounded(expected * several.max(choosy))
        };
        let shapes = workload.iter().map(|shape| Expected {
            cpu_milli: shape.cpu_milli,
            memory_mib: shape.memory_mib,
            gpu: shape.gpu.clone(),
            count: cards::count(&shape.gpu),
            premium: premium(shape),
        });
        let shapes: Vec<Expected> = shapes.collect();
        let weights: Vec<f64> = workload.iter().map(weight).collect();
        let with_cards = workload.iter().filter(|shape| shape.gpu.count > 0);
        Self {
            streams: streams(&shapes, &weights),
            shapes,
            cpu_least: with_cards.map(|shape| shape.cpu_milli).min().unwrap_or(0),
            memo: Memo::default(),
        }
    }

    /// How much of the room's cards would be filled, in thousandths times [`STREAMS`], with the
    /// premiums.
    fn prospect(&self, room: &Room, classes: &Classes) -> i64 {
        if room.cards.is_empty() {
            return 0;
        }
        self.memo.prospect(room, || {
            let mut scratch = room.clone();
            let mut sum = 0;
            for (index, shape) in self.shapes.iter().enumerate().filter(|(_, s)| s.premium > 0) {
                scratch.clone_from(room);
                sum += if self.takes(&mut scratch, classes, index) { shape.premium } else { 0 };
            }
            for stream in &self.streams {
                scratch.clone_from(room);
                sum += self.filled(&mut scratch, classes, stream);
            }
            sum
        })
    }

    /// Thousandths of the room's cards that a stream takes.
    fn filled(&self, room: &mut Room, classes: &Classes, stream: &[usize]) -> i64 {
        let before = room.free_milli();
        for &index in stream {
            if room.cpu_milli < self.cpu_least || room.cards.is_empty() {
                break;
            }
            if self.takes(room, classes, index) {
                room.cards.retain(|(free, _)| *free > 0);
            }
        }
        before - room.free_milli()
    }

    /// Puts one request of a shape into the room, if it fits: a share on the fullest card.
    fn takes(&self, room: &mut Room, classes: &Classes, index: usize) -> bool {
        let Some(shape) = self.shapes.get(index) else { return false };
        if room.cpu_milli < shape.cpu_milli || room.memory_mib < shape.memory_mib {
            return false;
        }
        let share = shape.gpu.share_milli;
        let fits = |&(free, class): &(u32, usize)| free >= share && classes.suits(class, index);
        if shape.count == 1 {
            let fitting = room.cards.iter_mut().filter(|card| fits(card));
            let Some((free, _)) = fitting.min_by_key(|(free, _)| *free) else { return false };
            *free -= share;
        } else if shape.count > 1 {
            // All of one class, which is of one model.
            let of = |wanted: usize| move |card: &(u32, usize)| card.1 == wanted && fits(card);
            let enough = |&class: &usize| {
                room.cards.iter().filter(|card| of(class)(card)).count() >= shape.count
            };
            let Some(class) = room.cards.iter().map(|card| card.1).find(enough) else {
                return false;
            };
            let chosen = room.cards.iter_mut().filter(|card| of(class)(card)).take(shape.count);
            chosen.for_each(|(free, _)| *free -= share);
        }
        room.cpu_milli -= shape.cpu_milli;
        room.memory_mib -= shape.memory_mib;
        true
    }
}

/// Memory of the smallest card that a share of will do.
fn card_mib(shape: &Shape) -> u64 {
    let share = u64::from(shape.gpu.share_milli.max(1));
    shape.gpu.memory_mib.saturating_mul(u64::from(WHOLE_CARD)).div_ceil(share)
}

/// Of the ways in which a request can lie on a host the one that loses least.
pub(super) fn best(outlook: &Outlook, request: &Request, host: &Host) -> Best {
    let expectation = &outlook.expectation;
    let (room, classes) = expectation.memo.room(host, &expectation.shapes);
    let before = expectation.prospect(&room.canonical(), &classes);
    let share = if request.wants_cards() { request.gpu.share_milli } else { 0 };
    let lost = |way: &Vec<usize>| {
        let mut after = room.clone();
        after.cpu_milli = after.cpu_milli.saturating_sub(request.cpu_milli);
        after.memory_mib = after.memory_mib.saturating_sub(request.memory_mib);
        for &card in way {
            if let Some((free, _)) = after.cards.get_mut(card) {
                *free = free.saturating_sub(share);
            }
        }
        before - expectation.prospect(&after.canonical(), &classes)
    };
    let ways = fgd::ways(request, host, fgd::Ties::BestFit);
    let best = ways.into_iter().map(|way| (lost(&way), way)).min_by_key(|(lost, _)| *lost);
    let Some((lost, cards)) = best else { return Best { score: 0.0, cards: Vec::new() } };
    // What the request takes itself is no loss.
    let streams = i64::try_from(STREAMS).unwrap_or(1);
    let taken = i64::from(share) * i64::try_from(cards.len()).unwrap_or(0) * streams;
    let points = (taken - lost).div_euclid(QUANTUM_MILLI * streams);
    let size = real(points.unsigned_abs());
    // The second part is below one point: it only tells equals apart.
    let score = if points < 0 { -size } else { size } + 0.5 * (1.0 - outlook.left_over(host));
    let reserved = outlook.reserve.rank(host, request.gpu.count);
    let score = score + RESERVED_POINTS * f64::from(reserved);
    Best { score, cards }
}

/// At each position all streams together have the shapes as often as their weights say, up to a
/// rounding; which stream has which is chance (a Latin hypercube). Of streams drawn one by one it
/// takes several times as many for the same certainty.
fn streams(shapes: &[Expected], weights: &[f64]) -> Vec<Vec<usize>> {
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..weights.len()).collect();
    // Alike ones beside each other, so that roundings even out.
    order.sort_by_key(|&index| shapes.get(index).map(Expected::size));
    let mut reached = 0.0;
    let upto: Vec<f64> = order
        .iter()
        .filter_map(|&index| weights.get(index))
        .map(|weight| {
            reached += weight / sum;
            reached
        })
        .collect();
    let mut chance = Chance::new(SEED);
    let mut streams = vec![Vec::new(); STREAMS];
    for _ in 0..STREAM_LENGTH {
        let mut slots: Vec<usize> = (0..STREAMS).collect();
        chance.shuffle(&mut slots);
        let offset = chance.unit();
        for (stream, slot) in streams.iter_mut().zip(slots) {
            let at = (real_len(slot) + offset) / real_len(STREAMS);
            let drawn = upto.partition_point(|end| *end <= at).min(order.len().saturating_sub(1));
            stream.extend(order.get(drawn));
        }
    }
    streams
}

impl Expected {
    fn size(&self) -> (u64, u64, u64) {
        let milli = u64::from(self.gpu.count) * u64::from(self.gpu.share_milli);
        (milli, self.cpu_milli, self.memory_mib)
    }
}

fn real_len(count: usize) -> f64 {
    real(u64::try_from(count).unwrap_or(u64::MAX))
}

/// A premium; those of real workloads are far inside of the range.
#[expect(clippy::cast_possible_truncation, reason = "clamped to what fits")]
fn rounded(premium: f64) -> i64 {
    if premium.is_finite() { premium.clamp(0.0, 1e12).round() as i64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use beamdesk_types::GpuRequest;

    use super::{Expectation, STREAM_LENGTH, STREAMS};
    use crate::{Cluster, Host, Policy, Request, Settings, Shape, simulate::hosts_of};

    fn shape(cpus: u64, count: u32, share_milli: u32, weight: f64) -> Shape {
        let gpu = GpuRequest { share_milli, ..GpuRequest::whole(count, 0) };
        Shape { cpu_milli: cpus * 1000, memory_mib: 0, gpu, weight }
    }

    fn request(shape: &Shape) -> Request {
        Request { cpu_milli: shape.cpu_milli, gpu: shape.gpu.clone(), ..Request::default() }
    }

    fn cluster(nodes: &str, workload: Vec<Shape>) -> Cluster {
        let header = "sn,cpu_milli,memory_mib,gpu,model\n";
        let hosts: Vec<Host> = hosts_of(&format!("{header}{nodes}")).unwrap();
        let policy = Policy::ExpectedFill;
        Cluster::new(hosts, Settings { policy, workload, guard: None, ..Settings::default() })
    }

    #[test]
    fn shapes_come_as_often_as_their_weights_say() {
        let expectation = Expectation::of(&[shape(4, 1, 700, 3.0), shape(4, 1, 300, 1.0)]);
        assert_eq!(expectation.streams.len(), STREAMS);
        for position in 0..STREAM_LENGTH {
            let rare = expectation.streams.iter().filter(|stream| stream[position] == 1).count();
            assert!((STREAMS / 4 - 1..=STREAMS / 4 + 1).contains(&rare), "{rare}");
        }
        assert_eq!(Expectation::of(&[]).streams, Vec::<Vec<usize>>::new());
    }

    #[test]
    fn a_share_goes_where_it_completes_a_card() {
        let (large, small) = (shape(4, 1, 700, 0.5), shape(4, 1, 300, 0.5));
        let mut cluster =
            cluster("a,64000,1000,2,T4\nb,64000,1000,2,T4\n", vec![large.clone(), small.clone()]);
        let first = cluster.place(&request(&large)).unwrap();
        cluster.take(&request(&large), &first);
        assert_eq!(cluster.place(&request(&small)).unwrap(), first);
    }

    #[test]
    fn cpu_is_left_beside_cards_that_need_it() {
        // Two cards that need 8 CPUs each: the host with 16 has none to spare, the other has.
        let (usual, large) = (shape(8, 1, 1000, 0.9), shape(16, 1, 1000, 0.1));
        let nodes = "a,16000,1000,2,T4\nb,32000,1000,2,T4\n";
        let mut cluster = cluster(nodes, vec![usual, large.clone()]);
        let placement = cluster.place(&request(&large)).unwrap();
        assert_eq!(cluster.hosts()[placement.host].name.as_str(), "b");
    }

    #[test]
    fn a_host_for_several_cards_is_not_broken_up() {
        let (one, four) = (shape(4, 1, 1000, 0.9), shape(16, 4, 1000, 0.1));
        let nodes = "a,16000,1000,4,T4\nb,4000,1000,1,T4\n";
        let mut cluster = cluster(nodes, vec![one.clone(), four]);
        let placement = cluster.place(&request(&one)).unwrap();
        assert_eq!(cluster.hosts()[placement.host].name.as_str(), "b");
    }

    #[test]
    fn without_a_workload_the_fullest_host_wins() {
        let mut cluster = cluster("a,64000,1000,2,T4\nb,64000,1000,4,T4\n", Vec::new());
        let one = request(&shape(4, 1, 1000, 1.0));
        let placement = cluster.place(&one).unwrap();
        assert_eq!(cluster.hosts()[placement.host].name.as_str(), "a");
        let nonsense = Shape { weight: f64::NAN, ..shape(4, 1, 1000, 1.0) };
        let mut cluster = self::cluster("a,64000,1000,2,T4\n", vec![nonsense]);
        cluster.place(&one).unwrap();
    }
}

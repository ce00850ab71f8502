//! What was worked out before: rooms are alike again and again, over hosts and over plans.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Expectation, Expected};
use crate::{CardRoom, Host, Shape, fit::suits};

/// Rooms of one workload; each takes some 150 bytes. When they are so many, all are forgotten.
const ROOMS_MAX: usize = 200_000;
/// Workloads that are kept: the portal's own, and those of what-ifs beside it.
const WORKLOADS_MAX: usize = 4;

/// What is free of a host, as far as a prospect depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Room {
    pub(super) cpu_milli: u64,
    pub(super) memory_mib: u64,
    /// Thousandths that are free, and which class of card it is.
    pub(super) cards: Vec<(u32, usize)>,
}

impl Room {
    /// The same for all hosts on which the same would fit: which card has what does not matter.
    pub(super) fn canonical(&self) -> Self {
        let mut cards: Vec<_> = self.cards.iter().copied().filter(|(free, _)| *free > 0).collect();
        cards.sort_unstable_by_key(|&(free, class)| (class, free));
        Self { cards, ..*self }
    }

    pub(super) fn free_milli(&self) -> i64 {
        self.cards.iter().map(|(free, _)| i64::from(*free)).sum()
    }
}

/// Cards that suit the same shapes, by what they are.
#[derive(Debug, Clone, Default)]
pub(super) struct Classes {
    /// One card of each class, and for each shape whether it suits it.
    known: Vec<(CardRoom, Vec<bool>)>,
}

impl Classes {
    pub(super) fn suits(&self, class: usize, shape: usize) -> bool {
        self.known.get(class).and_then(|(_, suits)| suits.get(shape)).copied().unwrap_or(false)
    }

    fn find(&self, card: &CardRoom) -> Option<usize> {
        let facts =
            |card: &CardRoom| (card.memory_mib, card.cores, card.bandwidth_gb_s, card.is_shared);
        let is_alike =
            |(one, _): &(CardRoom, _)| facts(one) == facts(card) && one.model == card.model;
        self.known.iter().position(is_alike)
    }
}

/// Prospects of rooms, for one workload. Several threads may ask.
#[derive(Debug, Default)]
pub(super) struct Memo {
    classes: Mutex<Arc<Classes>>,
    rooms: Mutex<HashMap<Room, i64>>,
}

impl Memo {
    /// The room of a host, card by card, and the classes of cards it speaks of.
    pub(super) fn room(&self, host: &Host, shapes: &[Expected]) -> (Room, Arc<Classes>) {
        let mut known = open(&self.classes);
        let mut class = |card: &CardRoom| {
            known.find(card).unwrap_or_else(|| {
                let suits = shapes.iter().map(|shape| suits(&shape.gpu, card)).collect();
                let all = &mut Arc::make_mut(&mut known).known;
                all.push((card.clone(), suits));
                all.len() - 1
            })
        };
        let cards = host.cards.iter().map(|card| (card.free_milli, class(card))).collect();
        let (cpu_milli, memory_mib) = (host.cpu_milli.free(), host.memory_mib.free());
        (Room { cpu_milli, memory_mib, cards }, Arc::clone(&known))
    }

    /// Works it out where it is not known. Others may ask in the meantime, and at worst do so too.
    pub(super) fn prospect(&self, room: &Room, work_out: impl FnOnce() -> i64) -> i64 {
        if let Some(known) = open(&self.rooms).get(room) {
            return *known;
        }
        let prospect = work_out();
        let mut rooms = open(&self.rooms);
        if rooms.len() >= ROOMS_MAX {
            rooms.clear();
        }
        rooms.insert(room.clone(), prospect);
        prospect
    }
}

/// By the hash of the workload, the latest last. They are only what can be worked out again.
static EXPECTATIONS: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

type Kept = (u64, Vec<Shape>, Arc<Expectation>);

/// What is expected for this workload: kept from before, or made.
pub(super) fn expectation(
    workload: &[Shape],
    make: impl FnOnce() -> Expectation,
) -> Arc<Expectation> {
    let hash = hash(workload);
    let mut kept = open(&EXPECTATIONS);
    if let Some(at) =
        kept.iter().position(|(other, shapes, _)| *other == hash && shapes == workload)
    {
        let found = kept.remove(at);
        let expectation = Arc::clone(&found.2);
        kept.push(found);
        return expectation;
    }
    let made = Arc::new(make());
    if kept.len() >= WORKLOADS_MAX {
        kept.remove(0);
    }
    kept.push((hash, workload.to_vec(), Arc::clone(&made)));
    made
}

fn hash(workload: &[Shape]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for Shape { cpu_milli, memory_mib, gpu, weight } in workload {
        (cpu_milli, memory_mib, gpu, weight.to_bits()).hash(&mut hasher);
    }
    hasher.finish()
}

/// What a thread that panicked left behind is still true: nothing is ever half written.
fn open<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

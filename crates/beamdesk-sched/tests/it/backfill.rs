//! Brute force on small worlds: backfill never delays who waits first, nor a reservation.

use beamdesk_sched::Policy;
use beamdesk_types::DesktopId;
use proptest::prelude::*;

use crate::{
    oracle::{Asks, Item, NEVER, Reserved, Size, earliest, keeps},
    small::{Small, Waits, of_hour, small},
};

fn waits_first(world: &Small, id: DesktopId) -> Option<Waits> {
    let found = world.queue.iter().find(|(number, _)| DesktopId::from_u128(*number) == id);
    found.map(|(_, waits)| *waits)
}

fn is_before(world: &Small, one: DesktopId, other: DesktopId) -> bool {
    let key = |id| waits_first(world, id).map(|waits| (waits.queued, id));
    key(one) < key(other)
}

/// In one group the order is that of queueing. The first that cannot start could, over all
/// hosts, times and ways to hold the reservations, start at a certain time at the earliest. It
/// still can after the plan, whoever was let past it.
fn first_is_not_delayed(world: &Small) -> Result<(), TestCaseError> {
    let plan = world.plan();
    let first = plan.waits.iter().find(|wait| !wait.never);
    let mut before = world.items();
    let mut after = world.items();
    for start in &plan.starts {
        let item = waits_first(world, start.id).unwrap().asks.on(start.placement.host, 0);
        after.push(item);
        if first.is_none_or(|first| is_before(world, start.id, first.id)) {
            before.push(item);
        }
    }
    // What is reserved can still be held.
    prop_assert!(keeps(&world.hosts, &after, &world.reserved, 0));
    if let Some(first) = first {
        let asks = waits_first(world, first.id).unwrap().asks;
        let at_best = earliest(&world.hosts, &before, &world.reserved, &asks, 0);
        // Sooner, if somebody of a station started for whom room was held.
        prop_assert!(earliest(&world.hosts, &after, &world.reserved, &asks, 0) <= at_best);
        prop_assert!(at_best > 0, "it could have started");
        // Sooner, where what is reserved and not used can be held elsewhere later on.
        prop_assert!(first.estimate.map_or(NEVER, of_hour) <= at_best);
    }
    Ok(())
}

/// Nobody is kept waiting for nothing: whoever waits could not start now on any host without
/// delaying the first or a reservation.
fn waiting_is_needed(world: &Small) -> Result<(), TestCaseError> {
    let plan = world.plan();
    let Some(first) = plan.waits.iter().find(|wait| !wait.never) else { return Ok(()) };
    let asks = waits_first(world, first.id).unwrap().asks;
    let mut items = world.items();
    for start in &plan.starts {
        items.push(waits_first(world, start.id).unwrap().asks.on(start.placement.host, 0));
    }
    let promised = earliest(&world.hosts, &items, &world.reserved, &asks, 0);
    // With those without end in the way a host is held for it, which no oracle knows.
    if promised == NEVER {
        return Ok(());
    }
    for wait in plan.waits.iter().filter(|wait| !wait.never && wait.id != first.id) {
        let other = waits_first(world, wait.id).unwrap().asks;
        for host in 0..world.hosts.len() {
            let mut items: Vec<Item> = items.clone();
            items.push(other.on(host, 0));
            let would_start = keeps(&world.hosts, &items, &world.reserved, 0)
                && earliest(&world.hosts, &items, &world.reserved, &asks, 0) <= promised;
            prop_assert!(!would_start, "{:?} on {host}", wait.id);
        }
    }
    Ok(())
}

/// What is told is what happens: everybody starts at the time that the first plan told, if
/// plans are made whenever something changes. In the meantime nothing reserved is lost.
fn told_is_what_happens(world: &Small) -> Result<(), TestCaseError> {
    let mut world = world.clone();
    let first = world.plan();
    let mut starts = Vec::new();
    loop {
        let plan = world.plan();
        starts.extend(plan.starts.iter().map(|start| (start.id, world.now)));
        world.start(&plan);
        prop_assert!(keeps(&world.hosts, &world.items(), &world.reserved, world.now));
        if !world.advance() {
            break;
        }
    }
    for wait in &first.waits {
        let started = starts.iter().find(|(id, _)| *id == wait.id).map(|(_, at)| *at);
        prop_assert_eq!(wait.estimate.map(of_hour), started, "{:?}", wait);
    }
    Ok(())
}

/// Somebody who runs on a host from hour 0 on, without cards.
fn runs(host: usize, size: Size, to: i64, station: Option<usize>) -> (Item, usize, Vec<usize>) {
    (Item { host, size, from: 0, to, station }, 0, Vec::new())
}

fn asks(size: Size, term: i64, station: Option<usize>, group: usize, queued: i64) -> Waits {
    Waits { asks: Asks { size, term: Some(term), station }, group, queued }
}

/// An empty world at hour 0, in which these wait.
fn waiting(hosts: &[Size], queue: &[Waits]) -> Small {
    Small {
        now: 0,
        hosts: hosts.to_vec(),
        runs: Vec::new(),
        reserved: Vec::new(),
        queue: (0..).zip(queue.iter().copied()).collect(),
        policy: Policy::FgdBf,
    }
}

#[test]
fn what_the_first_will_stand_for_may_be_held_in_parts_on_several_hosts() {
    let queue = [asks((2, 0), 2, None, 0, -1), asks((3, 1), 5, Some(1), 0, -2)];
    let world = Small {
        runs: vec![runs(2, (2, 0), 5, Some(1)), runs(1, (1, 0), 1, None)],
        reserved: vec![Reserved { station: 1, size: (1, 0), count: 2, from: 0, to: 6 }],
        ..waiting(&[(2, 0), (3, 2), (2, 0)], &queue)
    };
    waiting_is_needed(&world).unwrap();
    first_is_not_delayed(&world).unwrap();
}

#[test]
fn who_starts_leaves_room_for_what_the_first_stands_for_before_and_after_it() {
    let queue = [asks((4, 0), 3, Some(1), 0, -13), asks((1, 0), 8, None, 0, -1)];
    let world = Small {
        runs: vec![runs(2, (2, 0), 9, Some(1)), runs(1, (1, 0), 7, None)],
        reserved: vec![
            Reserved { station: 1, size: (2, 0), count: 2, from: 3, to: 11 },
            Reserved { station: 0, size: (2, 0), count: 1, from: 3, to: 11 },
        ],
        policy: Policy::Spread,
        ..waiting(&[(2, 1), (4, 3), (3, 0)], &queue)
    };
    first_is_not_delayed(&world).unwrap();
    waiting_is_needed(&world).unwrap();
}

#[test]
fn who_starts_may_stand_for_another_desktop_than_the_first_will() {
    let queue = [
        asks((1, 1), 4, None, 0, -17),
        asks((3, 1), 1, Some(0), 0, -8),
        asks((2, 0), 5, Some(0), 0, -1),
    ];
    let world = Small {
        reserved: vec![Reserved { station: 0, size: (1, 0), count: 2, from: 3, to: 9 }],
        ..waiting(&[(2, 0), (3, 3)], &queue)
    };
    waiting_is_needed(&world).unwrap();
    first_is_not_delayed(&world).unwrap();
}

/// The order changes with time: whoever waits is looked at again then.
#[test]
fn a_reservation_that_begins_is_foreseen_even_if_somebody_stands_for_it() {
    let queue = [
        asks((2, 2), 4, Some(1), 1, -20),
        asks((1, 1), 4, None, 2, -15),
        asks((4, 0), 2, None, 1, -21),
    ];
    let mut two = runs(2, (2, 0), 3, None);
    two.1 = 2;
    let world = Small {
        runs: vec![runs(2, (1, 0), 3, None), two, runs(0, (2, 0), 3, None)],
        reserved: vec![Reserved { station: 1, size: (2, 2), count: 1, from: 1, to: 3 }],
        ..waiting(&[(4, 1), (4, 2), (3, 0)], &queue)
    };
    told_is_what_happens(&world).unwrap();
}

proptest! {
    // Worlds are small and quick: many of them. PROPTEST_CASES counts eightfold.
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases * 8,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whoever_is_let_past_the_first_does_not_delay_it(world in small(1, 2)) {
        first_is_not_delayed(&world)?;
    }

    #[test]
    fn whoever_waits_would_be_in_somebodys_way(world in small(1, 2)) {
        waiting_is_needed(&world)?;
    }

    #[test]
    fn estimates_are_exact_if_nothing_else_happens(world in small(3, 2)) {
        told_is_what_happens(&world)?;
    }

    /// Desktops that end early make nobody's time worse who is first, and no reservation either.
    #[test]
    fn an_early_end_delays_neither_the_first_nor_a_reservation(
        world in small(1, 2),
        gone in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let mut world = world;
        let best = |world: &Small, asks: &Asks| {
            earliest(&world.hosts, &world.items(), &world.reserved, asks, 0)
        };
        for gone in gone {
            let plan = world.plan();
            world.start(&plan);
            let first = plan.waits.iter().find(|wait| !wait.never);
            let promised = first.map(|wait| {
                let asks = waits_first(&world, wait.id).unwrap().asks;
                (wait.id, asks, best(&world, &asks))
            });
            // Who counts for a reservation leaves it a desktop short: then more is held.
            let leaves = |(item, ..): &(Item, usize, Vec<usize>)| {
                !world.reserved.iter().any(|one| Some(one.station) == item.station)
            };
            let leave: Vec<usize> =
                (0..world.runs.len()).filter(|index| leaves(&world.runs[*index])).collect();
            if !leave.is_empty() {
                world.runs.remove(*gone.get(&leave));
            }
            let next = world.plan();
            world.start(&next);
            prop_assert!(keeps(&world.hosts, &world.items(), &world.reserved, 0));
            if let Some((id, asks, at)) = promised
                && next.waits.iter().any(|wait| wait.id == id)
            {
                prop_assert!(best(&world, &asks) <= at);
            }
        }
    }
}

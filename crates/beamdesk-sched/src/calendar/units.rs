//! Holds room for reservations, one desktop of a reservation after the other.

use std::cmp::Reverse;

use beamdesk_types::ReservationId;
use jiff::Timestamp;

use super::{
    Booking, Calendar, Hold, Holder, Kind, NEVER, UNITS_MAX,
    admit::{insert, needs_as_much},
};

/// Who counts as one of a reservation's desktops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// By [`super::Stay::who`].
    Runs(usize),
    /// By its place among those that are to come.
    Comes(usize),
}

/// From when and until when somebody runs, who, and where if that is known.
#[derive(Debug, Clone, Copy)]
struct Run {
    begins: Timestamp,
    ends: Timestamp,
    who: Who,
    host: Option<usize>,
}

/// The times in which somebody counts as one of a reservation already.
type Counted = Vec<(Who, Timestamp, Timestamp)>;

/// A time for which room must be held, and the host whose room becomes free for it.
type Window = (Timestamp, Timestamp, Option<usize>);

impl Calendar {
    /// Holds room for each of the reservations, the first to begin first, except that one may be
    /// named to come last. What has no room at its time gets it as soon as it can be had. Gives how
    /// many of each have room, or run, from its beginning on.
    pub(crate) fn keep(
        &mut self,
        bookings: &[Booking],
        last: Option<ReservationId>,
    ) -> Vec<(ReservationId, u32)> {
        let mut bookings: Vec<Booking> = bookings
            .iter()
            .filter(|booking| booking.to > self.now && booking.from < booking.to)
            .cloned()
            .collect();
        bookings.sort_by_key(|booking| (Some(booking.id) == last, booking.from, booking.id));
        for booking in &mut bookings {
            booking.request.station = Some(booking.station.clone());
        }
        let kinds: Vec<_> = bookings.iter().map(|booking| self.kind(&booking.request)).collect();
        self.booked = kinds;
        self.bookings = bookings;
        self.keep_anew()
    }

    /// Forgets what is held and holds the reservations again.
    pub(super) fn keep_anew(&mut self) -> Vec<(ReservationId, u32)> {
        for host in 0..self.held.len() {
            if let Some(held) = self.held.get_mut(host).filter(|held| !held.is_empty()) {
                held.clear();
                self.shifted(host);
            }
        }
        let mut kept = Vec::with_capacity(self.bookings.len());
        let mut units_left = UNITS_MAX;
        let mut counted = Counted::new();
        self.is_whole = true;
        for index in 0..self.bookings.len() {
            let (windows, filled) = self.windows(index, &[], units_left, &mut counted);
            units_left = units_left.saturating_sub(windows.len() + filled);
            let filled = u32::try_from(filled).unwrap_or(u32::MAX);
            let in_time = self.keep_all(index, &windows);
            self.is_whole &= usize::try_from(in_time).is_ok_and(|kept| kept == windows.len());
            let in_time = in_time.saturating_add(filled);
            kept.extend(self.bookings.get(index).map(|booking| (booking.id, in_time)));
        }
        kept
    }

    /// All that must be held for the reservations if these come too, beside those that run.
    pub(super) fn needed(&self, comers: &[Hold]) -> Vec<Hold> {
        let (mut holds, mut counted, mut units_left) = (Vec::new(), Counted::new(), UNITS_MAX);
        for (index, &kind) in self.booked.iter().enumerate() {
            let (windows, filled) = self.windows(index, comers, units_left, &mut counted);
            units_left = units_left.saturating_sub(windows.len() + filled);
            let holder = Holder::Reservation(index);
            let hold = |(from, to, _)| Hold { holder, kind, from, to };
            holds.extend(windows.into_iter().map(hold));
        }
        holds
    }

    /// The times for which room must be held for a booking if these come too, and for how many of its desktops none,
    /// because as many run all the time.
    fn windows(
        &self,
        index: usize,
        comers: &[Hold],
        units_left: usize,
        counted: &mut Counted,
    ) -> (Vec<Window>, usize) {
        let (mut windows, mut filled) = (Vec::new(), 0);
        let Some(booking) = self.bookings.get(index) else { return (windows, filled) };
        let from = booking.from.max(self.now);
        if from >= booking.to {
            return (windows, filled);
        }
        let count = usize::try_from(booking.count).unwrap_or(usize::MAX).min(units_left);
        let runs = self.runs_for(booking, comers);
        for _ in 0..count {
            // What of its time nobody stands for yet.
            let mut open = vec![(from, booking.to, None)];
            for &run in &runs {
                open = stand_for(open, run, counted);
            }
            if open.is_empty() {
                filled += 1;
            }
            windows.extend(open);
        }
        (windows, filled)
    }

    /// Who runs, or comes, that can count as one of the booking's desktops, the last to end first.
    fn runs_for(&self, booking: &Booking, comers: &[Hold]) -> Vec<Run> {
        let mut runs = Vec::new();
        for (host, stays) in self.stays.iter().enumerate() {
            for stay in stays.iter().filter(|stay| self.counts_for(booking, stay.kind)) {
                let (who, host) = (Who::Runs(stay.who), Some(host));
                runs.push(Run { begins: Timestamp::MIN, ends: stay.ends, who, host });
            }
        }
        for (place, comer) in comers.iter().enumerate() {
            if self.counts_for(booking, comer.kind) {
                let (begins, ends, who) = (comer.from, comer.to, Who::Comes(place));
                runs.push(Run { begins, ends, who, host: None });
            }
        }
        runs.sort_unstable_by_key(|run| (Reverse(run.ends), run.who));
        runs
    }

    /// Whether a desktop of this kind can count as one of the booking's.
    pub(super) fn counts_for(&self, booking: &Booking, kind: Kind) -> bool {
        self.request(kind).is_some_and(|request| {
            request.station.as_ref() == Some(&booking.station)
                && needs_as_much(request, &booking.request)
        })
    }

    /// Holds room for these times; for how many of them from their beginning on.
    fn keep_all(&mut self, index: usize, windows: &[Window]) -> u32 {
        let Some(&kind) = self.booked.get(index) else { return 0 };
        let order = self.order_for(kind);
        let mut in_time = 0;
        // Equal ones: a host that had no room for the one has none for the next.
        let mut last: Option<(Timestamp, usize)> = None;
        let mut hopeless: Option<Timestamp> = None;
        for &(from, to, near) in windows {
            if hopeless == Some(from) {
                continue;
            }
            let hold = Hold { holder: Holder::Reservation(index), kind, from, to };
            let first = last.filter(|(of, _)| *of == from).map_or(0, |(_, place)| place);
            if let Some(place) = self.keep_in_time(hold, near, &order, first) {
                last = Some((from, place));
                in_time += 1;
            } else if let Some(shifts) = self.search_with(hold) {
                self.shift(shifts);
                last = None;
                in_time += 1;
            } else if !self.keep_late(hold, &order) {
                hopeless = Some(from);
            }
        }
        in_time
    }

    /// Holds from the beginning on: on the host named, or the first in the order. Gives where the
    /// next equal one needs to begin to look.
    fn keep_in_time(
        &mut self,
        hold: Hold,
        near: Option<usize>,
        order: &[usize],
        first: usize,
    ) -> Option<usize> {
        if let Some(near) = near
            && self.holds_too(near, hold)
        {
            self.hold(near, hold);
            return Some(first);
        }
        let (place, &host) = order
            .iter()
            .enumerate()
            .skip(first)
            .find(|&(_, &host)| self.looks_left > 0 && self.holds_too(host, hold))?;
        self.hold(host, hold);
        Some(place)
    }

    /// Holds as soon as there is room, if there is any before it would be over.
    fn keep_late(&mut self, hold: Hold, order: &[usize]) -> bool {
        let mut best: Option<(Timestamp, usize)> = None;
        for &host in order {
            let until = best.map_or(hold.to, |(at, _)| at);
            let Some(soonest) = self.soonest(hold.kind, host) else { continue };
            for from in self.times(host, soonest.max(hold.from)) {
                if from >= until || self.looks_left == 0 {
                    break;
                }
                if self.holds_too(host, Hold { from, ..hold }) {
                    best = Some((from, host));
                    break;
                }
            }
        }
        match best {
            Some((from, host)) if from < NEVER => {
                self.hold(host, Hold { from, ..hold });
                true
            }
            Some(_) | None => false,
        }
    }

    fn hold(&mut self, host: usize, hold: Hold) {
        if let Some(held) = self.held.get_mut(host) {
            insert(held, hold);
        }
        self.shifted(host);
    }
}

/// Takes the time that somebody who runs can stand for out of the open times. In none of it may it
/// have been counted already.
fn stand_for(
    open: Vec<Window>,
    Run { begins, ends, who, host }: Run,
    counted: &mut Counted,
) -> Vec<Window> {
    let mut left = Vec::with_capacity(open.len());
    for (mut from, to, mut near) in open {
        let mut taken: Vec<(Timestamp, Timestamp)> = counted
            .iter()
            .filter(|(of, since, until)| *of == who && *since < to && from < *until)
            .map(|&(_, since, until)| (since, until))
            .collect();
        taken.sort_unstable();
        taken.push((to, to));
        // Between what is taken lies what is free of its time.
        let mut free_from = from.max(begins);
        for (since, until) in taken {
            let free_to = since.min(ends).min(to);
            if free_from < free_to {
                if from < free_from {
                    left.push((from, free_from, near));
                }
                counted.push((who, free_from, free_to));
                (from, near) = (free_to, host);
            }
            free_from = until.max(begins);
        }
        if from < to {
            left.push((from, to, near));
        }
    }
    left
}

//! Holds room for reservations, one desktop of a reservation after the other.

use beamdesk_types::ReservationId;
use jiff::Timestamp;

use super::{
    Booking, Calendar, Hold, Holder, NEVER, UNITS_MAX,
    admit::{insert, needs_as_much},
};

/// Who runs: until when, who, where.
type Run = (Timestamp, usize, usize);

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
        // For each who runs, the times in which it counts as one of a reservation already.
        let mut counted = Vec::new();
        for index in 0..self.bookings.len() {
            let (windows, filled) = self.windows(index, units_left, &mut counted);
            units_left -= windows.len() + filled;
            let filled = u32::try_from(filled).unwrap_or(u32::MAX);
            let in_time = self.keep_all(index, &windows).saturating_add(filled);
            kept.extend(self.bookings.get(index).map(|booking| (booking.id, in_time)));
        }
        kept
    }

    /// The times for which room must be held for a booking, and for how many of its desktops none,
    /// because as many run all the time.
    fn windows(
        &self,
        index: usize,
        units_left: usize,
        counted: &mut Vec<(usize, Timestamp, Timestamp)>,
    ) -> (Vec<Window>, usize) {
        let (mut windows, mut filled) = (Vec::new(), 0);
        let Some(booking) = self.bookings.get(index) else { return (windows, filled) };
        let from = booking.from.max(self.now);
        if from >= booking.to {
            return (windows, filled);
        }
        let count = usize::try_from(booking.count).unwrap_or(usize::MAX).min(units_left);
        let runs = self.runs_for(booking);
        for _ in 0..count {
            // What of its time nobody stands for yet.
            let mut open = vec![(from, booking.to, None)];
            for &(ends, who, host) in &runs {
                open = stand_for(open, (ends, who, host), counted);
            }
            if open.is_empty() {
                filled += 1;
            }
            windows.extend(open);
        }
        (windows, filled)
    }

    /// Who runs that can count as one of the booking's desktops, the last to end first.
    fn runs_for(&self, booking: &Booking) -> Vec<Run> {
        let mut runs = Vec::new();
        for (host, stays) in self.stays.iter().enumerate() {
            for stay in stays {
                let counts = self.request(stay.kind).is_some_and(|request| {
                    request.station.as_ref() == Some(&booking.station)
                        && needs_as_much(request, &booking.request)
                });
                if counts {
                    runs.push((stay.ends, stay.who, host));
                }
            }
        }
        runs.sort_unstable_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
        runs
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
    (ends, who, host): Run,
    counted: &mut Vec<(usize, Timestamp, Timestamp)>,
) -> Vec<Window> {
    let mut left = Vec::with_capacity(open.len());
    for (mut from, to, mut near) in open {
        let mut taken: Vec<(Timestamp, Timestamp)> = counted
            .iter()
            .filter(|(of, begins, until)| *of == who && *begins < to && from < *until)
            .map(|&(_, begins, until)| (begins, until))
            .collect();
        taken.sort_unstable();
        taken.push((to, to));
        // Between what is taken lies what is free of its time.
        let mut free_from = from;
        for (begins, until) in taken {
            let free_to = begins.min(ends).min(to);
            if free_from < free_to {
                if from < free_from {
                    left.push((from, free_from, near));
                }
                counted.push((who, free_from, free_to));
                (from, near) = (free_to, Some(host));
            }
            free_from = until;
        }
        if from < to {
            left.push((from, to, near));
        }
    }
    left
}

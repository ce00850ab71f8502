//! Holds room for who waits first, at the earliest time at which it can be had.

use jiff::{SignedDuration, Timestamp};

use super::{Calendar, Hold, Holder, Kind, NEVER, SEARCH_STAYS_MAX, Shifts, admit::insert};

/// The best start found so far: when, on which host, with what moved.
type Found = (Timestamp, usize, Shifts);

impl Calendar {
    /// Nothing is held for the head any more. Gives what was, and where.
    pub(crate) fn drop_head(&mut self) -> Option<(usize, Hold)> {
        let is_head = |hold: &Hold| hold.holder == Holder::Head;
        let host = self.held.iter().position(|held| held.iter().any(is_head))?;
        let held = self.held.get_mut(host)?;
        let hold = held.iter().position(is_head).map(|at| held.remove(at))?;
        let before = self.state(host).unwrap_or_default();
        self.shifted(host);
        self.dropped = self.state(host).map(|after| (host, hold, before, after));
        if std::mem::take(&mut self.head_stands_for_one) {
            self.give_back();
            return None;
        }
        Some((host, hold))
    }

    /// Holds again what the head stood for, as before: or anew, if something changed there since.
    fn give_back(&mut self) {
        let before = std::mem::take(&mut self.before_head);
        // The head itself was taken off one of the hosts a moment ago.
        let dropped = self.dropped.take();
        let is_same = |(host, _, state): &(usize, Vec<Hold>, u64)| {
            let after = dropped.filter(|(of, ..)| of == host);
            after.map_or(self.state(*host), |(_, _, before, _)| Some(before)) == Some(*state)
        };
        if !self.is_large() || !before.iter().all(is_same) {
            self.keep_anew();
            return;
        }
        let now = self.now;
        let shifts = before.into_iter().map(|(host, mut holds, _)| {
            holds.retain(|hold| hold.to > now);
            holds.iter_mut().for_each(|hold| hold.from = hold.from.max(now));
            (host, holds)
        });
        self.shift(shifts.collect());
    }

    /// Holds the same again, if it can be: nobody started since, so there is nothing better.
    pub(crate) fn hold_again(&mut self, host: usize, hold: Hold) -> bool {
        // In a small calendar something better may be found, if what is held can be moved by now.
        let still = self.is_large() && self.holds_too(host, hold);
        let now = self.state(host).unwrap_or_default();
        if still && let Some(held) = self.held.get_mut(host) {
            insert(held, hold);
            self.shifted(host);
            self.held_again(host, hold, now);
        }
        still
    }

    /// If all on the host is as it was before the head was dropped, it has its number again: what
    /// was found out of it then still holds.
    fn held_again(&mut self, host: usize, hold: Hold, now: u64) {
        if let Some((of, what, before, after)) = self.dropped.take()
            && (of, what) == (host, hold)
            && now == after
            && let Some(state) = self.states.get_mut(host)
        {
            *state = before;
        }
    }

    /// Holds room for the one that waits first (easy backfill's shadow): on a named host, at the
    /// earliest time, if nobody else starts. Where only those without end stand in the way, at the
    /// end of all times, on a host with the fewest of them: then nobody without end joins them
    /// there who would leave it no room. Gives the time; `None`: no host will ever have room.
    pub(crate) fn hold_head(
        &mut self,
        kind: Kind,
        term: Option<SignedDuration>,
    ) -> Option<Timestamp> {
        self.drop_head();
        let mut hosts: Vec<(Timestamp, usize, usize)> = Vec::new();
        for &host in self.order_for(kind).iter() {
            if let Some(soonest) = self.soonest(kind, host) {
                let endless = if soonest == NEVER { self.endless(host) } else { 0 };
                hosts.push((soonest, endless, host));
            }
        }
        hosts.sort_by_key(|&(soonest, endless, _)| (soonest, endless));
        let mut best: Option<Found> = None;
        for (soonest, _, host) in hosts {
            if best.as_ref().is_some_and(|(at, ..)| *at <= soonest) {
                break;
            }
            best = self.sooner(kind, term, host, soonest, best);
        }
        let (at, host, shifts) = best?;
        let hold = Hold { holder: Holder::Head, kind, from: at, to: Self::end_of(at, term) };
        self.head_stands_for_one = !self.fill(host, &hold).is_empty();
        let now = self.state(host).unwrap_or_default();
        let is_alone = shifts.len() == 1;
        let before = shifts.iter().map(|(host, _)| (*host, self.held(*host).to_vec()));
        let before: Vec<_> = before.collect();
        self.shift(shifts);
        let before = before.into_iter();
        self.before_head =
            before.filter_map(|(host, holds)| Some((host, holds, self.state(host)?))).collect();
        if is_alone && !self.head_stands_for_one {
            self.held_again(host, hold, now);
        }
        Some(at)
    }

    /// A start on this host that comes before the best one.
    fn sooner(
        &mut self,
        kind: Kind,
        term: Option<SignedDuration>,
        host: usize,
        soonest: Timestamp,
        best: Option<Found>,
    ) -> Option<Found> {
        for from in self.head_times(kind, host, soonest) {
            if best.as_ref().is_some_and(|(at, ..)| *at <= from) {
                break;
            }
            let to = Self::end_of(from, term);
            let hold = Hold { holder: Holder::Head, kind, from, to };
            if let Some(shifts) = self.admit(host, hold, None) {
                return Some((from, host, shifts));
            }
        }
        best
    }

    /// The times at which the head may start on a host, from `after` on. If it counts as one of a
    /// reservation, then what is held for that one changes with its time, so that it matters too
    /// when other hosts become free and when anything held begins.
    fn head_times(&self, kind: Kind, host: usize, after: Timestamp) -> Vec<Timestamp> {
        let mut times = self.times(host, after);
        let stays: usize = self.stays.iter().map(Vec::len).sum();
        let counts = self.bookings.iter().any(|booking| self.counts_for(booking, kind));
        if counts && stays <= SEARCH_STAYS_MAX && !self.is_large() {
            let ends = self.stays.iter().flatten().map(|stay| stay.ends);
            let begins = self.held.iter().flatten().map(|hold| hold.from);
            times.extend(ends.chain(begins).filter(|&at| at > after && at < NEVER));
            times.sort_unstable();
            times.dedup();
        }
        times
    }
}

//! Whether somebody may have room on a host, with everything that is held still standing.

use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};

use super::{Calendar, Hold, Holder, search::Searched};
use crate::Request;

/// What is held, anew, on the hosts named: what must change for a candidate to have its room.
pub(crate) type Shifts = Vec<(usize, Vec<Hold>)>;

/// Which hosts can hold something too, beside what they hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Spare {
    /// The state of the calendar that `found` is of.
    of: Option<u64>,
    /// The first two in the order.
    found: [Option<usize>; 2],
    /// For each host, as far as known, in which of its states whether it can.
    answers: Vec<Option<(u64, bool)>>,
}

impl Calendar {
    /// Whether the candidate can have room on the host from its `from` to its `to`, and everything
    /// that is held gets its room at its time too, there or on another host. Gives what is held
    /// then, the candidate included; see [`Self::shift`].
    /// Its cards are those given, or else any.
    pub(crate) fn admit(
        &mut self,
        host: usize,
        candidate: Hold,
        cards: Option<&[usize]>,
    ) -> Option<Shifts> {
        self.given = cards.map(<[usize]>::to_vec);
        let shifts = self.admit_given(host, candidate);
        self.given = None;
        shifts
    }

    fn admit_given(&mut self, host: usize, candidate: Hold) -> Option<Shifts> {
        // Until the head starts, what it is to stand for must be held without it.
        if candidate.holder == Holder::Candidate
            && self.head_stands_for_one
            && matches!(self.search_anew(host, Some(candidate), false), Searched::Impossible)
        {
            return None;
        }
        let filled = self.fill(host, &candidate);
        let is_free = filled.is_empty() && self.held(host).is_empty();
        if is_free && candidate.holder == Holder::Candidate {
            // Nothing is held here: the filter has said all there is to say.
            return Some(Shifts::new());
        }
        if self.looks_left == 0 {
            return None;
        }
        self.make_room(&filled, host, Some(candidate))
    }

    /// A way to hold all, with this beside it that the candidate fills a part of already.
    fn make_room(
        &mut self,
        filled: &Shifts,
        host: usize,
        candidate: Option<Hold>,
    ) -> Option<Shifts> {
        if !filled.is_empty() {
            // Which of several it counts as, and so what else must be held when, is not settled by
            // what is held now.
            match self.search_anew(host, candidate, true) {
                Searched::Found(shifts) => return Some(shifts),
                Searched::Impossible => return None,
                Searched::GaveUp => {}
            }
        }
        let settled = self.settle(filled.clone(), host, candidate);
        settled.or_else(|| self.search_beside(filled, host, candidate))
    }

    /// Lets somebody who runs stay until later, if everything that is held still gets its room.
    pub(crate) fn prolong(&mut self, host: usize, who: usize, to: Timestamp) -> bool {
        let Some(before) = self.set_end(host, who, to) else { return false };
        let candidate =
            Hold { holder: Holder::Candidate, kind: before.kind, from: before.ends, to };
        let filled = self.fill(host, &candidate);
        match self.make_room(&filled, host, None) {
            Some(shifts) => {
                self.shift(shifts);
                true
            }
            None => {
                self.set_end(host, who, before.ends);
                false
            }
        }
    }

    /// Gives the stay as it was.
    fn set_end(&mut self, host: usize, who: usize, ends: Timestamp) -> Option<super::Stay> {
        let stays = self.stays.get_mut(host)?;
        let at = stays.iter().position(|stay| stay.who == who)?;
        let before = stays.remove(at);
        self.note(host, super::Stay { ends, ..before.clone() });
        Some(before)
    }

    /// Makes it so. Candidates are not held: they run.
    pub(crate) fn shift(&mut self, shifts: Shifts) {
        for (host, mut holds) in shifts {
            holds.retain(|hold| hold.holder != Holder::Candidate);
            if let Some(held) = self.held.get_mut(host) {
                *held = holds;
            }
            self.shifted(host);
        }
    }

    /// Who is the first to stand in the candidate's way, if the candidate must have this host and
    /// nothing may be moved. Without the head, if asked so.
    pub(crate) fn in_the_way(
        &mut self,
        host: usize,
        candidate: Hold,
        head_too: bool,
    ) -> Option<Hold> {
        let mut list = listed(&self.fill(host, &candidate), &self.held, host);
        list.retain(|hold| head_too || hold.holder != Holder::Head);
        insert(&mut list, candidate);
        let broken = self.stands(host, &list).err()?;
        list.get(broken).copied()
    }

    /// The candidate counts as one of the desktops that room is held for, if its station has a
    /// reservation and it needs at least as much: while it runs, nothing is held for that one.
    pub(super) fn fill(&self, host: usize, candidate: &Hold) -> Shifts {
        let mut shifts = Shifts::new();
        let Some(request) = self.request(candidate.kind) else { return shifts };
        let Some(station) = &request.station else { return shifts };
        let mut counted: Vec<(Timestamp, Timestamp)> = Vec::new();
        for (index, booking) in self.bookings.iter().enumerate() {
            if booking.station != *station || !needs_as_much(request, &booking.request) {
                continue;
            }
            let (begins, ends) = (candidate.from.max(booking.from), candidate.to.min(booking.to));
            let is_counted = |&(from, to): &(Timestamp, Timestamp)| begins < to && from < ends;
            if begins >= ends || counted.iter().any(is_counted) {
                continue;
            }
            if self.fill_one(&mut shifts, host, candidate, index) {
                counted.push((begins, ends));
            }
        }
        shifts
    }

    /// Takes the candidate's time out of one hold of a reservation: the first to begin, on this
    /// host if it can be.
    fn fill_one(&self, shifts: &mut Shifts, host: usize, candidate: &Hold, booking: usize) -> bool {
        let is_one = |hold: &Hold| {
            hold.holder == Holder::Reservation(booking)
                && hold.from < candidate.to
                && candidate.from < hold.to
        };
        // The one that begins nearest to when the candidate comes, and not before that if it can be:
        // what is held until then and again after the candidate has left may have to move.
        let mut first: Option<(bool, SignedDuration, bool, usize, usize)> = None;
        for at in 0..self.held.len() {
            let list = match shifts.iter().find(|(of, _)| *of == at) {
                Some((_, list)) => list,
                None => self.held.get(at).map_or(&[][..], Vec::as_slice),
            };
            for (place, hold) in list.iter().enumerate().filter(|(_, hold)| is_one(hold)) {
                let apart = hold.from.duration_since(candidate.from).abs();
                let this = (hold.from < candidate.from, apart, at != host, at, place);
                first = Some(first.map_or(this, |first| first.min(this)));
            }
        }
        let Some((_, _, _, at, place)) = first else { return false };
        let mut list = listed(shifts, &self.held, at);
        let hold = list.remove(place);
        if hold.from < candidate.from {
            insert(&mut list, Hold { to: candidate.from, ..hold });
        }
        if candidate.to < hold.to {
            insert(&mut list, Hold { from: candidate.to, ..hold });
        }
        put(shifts, at, list);
        true
    }

    /// Puts the candidate, if there is one, on the host, and whatever does not stand any more on
    /// other hosts.
    fn settle(
        &mut self,
        mut shifts: Shifts,
        host: usize,
        candidate: Option<Hold>,
    ) -> Option<Shifts> {
        let mut list = listed(&shifts, &self.held, host);
        if let Some(candidate) = candidate {
            insert(&mut list, candidate);
        }
        let mut homeless = Vec::new();
        while let Err(broken) = self.stands(host, &list) {
            let who = *list.get(broken)?;
            let is_in_its_way = |hold: &Hold| hold.to > who.from;
            let goes = if candidate == Some(who) {
                list.get(..broken)?.iter().rposition(is_in_its_way)?
            } else {
                broken
            };
            homeless.push(list.remove(goes));
        }
        put(&mut shifts, host, list);
        if homeless.iter().any(Hold::awaits_endless) {
            return None;
        }
        homeless.sort_by_key(|hold| hold.from);
        for hold in homeless {
            let other = self.shelter(&shifts, host, hold)?;
            let mut list = listed(&shifts, &self.held, other);
            insert(&mut list, hold);
            put(&mut shifts, other, list);
        }
        Some(shifts)
    }

    /// Another host that can hold this too.
    fn shelter(&mut self, shifts: &Shifts, host: usize, hold: Hold) -> Option<usize> {
        let others = shifts.iter().map(|(other, _)| *other).filter(|&other| other != host);
        let changed: Vec<usize> = others.collect();
        let spare = self.spare(hold).into_iter().flatten();
        let found = spare.clone().find(|other| *other != host && !changed.contains(other));
        found.or_else(|| changed.into_iter().find(|&other| self.stands_with(shifts, other, hold)))
    }

    /// The first two hosts, in their order, that can hold this beside what they hold. The same
    /// question is asked for host after host that a candidate would like, and in pass after pass,
    /// so answers are kept for each host as long as nothing changes there.
    fn spare(&mut self, hold: Hold) -> [Option<usize>; 2] {
        let mut spare = self.spare.remove(&hold).unwrap_or_default();
        if spare.of != Some(self.state) {
            spare.of = Some(self.state);
            spare.answers.resize(self.hosts.len(), None);
            let mut found = Vec::new();
            for &host in self.order_for(hold.kind).iter() {
                if found.len() == spare.found.len() {
                    break;
                }
                let state = self.states.get(host).copied().unwrap_or_default();
                let Some(answer) = spare.answers.get_mut(host) else { continue };
                let (_, stands) = *match answer {
                    Some(known) if known.0 == state => known,
                    Some(_) | None => {
                        answer.insert((state, self.stands_with(&Shifts::new(), host, hold)))
                    }
                };
                if stands {
                    found.push(host);
                }
            }
            let mut found = found.into_iter();
            spare.found = [found.next(), found.next()];
        }
        let found = spare.found;
        self.spare.insert(hold, spare);
        found
    }

    /// Whether the host can hold this beside what it holds.
    pub(super) fn holds_too(&mut self, host: usize, hold: Hold) -> bool {
        self.stands_with(&Shifts::new(), host, hold)
    }

    fn stands_with(&mut self, shifts: &Shifts, host: usize, hold: Hold) -> bool {
        if self.soonest(hold.kind, host).is_none_or(|soonest| soonest > hold.from) {
            return false;
        }
        let mut list = listed(shifts, &self.held, host);
        insert(&mut list, hold);
        self.stands(host, &list).is_ok()
    }

    /// The hosts in the order in which room is held for a request: its station's own come first.
    pub(super) fn order_for(&mut self, kind: usize) -> Rc<[usize]> {
        if let Some(Some(order)) = self.orders.get(kind) {
            return Rc::clone(order);
        }
        let station = self.request(kind).and_then(|request| request.station.as_ref());
        let is_own = |host: &usize| {
            let kept_for = self.hosts.get(*host).map_or(&[][..], |host| &host.kept_for);
            station.is_some_and(|station| kept_for.contains(station))
        };
        let (own, other): (Vec<usize>, Vec<usize>) =
            self.order.iter().partition(|&host| is_own(host));
        let order: Rc<[usize]> = own.into_iter().chain(other).collect();
        if self.orders.len() <= kind {
            self.orders.resize(kind + 1, None);
        }
        if let Some(entry) = self.orders.get_mut(kind) {
            *entry = Some(Rc::clone(&order));
        }
        order
    }
}

/// What is held on a host after the shifts.
pub(super) fn listed(shifts: &Shifts, held: &[Vec<Hold>], host: usize) -> Vec<Hold> {
    match shifts.iter().find(|(of, _)| *of == host) {
        Some((_, list)) => list.clone(),
        None => held.get(host).cloned().unwrap_or_default(),
    }
}

pub(super) fn put(shifts: &mut Shifts, host: usize, list: Vec<Hold>) {
    match shifts.iter_mut().find(|(of, _)| *of == host) {
        Some((_, present)) => *present = list,
        None => shifts.push((host, list)),
    }
}

/// Before those that begin at the same time, since who was there has to make room; but a candidate
/// has its cards already.
pub(super) fn insert(list: &mut Vec<Hold>, hold: Hold) {
    let comes_before = |other: &Hold| {
        other.from < hold.from || (other.from == hold.from && other.holder == Holder::Candidate)
    };
    let at = list.partition_point(comes_before);
    list.insert(at, hold);
}

/// Whether a desktop with this request can count as one that a reservation is for.
pub(super) fn needs_as_much(request: &Request, booked: &Request) -> bool {
    let (gpu, other) = (&request.gpu, &booked.gpu);
    let has_model = other.models.is_empty()
        || (!gpu.models.is_empty() && gpu.models.iter().all(|model| other.models.contains(model)));
    let has_cards = !booked.wants_cards()
        || (gpu.count >= other.count
            && gpu.share_milli >= other.share_milli
            && gpu.memory_mib >= other.memory_mib
            && gpu.cores >= other.cores
            && gpu.bandwidth_gb_s >= other.bandwidth_gb_s
            && has_model);
    request.cpu_milli >= booked.cpu_milli
        && request.memory_mib >= booked.memory_mib
        && request.disk_gib >= booked.disk_gib
        && has_cards
}

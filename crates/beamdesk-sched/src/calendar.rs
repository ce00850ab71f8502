//! What each host has promised from now on: to desktops that run, to reservations, and to the
//! desktop that waits first.
//!
//! Room held at a later time is a [`Hold`] on a named host. Whoever wants to start must leave all
//! holds standing, each at its time; it may push them to other hosts.

mod admit;
mod head;
mod line;
mod search;
mod units;

use std::{collections::HashMap, rc::Rc};

use jiff::{SignedDuration, Timestamp};

use beamdesk_types::{ReservationId, StationId};

pub(crate) use admit::Shifts;

use crate::{Guard, Host, Request};

/// Room held for a station from one time to another: `count` desktops that need what `request`
/// says.
///
/// A desktop of the station that runs in that time and needs at least as much counts as one of
/// them, wherever it runs; for the others room is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    pub id: ReservationId,
    pub station: StationId,
    pub request: Request,
    pub count: u32,
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Of all reservations together; what comes after them is not held. Each costs a look at hosts
/// whenever somebody is to start, and no site has beam time for more desktops at once.
pub(crate) const UNITS_MAX: usize = 1024;

/// A calendar that holds more than this is not searched for any way at all, nor for the very first
/// time at which the head fits if things moved: what is held is looked at where it is.
const SEARCH_HOLDS_MAX: usize = 12;

/// If more run than this, only those on a host itself matter to when the head fits there.
const SEARCH_STAYS_MAX: usize = 64;

/// Looks at one host's future in one plan, and again for its estimates; about a microsecond each:
/// keeps a plan short whatever the calendar holds. Without looks left nobody starts where something is held.
const LOOKS_MAX: u32 = 10_000;

/// The end of what has none. Who must wait for somebody without end waits until then.
pub(crate) const NEVER: Timestamp = Timestamp::MAX;

/// How long somebody whose term is over is thought to need until its room is free.
const OVERDUE: SignedDuration = SignedDuration::from_secs(60);

/// Index of a request in [`Calendar::requests`].
pub(crate) type Kind = usize;

/// Somebody who runs on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stay {
    /// Whatever number the caller knows it by.
    pub(crate) who: usize,
    pub(crate) kind: Kind,
    pub(crate) cards: Vec<usize>,
    /// [`NEVER`]: without end.
    pub(crate) ends: Timestamp,
}

/// For whom room is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// Index into the bookings.
    Reservation(usize),
    /// Who waits first.
    Head,
    /// Who asks whether it may start.
    Candidate,
}

/// Room on a host from one time to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Hold {
    pub(crate) holder: Holder,
    pub(crate) kind: Kind,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl Hold {
    /// It is for somebody whose room is free only when those without end have left. Stays on its
    /// host: moved to and fro, those would gather on each in turn.
    fn awaits_endless(&self) -> bool {
        self.holder == Holder::Head && self.from == NEVER
    }
}

/// Who runs where until when, and what is held.
#[derive(Debug, Clone)]
pub(crate) struct Calendar {
    pub(crate) now: Timestamp,
    pub(crate) requests: Vec<Request>,
    pub(crate) bookings: Vec<Booking>,
    /// What each booking asks for, by its index.
    booked: Vec<Kind>,
    guard: Option<Guard>,
    hosts: Vec<Host>,
    /// For each host who runs there, the first to end first.
    stays: Vec<Vec<Stay>>,
    /// For each host what is held there, the first to begin first.
    held: Vec<Vec<Hold>>,
    /// For each host how often who runs there changed.
    changes: Vec<u32>,
    /// The hosts in the order in which room is held on them: those with the least to lose first.
    /// Does not depend on who runs where, so that a hold stays where it is as long as it can.
    order: Vec<usize>,
    /// The head counts as one of a reservation: while room is held for it, none is for that one.
    head_stands_for_one: bool,
    /// What was held before room was held for the head, on the hosts concerned, and their numbers
    /// after that.
    before_head: Vec<(usize, Vec<Hold>, u64)>,
    /// All that must be held is held at its time.
    is_whole: bool,
    looks_left: u32,
    /// The cards that the candidate would have, where that is known.
    given: Option<Vec<usize>>,
    saved: line::Saved,
    /// When each kind would fit on each host if nothing were held, as far as known.
    soonest: Vec<Vec<Option<line::Soonest>>>,
    /// For each host a number that stands for who runs there and what is held there: another one
    /// after each change.
    states: Vec<u64>,
    /// The head that was dropped last: where, what, and the host's number before and after.
    dropped: Option<(usize, Hold, u64, u64)>,
    /// How often anything of that changed.
    state: u64,
    /// Where there is room for what is held.
    spare: HashMap<Hold, admit::Spare>,
    /// The order of hosts for each kind, as far as known.
    orders: Vec<Option<Rc<[usize]>>>,
}

impl Calendar {
    /// Of hosts that have whoever runs on them taken already.
    pub(crate) fn new(now: Timestamp, hosts: Vec<Host>, guard: Option<Guard>) -> Self {
        let mut order: Vec<usize> = (0..hosts.len()).collect();
        order.sort_by_cached_key(|&index| hosts.get(index).map(worth));
        Self {
            now,
            requests: Vec::new(),
            bookings: Vec::new(),
            booked: Vec::new(),
            guard,
            stays: vec![Vec::new(); hosts.len()],
            held: vec![Vec::new(); hosts.len()],
            changes: vec![0; hosts.len()],
            order,
            head_stands_for_one: false,
            before_head: Vec::new(),
            is_whole: true,
            looks_left: LOOKS_MAX,
            given: None,
            saved: line::Saved::default(),
            soonest: Vec::new(),
            states: vec![0; hosts.len()],
            dropped: None,
            state: 0,
            spare: HashMap::new(),
            orders: Vec::new(),
            hosts,
        }
    }

    /// The number by which the calendar knows a request.
    pub(crate) fn kind(&mut self, request: &Request) -> Kind {
        match self.requests.iter().position(|known| known == request) {
            Some(kind) => kind,
            None => {
                self.requests.push(request.clone());
                self.requests.len() - 1
            }
        }
    }

    pub(crate) fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    pub(crate) fn guard(&self) -> Option<&Guard> {
        self.guard.as_ref()
    }

    pub(crate) fn stays(&self, host: usize) -> &[Stay] {
        self.stays.get(host).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn held(&self, host: usize) -> &[Hold] {
        self.held.get(host).map_or(&[], Vec::as_slice)
    }

    /// Looks may be taken anew, for another question.
    pub(crate) fn look_anew(&mut self) {
        self.looks_left = LOOKS_MAX;
    }

    /// Stands for all that runs and is held on the host: another one after each change.
    pub(crate) fn state(&self, host: usize) -> Option<u64> {
        self.states.get(host).copied()
    }

    /// Too much is held to try all ways of holding it.
    pub(crate) fn is_large(&self) -> bool {
        self.holds() > SEARCH_HOLDS_MAX
    }

    /// How much is held.
    fn holds(&self) -> usize {
        self.held.iter().map(Vec::len).sum()
    }

    /// No looks are left: answers would be wrong.
    pub(crate) fn is_tired(&self) -> bool {
        self.looks_left == 0
    }

    /// When what is held begins, the first time first.
    pub(crate) fn begins(&self) -> Vec<Timestamp> {
        let mut begins: Vec<Timestamp> = self.held.iter().flatten().map(|hold| hold.from).collect();
        begins.sort_unstable();
        begins.dedup();
        begins
    }

    /// The cards that a host would give by itself.
    pub(crate) fn cards_for(&self, kind: Kind, host: usize) -> Vec<usize> {
        match (self.requests.get(kind), self.hosts.get(host)) {
            (Some(request), Some(host)) => line::chosen(request, host),
            (None, _) | (_, None) => Vec::new(),
        }
    }

    /// The next time at which room becomes free, something held begins or ends, or a reservation
    /// does for which others stand. `None`: never.
    pub(crate) fn next_change(&self) -> Option<Timestamp> {
        let ends = self.stays.iter().filter_map(|stays| stays.first()).map(|stay| stay.ends);
        let holds = self.held.iter().flatten().flat_map(|hold| [hold.from, hold.to]);
        let bookings = self.bookings.iter().flat_map(|booking| [booking.from, booking.to]);
        ends.chain(holds).chain(bookings).filter(|&at| at > self.now && at < NEVER).min()
    }

    /// Somebody runs there already: its room is taken in the hosts that were given.
    pub(crate) fn note(&mut self, host: usize, stay: Stay) {
        let Some(stays) = self.stays.get_mut(host) else { return };
        let at = stays.partition_point(|other| other.ends <= stay.ends);
        stays.insert(at, stay);
        self.changed(host);
    }

    /// Somebody starts there now.
    pub(crate) fn start(&mut self, host: usize, stay: Stay) {
        if let (Some(room), Some(request)) =
            (self.hosts.get_mut(host), self.requests.get(stay.kind))
        {
            room.take(request, &stay.cards);
            self.note(host, stay);
        }
    }

    /// Moves the clock on and lets those go whose end has come; gives them with their hosts.
    pub(crate) fn advance(&mut self, now: Timestamp) -> Vec<(usize, Stay)> {
        self.now = now;
        let mut gone = Vec::new();
        for (host, stays) in self.stays.iter_mut().enumerate() {
            let over = stays.partition_point(|stay| stay.ends <= now);
            for stay in stays.drain(..over) {
                if let (Some(room), Some(request)) =
                    (self.hosts.get_mut(host), self.requests.get(stay.kind))
                {
                    room.release(request, &stay.cards);
                }
                gone.push((host, stay));
            }
        }
        for (host, _) in &gone {
            self.changed(*host);
        }
        for (held, state) in self.held.iter_mut().zip(&mut self.states) {
            let before = held.len();
            held.retain(|hold| hold.to > now);
            if held.len() < before {
                self.state += 1;
                *state = self.state;
            }
            for hold in held {
                hold.from = hold.from.max(now);
            }
        }
        // Whatever began before now began now, since: other holds, to the letter.
        self.spare.retain(|hold, _| hold.from > now);
        gone
    }

    /// The end of a term that begins at `from`.
    pub(crate) fn end_of(from: Timestamp, term: Option<SignedDuration>) -> Timestamp {
        // Whoever runs at all runs for a moment: time must go on.
        const TERM_MIN: SignedDuration = SignedDuration::from_secs(1);
        term.map_or(NEVER, |term| from.checked_add(term.max(TERM_MIN)).unwrap_or(NEVER))
    }

    /// When somebody who runs now leaves, by its term.
    pub(crate) fn leaves(now: Timestamp, ends: Option<Timestamp>) -> Timestamp {
        match ends {
            Some(ends) if ends > now => ends,
            Some(_) => now.checked_add(OVERDUE).unwrap_or(NEVER),
            None => NEVER,
        }
    }

    fn changed(&mut self, host: usize) {
        if let Some(changes) = self.changes.get_mut(host) {
            *changes = changes.wrapping_add(1);
        }
        self.shifted(host);
    }

    /// What is held there, or who runs there, changed.
    fn shifted(&mut self, host: usize) {
        self.state += 1;
        if let Some(state) = self.states.get_mut(host) {
            *state = self.state;
        }
    }

    fn request(&self, kind: Kind) -> Option<&Request> {
        self.requests.get(kind)
    }
}

/// Orders hosts: few cards, little memory on them, little memory, and at last the name.
fn worth(host: &Host) -> (usize, u64, u64, beamdesk_types::NodeName) {
    let cards_mib = host.cards.iter().fold(0_u64, |sum, card| sum.saturating_add(card.memory_mib));
    (host.cards.len(), cards_mib, host.memory_mib.total, host.name.clone())
}

//! One host's time line: whether what is held there can be given, and when somebody would fit.

use jiff::Timestamp;

use beamdesk_types::WHOLE_CARD;

use super::{Calendar, Hold, Holder, Kind, NEVER};
use crate::{
    Amount, CardRoom, Guard, Host, Request,
    fit::{is_eligible, same_model},
    fits,
};

/// A host's numbers, to put back after a look into its future.
#[derive(Debug, Clone, Default)]
pub(super) struct Saved {
    amounts: [Amount; 3],
    cards: Vec<u32>,
}

/// When a kind would fit on a host with nothing held, and the state of the host that this was
/// found for. `None`: not even when all have left.
pub(super) type Soonest = (u32, Option<Timestamp>);

/// Somebody who leaves the host: at this time, of this kind, from these cards.
type Leaving = (Timestamp, Kind, Vec<usize>);

impl Saved {
    fn save(&mut self, host: &Host) {
        self.amounts = [host.cpu_milli, host.memory_mib, host.disk_gib];
        self.cards.clear();
        self.cards.extend(host.cards.iter().map(|card| card.free_milli));
    }

    fn put_back(&self, host: &mut Host) {
        [host.cpu_milli, host.memory_mib, host.disk_gib] = self.amounts;
        for (card, &free) in host.cards.iter_mut().zip(&self.cards) {
            card.free_milli = free;
        }
    }
}

impl Calendar {
    /// Goes through the host's future: does each of these holds, the first to begin first, get its
    /// room at its time, beside who runs there and those before it? If not, the first that does not.
    ///
    /// Room is taken at the beginning only, so looking at beginnings is enough.
    pub(super) fn stands(&mut self, host: usize, holds: &[Hold]) -> Result<(), usize> {
        self.looks_left = self.looks_left.saturating_sub(1);
        let (Some(room), Some(stays)) = (self.hosts.get_mut(host), self.stays.get(host)) else {
            return Err(0);
        };
        self.saved.save(room);
        let mut stays = stays.iter().peekable();
        let mut leaving: Vec<Leaving> = Vec::with_capacity(holds.len());
        let mut result = Ok(());
        for (index, hold) in holds.iter().enumerate() {
            let from = hold.from.max(self.now);
            if hold.awaits_endless() && joins(holds.get(..index).unwrap_or_default()) {
                result = Err(index);
                break;
            }
            while let Some(stay) = stays.next_if(|stay| stay.ends <= from) {
                leave(room, &self.requests, stay.kind, &stay.cards);
            }
            leaving.retain(|(at, kind, cards)| {
                let stays = *at > from;
                if !stays {
                    leave(room, &self.requests, *kind, cards);
                }
                stays
            });
            let given = self.given.as_ref().filter(|_| hold.holder == Holder::Candidate);
            let Some(cards) = enter(room, &self.requests, hold.kind, self.guard.as_ref(), given)
            else {
                result = Err(index);
                break;
            };
            leaving.push((hold.to, hold.kind, cards));
        }
        self.saved.put_back(room);
        result
    }

    /// When the kind would fit on the host if nothing were held and nobody else came.
    pub(super) fn soonest(&mut self, kind: Kind, host: usize) -> Option<Timestamp> {
        let changes = self.changes.get(host).copied().unwrap_or_default();
        if self.soonest.len() <= kind {
            self.soonest.resize(kind + 1, Vec::new());
        }
        let known = self.soonest.get(kind).and_then(|hosts| hosts.get(host)).copied().flatten();
        match known {
            Some((of, soonest)) if of == changes => soonest.map(|at| at.max(self.now)),
            Some(_) | None => {
                let soonest = self.find_soonest(kind, host);
                if let Some(hosts) = self.soonest.get_mut(kind) {
                    hosts.resize(self.hosts.len(), None);
                    if let Some(entry) = hosts.get_mut(host) {
                        *entry = Some((changes, soonest));
                    }
                }
                soonest
            }
        }
    }

    fn find_soonest(&mut self, kind: Kind, host: usize) -> Option<Timestamp> {
        let room = self.hosts.get_mut(host)?;
        let stays = self.stays.get(host)?;
        let request = self.requests.get(kind)?;
        let guard = self.guard.as_ref();
        if fits(request, room, guard).is_ok() {
            return Some(self.now);
        }
        self.saved.save(room);
        let mut soonest = None;
        let mut stays = stays.iter().peekable();
        while let Some(stay) = stays.next() {
            leave(room, &self.requests, stay.kind, &stay.cards);
            let is_last_then = stays.peek().is_none_or(|next| next.ends > stay.ends);
            if is_last_then && fits(request, room, guard).is_ok() {
                soonest = Some(stay.ends);
                break;
            }
        }
        self.saved.put_back(room);
        soonest
    }

    /// The times at which room may become free on a host, from `after` on.
    pub(super) fn times(&self, host: usize, after: Timestamp) -> Vec<Timestamp> {
        let ends = self.stays(host).iter().map(|stay| stay.ends);
        // What is held elsewhere might be held here instead, and end here.
        let others = if self.is_large() { &[][..] } else { &self.held };
        let holds = others.iter().flatten().chain(self.held(host)).map(|hold| hold.to);
        let mut times: Vec<Timestamp> = ends.chain(holds).filter(|at| *at > after).collect();
        times.push(after);
        times.sort_unstable();
        times.dedup();
        times
    }

    /// How many run there without end.
    pub(super) fn endless(&self, host: usize) -> usize {
        self.stays(host).iter().rev().take_while(|stay| stay.ends == NEVER).count()
    }
}

/// Whether somebody without end is to join. Where somebody waits for such to leave, none may come.
fn joins(holds: &[Hold]) -> bool {
    holds.iter().any(|hold| hold.holder == Holder::Candidate && hold.to == NEVER)
}

fn leave(room: &mut Host, requests: &[Request], kind: Kind, cards: &[usize]) {
    if let Some(request) = requests.get(kind) {
        room.release(request, cards);
    }
}

/// Takes what the kind needs, if it fits; the cards given, or else chosen.
fn enter(
    room: &mut Host,
    requests: &[Request],
    kind: Kind,
    guard: Option<&Guard>,
    given: Option<&Vec<usize>>,
) -> Option<Vec<usize>> {
    let request = requests.get(kind)?;
    fits(request, room, guard).ok()?;
    let cards = match given {
        Some(cards) => {
            let is_free = |&card: &usize| {
                room.cards.get(card).is_some_and(|card| is_eligible(&request.gpu, card))
            };
            cards.iter().all(is_free).then(|| cards.clone())?
        }
        None => chosen(request, room),
    };
    room.take(request, &cards);
    Some(cards)
}

/// The cards of a host that fits: of the smallest model that does, a share on the fullest card.
pub(super) fn chosen(request: &Request, host: &Host) -> Vec<usize> {
    let gpu = &request.gpu;
    let count = usize::try_from(gpu.count).unwrap_or(usize::MAX);
    if count == 0 {
        return Vec::new();
    }
    let eligible: Vec<(usize, &CardRoom)> =
        host.cards.iter().enumerate().filter(|(_, card)| is_eligible(gpu, card)).collect();
    let of_model =
        |first: &CardRoom| eligible.iter().filter(|(_, card)| same_model(card, first)).count();
    let model = eligible
        .iter()
        .filter(|(_, card)| of_model(card) >= count)
        .min_by_key(|(index, card)| (card.memory_mib, card.cores, *index));
    let Some((_, model)) = model else { return Vec::new() };
    let fullness = |card: &CardRoom| {
        if gpu.share_milli < WHOLE_CARD { card.free_milli } else { WHOLE_CARD }
    };
    let mut cards: Vec<(u32, usize)> = eligible
        .iter()
        .filter(|(_, card)| same_model(card, model))
        .map(|&(index, card)| (fullness(card), index))
        .collect();
    cards.sort_unstable();
    let mut cards: Vec<usize> = cards.into_iter().take(count).map(|(_, index)| index).collect();
    cards.sort_unstable();
    cards
}

//! Looks for any way at all to hold what is held, where moving one thing at a time finds none.

use super::{
    Calendar, Hold, Holder, SEARCH_HOLDS_MAX,
    admit::{Shifts, insert, listed},
};

/// Looks of one search.
const SEARCH_LOOKS_MAX: u32 = 2000;

/// What a search has put where so far.
struct Search {
    /// The first to begin first.
    holds: Vec<Hold>,
    lists: Vec<Vec<Hold>>,
    looks_left: u32,
}

/// What came of a search.
pub(super) enum Searched {
    Found(Shifts),
    Impossible,
    /// Nobody knows: there was too much to look at.
    GaveUp,
}

impl Searched {
    fn found(self) -> Option<Shifts> {
        match self {
            Self::Found(shifts) => Some(shifts),
            Self::Impossible | Self::GaveUp => None,
        }
    }
}

impl Calendar {
    /// As [`Self::search_beside`], with what must be held for reservations found out anew: by the
    /// candidate, who may count as one of several, and by the head if it is to be held too.
    pub(super) fn search_anew(
        &mut self,
        host: usize,
        candidate: Option<Hold>,
        head_too: bool,
    ) -> Searched {
        if self.is_large() || !self.is_whole {
            return Searched::GaveUp;
        }
        let is_asked = candidate.is_some_and(|hold| hold.holder == Holder::Head);
        let is_head = |hold: &&Hold| head_too && !is_asked && hold.holder == Holder::Head;
        let head = self.held.iter().flatten().find(is_head).copied();
        let comers: Vec<Hold> = candidate.into_iter().chain(head).collect();
        let mut holds = self.needed(&comers);
        holds.extend(head);
        let mut lists = vec![Vec::new(); self.hosts.len()];
        if let (Some(candidate), Some(list)) = (candidate, lists.get_mut(host)) {
            if self.stands(host, &[candidate]).is_err() {
                return Searched::Impossible;
            }
            list.push(candidate);
        }
        self.search(holds, lists)
    }

    /// As [`Self::admit`], by trying all hosts for all that is held beside the candidate.
    pub(super) fn search_beside(
        &mut self,
        shifts: &Shifts,
        host: usize,
        candidate: Option<Hold>,
    ) -> Option<Shifts> {
        if self.is_large() {
            return None;
        }
        let holds = self.all_held(shifts);
        let mut lists = vec![Vec::new(); self.hosts.len()];
        if let Some(candidate) = candidate {
            self.stands(host, &[candidate]).ok()?;
            lists.get_mut(host)?.push(candidate);
        }
        self.search(holds, lists).found()
    }

    /// Finds room for one more thing by moving all that is held.
    pub(super) fn search_with(&mut self, hold: Hold) -> Option<Shifts> {
        if self.is_large() {
            return None;
        }
        let mut holds = self.all_held(&Shifts::new());
        holds.push(hold);
        let lists = vec![Vec::new(); self.hosts.len()];
        self.search(holds, lists).found()
    }

    fn all_held(&self, shifts: &Shifts) -> Vec<Hold> {
        (0..self.hosts.len()).flat_map(|host| listed(shifts, &self.held, host)).collect()
    }

    fn search(&mut self, mut holds: Vec<Hold>, lists: Vec<Vec<Hold>>) -> Searched {
        if holds.len() > SEARCH_HOLDS_MAX || holds.iter().any(Hold::awaits_endless) {
            return Searched::GaveUp;
        }
        // Equal ones side by side: see `place_from`.
        holds.sort_by_key(|hold| (hold.from, hold.kind, hold.to));
        let mut search = Search { holds, lists, looks_left: SEARCH_LOOKS_MAX };
        if self.place_from(&mut search, 0, 0) {
            Searched::Found(search.lists.into_iter().enumerate().collect())
        } else if search.looks_left == 0 || self.looks_left == 0 {
            Searched::GaveUp
        } else {
            Searched::Impossible
        }
    }

    /// Places the holds from `index` on; the first of them on the hosts from `first` of its order
    /// on, because it is equal to the one before it and they may change places.
    fn place_from(&mut self, search: &mut Search, index: usize, first: usize) -> bool {
        let Some(&hold) = search.holds.get(index) else { return true };
        let is_equal =
            |next: &&Hold| (next.kind, next.from, next.to) == (hold.kind, hold.from, hold.to);
        let equal_next = search.holds.get(index + 1).filter(is_equal).is_some();
        for (place, &host) in self.order_for(hold.kind).iter().enumerate().skip(first) {
            if self.soonest(hold.kind, host).is_none_or(|soonest| soonest > hold.from) {
                continue;
            }
            if search.looks_left == 0 || self.looks_left == 0 {
                return false;
            }
            search.looks_left -= 1;
            let Some(before) = search.lists.get(host).cloned() else { continue };
            let mut list = before.clone();
            insert(&mut list, hold);
            if self.stands(host, &list).is_err() {
                continue;
            }
            set(search, host, list);
            if self.place_from(search, index + 1, if equal_next { place } else { 0 }) {
                return true;
            }
            set(search, host, before);
        }
        false
    }
}

fn set(search: &mut Search, host: usize, list: Vec<Hold>) {
    if let Some(present) = search.lists.get_mut(host) {
        *present = list;
    }
}

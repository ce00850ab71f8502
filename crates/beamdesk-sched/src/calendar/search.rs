//! Looks for any way at all to hold what is held, where moving one thing at a time finds none.

use super::{
    Calendar, Hold, SEARCH_HOLDS_MAX,
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

impl Calendar {
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
        self.search(holds, lists)
    }

    /// Finds room for one more thing by moving all that is held.
    pub(super) fn search_with(&mut self, hold: Hold) -> Option<Shifts> {
        if self.is_large() {
            return None;
        }
        let mut holds = self.all_held(&Shifts::new());
        holds.push(hold);
        let lists = vec![Vec::new(); self.hosts.len()];
        self.search(holds, lists)
    }

    fn all_held(&self, shifts: &Shifts) -> Vec<Hold> {
        (0..self.hosts.len()).flat_map(|host| listed(shifts, &self.held, host)).collect()
    }

    fn search(&mut self, mut holds: Vec<Hold>, lists: Vec<Vec<Hold>>) -> Option<Shifts> {
        if holds.len() > SEARCH_HOLDS_MAX || holds.iter().any(Hold::awaits_endless) {
            return None;
        }
        // Equal ones side by side: see `place_from`.
        holds.sort_by_key(|hold| (hold.from, hold.kind, hold.to));
        let mut search = Search { holds, lists, looks_left: SEARCH_LOOKS_MAX };
        self.place_from(&mut search, 0, 0).then(|| search.lists.into_iter().enumerate().collect())
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

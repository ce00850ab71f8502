//! Remembers who was refused where, from pass to pass.

use std::collections::HashMap;

use jiff::SignedDuration;

use crate::calendar::{Calendar, Kind};

/// Who was refused on which host: in which state of the host, and the shortest term. In the same
/// state it is refused again later, or for longer: it would end later, and in the way of the same.
/// Only that something else could be moved away by then goes unseen, so in a small calendar nothing
/// is remembered.
#[derive(Debug, Default)]
pub(super) struct Refusals(HashMap<Kind, Vec<Option<(u64, SignedDuration)>>>);

impl Refusals {
    pub(super) fn knows(
        &self,
        calendar: &Calendar,
        kind: Kind,
        term: Option<SignedDuration>,
        host: usize,
    ) -> bool {
        let known = self.0.get(&kind).and_then(|hosts| hosts.get(host)).copied().flatten();
        known.is_some_and(|(state, shortest)| {
            calendar.state(host) == Some(state) && shortest <= term.unwrap_or(SignedDuration::MAX)
        })
    }

    pub(super) fn note(
        &mut self,
        calendar: &Calendar,
        kind: Kind,
        term: Option<SignedDuration>,
        host: usize,
    ) {
        if calendar.is_large() && !calendar.is_tired() {
            let hosts = self.0.entry(kind).or_default();
            hosts.resize(calendar.hosts().len(), None);
            if let (Some(known), Some(state)) = (hosts.get_mut(host), calendar.state(host)) {
                *known = Some((state, term.unwrap_or(SignedDuration::MAX)));
            }
        }
    }
}

//! When those who wait will start: the same passes, at each time at which something changes.

use std::collections::HashMap;

use super::{Situation, Wait, desk::Desk};

/// Times that are looked at. Enough for all ends of a thousand desktops; who starts after that is
/// told no time.
const TIMES_MAX: usize = 4000;

/// Writes the estimates: exact if nobody else asks, everybody stays to the end of the term and
/// nothing else changes.
pub(super) fn forecast(desk: &mut Desk, situation: &Situation<'_>, waits: &mut [Wait]) {
    desk.calendar.look_anew();
    let mut starts = HashMap::new();
    for _ in 0..TIMES_MAX {
        if desk.waiting.is_empty() || desk.calendar.is_tired() {
            break;
        }
        let Some(next) = desk.calendar.next_change() else { break };
        desk.advance(next);
        if desk.anybody_fits() {
            let started = desk.step().into_iter();
            starts
                .extend(started.filter_map(|(job, _)| Some((situation.queue.get(job)?.id, next))));
        }
    }
    for wait in waits {
        wait.estimate = starts.get(&wait.id).copied();
    }
}

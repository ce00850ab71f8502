//! How often monitors may ask, and what they were last refused for. In memory: a restart forgives.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use beamdesk_types::{NodeName, Timestamp};

use crate::app::srm::Refused;

/// One report a second is ten times what a monitor sends.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// At once, after a rest: a report, all of it because the portal wants it, and a repetition or two.
const REPORTS_AT_ONCE: u32 = 5;
/// Making a key takes the portal a millisecond; a site of a thousand hosts is let in within minutes.
const ENROL_EVERY: Duration = Duration::from_millis(200);
const ENROLS_AT_ONCE: u32 = 50;
/// Each name has a certificate of ours, so this is only against a secret in wrong hands.
const NODES_MAX: usize = 10_000;
/// A refusal that goes on is logged again after so long.
const LOG_EVERY: Duration = Duration::from_secs(600);

/// What this portal knows of monitors besides their records.
#[derive(Debug, Default)]
pub(crate) struct Monitors {
    nodes: Mutex<HashMap<NodeName, Seen>>,
    enrols: Mutex<Pace>,
}

#[derive(Debug, Default)]
struct Seen {
    reports: Pace,
    refused: Option<RefusedReport>,
}

/// The newest report of a node that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedReport {
    pub(crate) refused: Refused,
    pub(crate) at: Timestamp,
    /// How many were refused for the same.
    pub(crate) count: u64,
    logged: Timestamp,
}

impl Monitors {
    pub(crate) fn may_report(&self, node: &NodeName, now: Timestamp) -> bool {
        let mut nodes = lock(&self.nodes);
        if nodes.len() >= NODES_MAX && !nodes.contains_key(node) {
            nodes.clear();
        }
        let seen = nodes.entry(node.clone()).or_default();
        seen.reports.take(now, REPORT_EVERY, REPORTS_AT_ONCE)
    }

    pub(crate) fn may_enrol(&self, now: Timestamp) -> bool {
        lock(&self.enrols).take(now, ENROL_EVERY, ENROLS_AT_ONCE)
    }

    /// Keeps it for administrators. True: it should be logged.
    pub(crate) fn refused(&self, node: &NodeName, refused: &Refused, now: Timestamp) -> bool {
        let mut nodes = lock(&self.nodes);
        let seen = nodes.entry(node.clone()).or_default();
        match &mut seen.refused {
            Some(last) if last.refused.code == refused.code => {
                last.refused.clone_from(refused);
                last.at = now;
                last.count = last.count.saturating_add(1);
                let logs = last.logged.checked_add(LOG_EVERY).is_ok_and(|next| next <= now);
                if logs {
                    last.logged = now;
                }
                logs
            }
            last => {
                let refused = refused.clone();
                *last = Some(RefusedReport { refused, at: now, count: 1, logged: now });
                true
            }
        }
    }

    /// The newest refusal of each node that was refused something.
    pub(crate) fn refusals(&self) -> HashMap<NodeName, RefusedReport> {
        let nodes = lock(&self.nodes);
        let refusal =
            |(node, seen): (&NodeName, &Seen)| Some((node.clone(), seen.refused.clone()?));
        nodes.iter().filter_map(refusal).collect()
    }

    /// An administrator has looked.
    pub(crate) fn forgive(&self, node: &NodeName) {
        lock(&self.nodes).remove(node);
    }
}

/// So many at once after a rest, and one in each interval.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When all that was taken will be made up for (GCRA's theoretical arrival time).
    due: Option<Timestamp>,
}

impl Pace {
    pub(crate) fn take(&mut self, now: Timestamp, every: Duration, at_once: u32) -> bool {
        // What lies farther ahead was not taken: the clock was set back.
        let whole = every.saturating_mul(at_once);
        let is_due = |due: &Timestamp| now.checked_add(whole).is_ok_and(|limit| *due <= limit);
        let due = self.due.filter(is_due).unwrap_or(now).max(now);
        let slack = every.saturating_mul(at_once.saturating_sub(1));
        let is_allowed = now.checked_add(slack).is_ok_and(|limit| due <= limit);
        if is_allowed {
            self.due = due.checked_add(every).ok();
        }
        is_allowed
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use beamdesk_types::Timestamp;

    use super::{Monitors, REPORTS_AT_ONCE};
    use crate::app::srm::Refused;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
    }

    #[test]
    fn a_few_reports_at_once_are_taken_and_then_one_a_second() {
        let monitors = Monitors::default();
        let (node, other) = ("a".parse().unwrap(), "b".parse().unwrap());
        for _ in 0..REPORTS_AT_ONCE {
            assert!(monitors.may_report(&node, at(0)));
        }
        assert!(!monitors.may_report(&node, at(0)));
        assert!(monitors.may_report(&other, at(0)), "each node has its own pace");
        assert!(!monitors.may_report(&node, at(999)));
        assert!(monitors.may_report(&node, at(1000)));
        assert!(!monitors.may_report(&node, at(1001)));
        // A flood of an hour, a thousand a second: one a second gets through.
        let taken = (0..3_600_000).filter(|ms| monitors.may_report(&node, at(2000 + ms))).count();
        assert!((3598..=3602).contains(&taken), "{taken}");
        // A clock that is set back stops nobody.
        assert!(monitors.may_report(&other, at(-3_600_000)));
    }

    #[test]
    fn what_was_refused_is_counted_and_logged_now_and_then() {
        let monitors = Monitors::default();
        let node = "a".parse().unwrap();
        let flood = Refused { code: "flood", detail: "x".to_owned() };
        let logged = (0..3600).filter(|s| monitors.refused(&node, &flood, at(s * 1000))).count();
        assert_eq!(logged, 6);
        assert_eq!(monitors.refusals()[&node].count, 3600);
        let old = Refused { code: "old_generation", detail: "y".to_owned() };
        assert!(monitors.refused(&node, &old, at(3_600_000)));
        assert_eq!(monitors.refusals()[&node].count, 1);
        monitors.forgive(&node);
        assert!(monitors.refusals().is_empty());
    }
}

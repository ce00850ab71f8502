//! What the reconciler remembers of a desktop between two looks. Losing it costs only time.

use std::time::Duration;

use tokio::time::Instant;

use crate::tasks::lifecycle::{Action, AgentSeen, Trouble};

/// The same call again within this time would only press the cloud.
const ACTION_AGAIN: Duration = Duration::from_secs(5);
/// Missed answers in a row before a ready agent is taken for dead.
const PROBES_MISSED_MAX: u32 = 3;
/// The longest wait after troubles in a row.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Doubled with each trouble in a row.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Memory {
    /// How the last action went wrong, until `step` has heard of it.
    pub(crate) trouble: Option<Trouble>,
    troubles: u32,
    probes_missed: u32,
    last_action: Option<(Action, Instant)>,
    /// Not looked at since this process began.
    pub(crate) first_look: bool,
}

impl Default for Memory {
    fn default() -> Self {
        Self { trouble: None, troubles: 0, probes_missed: 0, last_action: None, first_look: true }
    }
}

impl Memory {
    /// A person decided something: what went wrong before counts no more.
    pub(crate) fn refresh(&mut self) {
        self.troubles = 0;
        self.last_action = None;
    }

    /// Whether this was asked of the cloud a moment ago.
    pub(crate) fn is_repeat(&self, action: &Action) -> bool {
        let last = self.last_action.as_ref();
        last.is_some_and(|(last, at)| last == action && at.elapsed() < ACTION_AGAIN)
    }

    pub(crate) fn acted(&mut self, action: Action, outcome: Result<(), Trouble>) {
        self.last_action = Some((action, Instant::now()));
        match outcome {
            Ok(()) => self.troubles = 0,
            Err(trouble) => {
                self.trouble = Some(trouble);
                self.troubled();
            }
        }
    }

    pub(crate) fn troubled(&mut self) {
        self.troubles = self.troubles.saturating_add(1);
    }

    /// A whole pass went well.
    pub(crate) fn calmed(&mut self) {
        self.troubles = 0;
    }

    /// How long to leave the cloud alone after a trouble.
    pub(crate) fn backoff(&self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.troubles.saturating_sub(1).min(8));
        (BACKOFF_FIRST * doubled).min(BACKOFF_MAX)
    }

    pub(crate) fn probed(&mut self, up: bool) -> AgentSeen {
        if up {
            self.probes_missed = 0;
            return AgentSeen::Up;
        }
        self.probes_missed = self.probes_missed.saturating_add(1);
        if self.probes_missed >= PROBES_MISSED_MAX { AgentSeen::Silent } else { AgentSeen::Unsure }
    }

    pub(crate) fn is_probe_missed(&self) -> bool {
        self.probes_missed > 0
    }
}

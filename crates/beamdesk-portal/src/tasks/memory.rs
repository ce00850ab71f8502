//! What the reconciler remembers of a desktop between two looks. Losing it costs only time.

use std::time::Duration;

use beamdesk_cloud::{CloudError, ServerNote};
use beamdesk_store::CloudNote;
use tokio::time::Instant;

use crate::tasks::lifecycle::{Action, AgentSeen, Trouble, told};

/// The same call again within this time would only press the cloud.
const ACTION_AGAIN: Duration = Duration::from_secs(5);
/// Missed answers in a row before a ready agent is taken for dead.
const PROBES_MISSED_MAX: u32 = 3;
/// The longest wait after troubles in a row.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// The first after one that a person must mend: the cloud is not asked in vain every second.
const BACKOFF_BLOCKED: Duration = Duration::from_secs(10);
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
    /// What lasts, as pages tell it: a word and a text for operators.
    told: Option<(&'static str, String)>,
    /// It was looked for and not found out about; looking again may clear it.
    is_unseen: bool,
    is_blocked: bool,
    /// What the cloud's administrators did with its server.
    state: Option<ServerNote>,
    /// As the database has it; `None`: not read yet.
    pub(crate) noted: Option<CloudNote>,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            trouble: None,
            troubles: 0,
            probes_missed: 0,
            last_action: None,
            first_look: true,
            told: None,
            is_unseen: false,
            is_blocked: false,
            state: None,
            noted: None,
        }
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
            Ok(()) => {
                self.troubles = 0;
                self.settled();
            }
            Err(trouble) => {
                self.tell(&trouble);
                self.trouble = Some(trouble);
                self.troubled();
            }
        }
    }

    /// Keeps for pages what went wrong.
    fn tell(&mut self, trouble: &Trouble) {
        self.told = trouble.code().map(|code| (code, trouble.text().to_owned()));
        self.is_unseen = false;
        self.is_blocked = matches!(trouble, Trouble::Blocked { .. });
    }

    /// The cloud did not say how its server is.
    pub(crate) fn missed(&mut self, error: &CloudError) {
        self.told = Some((error.code(), told(error)));
        self.is_unseen = true;
        self.is_blocked = matches!(error, CloudError::Credentials { .. });
    }

    /// The cloud said how its server is.
    pub(crate) fn saw(&mut self, state: Option<&ServerNote>) {
        if self.is_unseen {
            self.settled();
        }
        self.state = state.cloned();
    }

    fn settled(&mut self) {
        self.told = None;
        self.is_unseen = false;
        self.is_blocked = false;
    }

    /// What to tell on pages. One answer that went lost is nothing to speak of.
    pub(crate) fn note(&self) -> CloudNote {
        let told = self.told.as_ref().filter(|_| self.is_blocked || self.troubles > 1);
        let own_word = match &self.state {
            Some(ServerNote::Unknown(word)) => word.as_str(),
            Some(_) | None => "",
        };
        CloudNote {
            state: self.state.as_ref().map(|state| state.code().to_owned()),
            trouble: told.map(|(code, _)| (*code).to_owned()),
            detail: told.map_or(own_word, |(_, text)| text).to_owned(),
        }
    }

    pub(crate) fn troubled(&mut self) {
        self.troubles = self.troubles.saturating_add(1);
    }

    /// A whole pass went well.
    pub(crate) fn calmed(&mut self) {
        self.troubles = 0;
        self.settled();
    }

    /// How long to leave the cloud alone after a trouble.
    pub(crate) fn backoff(&self) -> Duration {
        let doubled = 2_u32.saturating_pow(self.troubles.saturating_sub(1).min(8));
        let first = if self.is_blocked { BACKOFF_BLOCKED } else { BACKOFF_FIRST };
        (first * doubled).min(BACKOFF_MAX)
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

//! Tells open pages and the reconciler that something changed, here and at other portals.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use beamdesk_types::{DesktopId, SessionId};
use tokio::sync::{Notify, watch};

use crate::app::notices::{Notice, Notices};

/// Open pages of one session that hear of changes; each costs a list for every change.
const FEEDS_PER_SESSION_MAX: usize = 32;

/// Carries no content: who hears it reads the database again.
#[derive(Debug)]
pub(crate) struct Events {
    version: watch::Sender<u64>,
    /// Desktops to be looked at that the reconciler has not heard of yet, and whether a person
    /// decided something; as many as desktops at most.
    wanted: Mutex<HashMap<DesktopId, bool>>,
    wake: Notify,
    /// All rows are to be looked at: nobody told us of some.
    rows: Notify,
    /// Nobody leads, perhaps.
    vacant: Notify,
    feeds: Arc<Mutex<HashMap<SessionId, usize>>>,
    notices: Notices,
}

/// The right to hear of changes; given back when dropped.
#[derive(Debug)]
pub(crate) struct Feeding {
    feeds: Arc<Mutex<HashMap<SessionId, usize>>>,
    session: SessionId,
}

impl Drop for Feeding {
    fn drop(&mut self) {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = feeds.get_mut(&self.session) {
            *count -= 1;
            if *count == 0 {
                feeds.remove(&self.session);
            }
        }
    }
}

impl Default for Events {
    fn default() -> Self {
        let (version, _) = watch::channel(0);
        Self {
            version,
            wanted: Mutex::default(),
            wake: Notify::new(),
            rows: Notify::new(),
            vacant: Notify::new(),
            feeds: Arc::default(),
            notices: Notices::default(),
        }
    }
}

impl Events {
    /// Something that pages show changed.
    pub(crate) fn changed(&self) {
        self.changed_elsewhere();
        self.notices.changed();
    }

    fn changed_elsewhere(&self) {
        self.version.send_modify(|version| *version = version.wrapping_add(1));
    }

    /// What other portals are to hear.
    pub(crate) fn notices(&self) -> &Notices {
        &self.notices
    }

    /// `None`: this session has too many open pages.
    pub(crate) fn feed(&self, session: SessionId) -> Option<Feeding> {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        let count = feeds.entry(session).or_default();
        if *count >= FEEDS_PER_SESSION_MAX {
            return None;
        }
        *count += 1;
        Some(Feeding { feeds: self.feeds.clone(), session })
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// A person set this desktop's goal: it comes before all that waits.
    pub(crate) fn want(&self, desktop: DesktopId) {
        self.wanted_elsewhere(desktop);
        self.notices.wanted(desktop);
        self.changed();
    }

    fn wanted_elsewhere(&self, desktop: DesktopId) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).insert(desktop, true);
        self.wake.notify_one();
    }

    /// Another portal told it.
    pub(crate) fn heard(&self, notice: Notice) {
        if notice.many {
            self.rows.notify_one();
        }
        for desktop in notice.wanted {
            self.wanted_elsewhere(desktop);
        }
        if notice.vacant {
            self.vacant.notify_one();
        }
        if notice.changed || notice.many {
            self.changed_elsewhere();
        }
    }

    /// Other portals may have told something that was not heard.
    pub(crate) fn may_have_missed(&self) {
        self.rows.notify_one();
        self.vacant.notify_one();
        self.changed_elsewhere();
    }

    /// This portal leads no more; another may at once.
    pub(crate) fn give_up(&self) {
        self.notices.vacant();
    }

    /// Waits until all rows are to be looked at.
    pub(crate) async fn rows(&self) {
        self.rows.notified().await;
    }

    /// Waits until it is told that nobody leads.
    pub(crate) async fn vacant(&self) {
        self.vacant.notified().await;
    }

    /// There is something new for this desktop: it got room.
    pub(crate) fn look(&self, desktop: DesktopId) {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).entry(desktop).or_default();
        self.wake.notify_one();
    }

    /// Waits until there is something to look at, then says what, and whether a person decided it.
    pub(crate) async fn wanted(&self) -> HashMap<DesktopId, bool> {
        self.wake.notified().await;
        std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

//! What this portal has to tell all others, put together until it is sent.
//!
//! A page may be open at one portal, its owner's click come to a second and the tasks run on a
//! third. Notices carry no facts: whoever hears one looks at the database.

use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use beamdesk_store::NOTICE_BYTES_MAX;
use beamdesk_types::DesktopId;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

/// Desktops one notice names; more than that are looked for in the database.
const WANTED_MAX: usize = 128;
/// An id has 36 characters, quotes and a comma; the rest of a notice is short.
const _: () = assert!(WANTED_MAX * 39 + 200 < NOTICE_BYTES_MAX);

/// One notice, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Notice {
    /// The process that sent it: it knows already.
    from: Uuid,
    /// Something that pages show changed.
    pub(crate) changed: bool,
    /// Something that a plan depends on changed.
    pub(crate) plan: bool,
    /// People set these desktops' goals.
    pub(crate) wanted: BTreeSet<DesktopId>,
    /// There may be more such desktops.
    pub(crate) many: bool,
    /// The leader leads no more.
    pub(crate) vacant: bool,
}

/// What is to be sent. Cheap to clone; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Notices {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    me: Uuid,
    waiting: Mutex<Notice>,
    wake: Notify,
}

impl Default for Notices {
    fn default() -> Self {
        let me = Uuid::now_v7();
        let waiting = Mutex::new(Notice::default());
        Self { inner: Arc::new(Inner { me, waiting, wake: Notify::new() }) }
    }
}

impl Notices {
    pub(crate) fn changed(&self) {
        self.add(|notice| notice.changed = true);
    }

    pub(crate) fn plan(&self) {
        self.add(|notice| notice.plan = true);
    }

    pub(crate) fn wanted(&self, desktop: DesktopId) {
        self.add(|notice| {
            if notice.wanted.len() < WANTED_MAX {
                notice.wanted.insert(desktop);
            } else {
                notice.many = true;
            }
        });
    }

    pub(crate) fn vacant(&self) {
        self.add(|notice| notice.vacant = true);
    }

    /// Waits until there is something to send, and takes it as text.
    pub(crate) async fn next(&self) -> String {
        loop {
            if let Some(text) = self.take() {
                return text;
            }
            self.inner.wake.notified().await;
        }
    }

    /// What there is to send, if anything.
    pub(crate) fn take(&self) -> Option<String> {
        let empty = Notice { from: self.inner.me, ..Notice::default() };
        let mut waiting = self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let notice = mem::take(&mut *waiting);
        drop(waiting);
        let notice = Notice { from: self.inner.me, ..notice };
        (notice != empty).then(|| serde_json::to_string(&notice).expect("a notice is always JSON"))
    }

    /// What another portal sent; `None` for one's own. One that is not understood, of a newer
    /// portal perhaps, says that anything may have changed.
    pub(crate) fn read(&self, text: &str) -> Option<Notice> {
        let all = Notice { changed: true, plan: true, many: true, ..Notice::default() };
        let notice: Notice = serde_json::from_str(text).unwrap_or(all);
        (notice.from != self.inner.me).then_some(notice)
    }

    fn add(&self, change: impl FnOnce(&mut Notice)) {
        change(&mut self.inner.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.inner.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use beamdesk_types::DesktopId;

    use super::{NOTICE_BYTES_MAX, Notices, WANTED_MAX};

    #[test]
    fn what_waits_is_told_together_and_once() {
        let (here, there) = (Notices::default(), Notices::default());
        assert_eq!(here.take(), None);
        here.changed();
        here.wanted(DesktopId::from_u128(7));
        here.wanted(DesktopId::from_u128(7));
        let text = here.take().unwrap();
        assert_eq!(here.take(), None);
        assert_eq!(here.read(&text), None, "its own");
        let heard = there.read(&text).unwrap();
        assert_eq!(
            (heard.changed, heard.plan, heard.many, heard.vacant),
            (true, false, false, false)
        );
        assert_eq!(heard.wanted.into_iter().collect::<Vec<_>>(), [DesktopId::from_u128(7)]);
    }

    #[test]
    fn a_flood_fits_one_notice_that_says_so() {
        let (here, there) = (Notices::default(), Notices::default());
        for _ in 0..1000 {
            here.wanted(DesktopId::fresh());
        }
        let text = here.take().unwrap();
        assert!(text.len() < NOTICE_BYTES_MAX, "{}", text.len());
        let heard = there.read(&text).unwrap();
        assert_eq!((heard.wanted.len(), heard.many), (WANTED_MAX, true));
    }

    #[test]
    fn what_is_not_understood_means_look_at_everything() {
        let there = Notices::default();
        for text in ["", "{", r#"{"wanted":["no id"]}"#] {
            let heard = there.read(text).unwrap();
            assert!(heard.changed && heard.plan && heard.many, "{text}");
        }
    }
}

//! Looking for the servers of many desktops without asking Nova for each.
//!
//! A reconciler looks at everything that changes ten times a second. So one question at a time
//! goes to Nova, it is for all that wait, and where it can be it is for what has changed only. The
//! slower Nova answers, the seldomer it is asked: an answer costs it calls to Neutron too, and it
//! has servers to make.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use beamdesk_types::{DesktopId, Timestamp};
use jiff::SignedDuration;
use tokio::time::Instant;

use super::{ApiError, OpenStack, Service, server::NovaServer};

/// What was heard so short a time ago is still so, unless we changed it since. Nova takes longer
/// for anything.
const FRESH: Duration = Duration::from_secs(1);
/// The same of a slow Nova: people wait for what it tells.
const FRESH_MAX: Duration = Duration::from_secs(5);
/// It rests so many times as long as its last answer took: so looking takes a fifth of its time.
const REST: u32 = 4;
/// From so many that wait, one question for all costs Nova less than one for each.
const MANY: usize = 3;
/// A list of all that is older is no ground for one of changes: those leave out what was deleted.
const BASE_AGE: Duration = Duration::from_secs(60);
/// Clocks of a cloud's conductors differ by less.
const OVERLAP: SignedDuration = SignedDuration::from_secs(30);

/// What was last heard, and when the question for it was asked.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    heard: HashMap<DesktopId, Heard>,
    /// When we last changed something ourselves: what was heard before is old.
    changed: HashMap<DesktopId, Instant>,
    base: Option<Base>,
}

#[derive(Debug)]
struct Heard {
    servers: Vec<NovaServer>,
    asked: Instant,
}

/// A list of all, and the changes that were asked for after it.
#[derive(Debug)]
struct Base {
    listed: Instant,
    asked: Instant,
    /// The last change in it, by Nova's clock.
    newest: Option<Timestamp>,
}

impl Sheet {
    /// The servers of a desktop, if they were asked for since then and since our last change.
    fn known(&self, desktop: DesktopId, since: Instant) -> Option<Vec<NovaServer>> {
        let heard = self.heard.get(&desktop);
        let of_all = self.base.as_ref().filter(|_| !self.is_going(desktop)).map(|base| base.asked);
        let asked = heard.map(|heard| heard.asked).max(of_all)?;
        let changed = self.changed.get(&desktop);
        if asked < since || changed.is_some_and(|changed| asked <= *changed) {
            return None;
        }
        Some(heard.map(|heard| heard.servers.clone()).unwrap_or_default())
    }

    /// Whether its end is awaited: lists of changes are silent about that.
    fn is_going(&self, desktop: DesktopId) -> bool {
        let heard = self.heard.get(&desktop);
        heard.is_some_and(|heard| heard.servers.iter().any(NovaServer::is_going))
    }

    /// From when on changes are to be asked for; `None`: all is.
    fn changes_since(&self, now: Instant) -> Option<Timestamp> {
        let base = self.base.as_ref()?;
        if now.duration_since(base.listed) > BASE_AGE {
            return None;
        }
        base.newest?.checked_sub(OVERLAP).ok()
    }

    fn heard_one(&mut self, desktop: DesktopId, servers: Vec<NovaServer>, asked: Instant) {
        self.heard.insert(desktop, Heard { servers, asked });
    }

    fn heard_all(&mut self, servers: Vec<NovaServer>, asked: Instant) {
        // Later answers about one of them stay.
        self.heard.retain(|_, heard| heard.asked > asked);
        self.changed.retain(|_, changed| *changed >= asked);
        let newest = newest(&servers);
        for (desktop, servers) in by_desktop(servers) {
            self.heard.entry(desktop).or_insert(Heard { servers, asked });
        }
        self.base = Some(Base { listed: asked, asked, newest });
    }

    fn heard_changes(&mut self, servers: Vec<NovaServer>, asked: Instant) {
        let newest = newest(&servers);
        for (desktop, changed) in by_desktop(servers) {
            let heard = self.heard.entry(desktop);
            let heard = heard.or_insert_with(|| Heard { servers: Vec::new(), asked });
            if heard.asked > asked {
                continue;
            }
            heard.asked = asked;
            heard.servers.retain(|known| changed.iter().all(|server| server.id != known.id));
            heard.servers.extend(changed);
        }
        if let Some(base) = &mut self.base {
            base.asked = base.asked.max(asked);
            base.newest = base.newest.max(newest);
        }
    }
}

fn by_desktop(servers: Vec<NovaServer>) -> HashMap<DesktopId, Vec<NovaServer>> {
    let mut sorted: HashMap<DesktopId, Vec<NovaServer>> = HashMap::new();
    for server in servers {
        if let Some(desktop) = server.desktop() {
            sorted.entry(desktop).or_default().push(server);
        }
    }
    sorted
}

fn newest(servers: &[NovaServer]) -> Option<Timestamp> {
    servers.iter().filter_map(|server| server.updated.parse().ok()).max()
}

#[derive(Debug, Default)]
pub(super) struct Lookups {
    sheet: Mutex<Sheet>,
    /// Held by who asks Nova.
    asking: tokio::sync::Mutex<()>,
    waiting: AtomicUsize,
    /// How long Nova took for its last answer, milliseconds.
    took_ms: AtomicU64,
}

/// Counts one that waits, for as long as it lives.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lookups {
    fn sheet(&self) -> MutexGuard<'_, Sheet> {
        self.sheet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(&self.waiting)
    }

    fn fresh(&self) -> Duration {
        fresh(Duration::from_millis(self.took_ms.load(Ordering::Relaxed)))
    }

    fn answered(&self, asked: Instant) {
        let took = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.took_ms.store(took, Ordering::Relaxed);
    }

    /// What Nova answered when it was asked for one of its servers.
    pub(super) fn heard_one(&self, desktop: DesktopId, server: NovaServer, asked: Instant) {
        self.answered(asked);
        self.sheet().heard_one(desktop, vec![server], asked);
    }

    /// We changed something of it.
    pub(super) fn changed(&self, desktop: DesktopId) {
        self.sheet().changed.insert(desktop, Instant::now());
    }

    /// A list of all that somebody else asked for.
    pub(super) fn heard_all(&self, servers: &[NovaServer], asked: Instant) {
        self.sheet().heard_all(servers.to_vec(), asked);
    }
}

/// How old what was heard may be, where the last answer took so long.
fn fresh(took: Duration) -> Duration {
    took.saturating_mul(REST).clamp(FRESH, FRESH_MAX)
}

impl OpenStack {
    /// The servers of a desktop as Nova tells of them, [`FRESH`] to [`FRESH_MAX`] ago.
    pub(super) async fn look_up(&self, desktop: DesktopId) -> Result<Vec<NovaServer>, ApiError> {
        let lookups = self.lookups();
        let arrived = Instant::now();
        let since = arrived.checked_sub(lookups.fresh()).unwrap_or(arrived);
        if let Some(known) = lookups.sheet().known(desktop, since) {
            return Ok(known);
        }
        let _waits = lookups.wait();
        let _one_question = lookups.asking.lock().await;
        // Whoever had the turn before may have asked for us too.
        if let Some(known) = lookups.sheet().known(desktop, since) {
            return Ok(known);
        }
        if lookups.waiting.load(Ordering::Relaxed) >= MANY {
            self.ask_for_all().await?;
            if let Some(known) = lookups.sheet().known(desktop, since) {
                return Ok(known);
            }
        }
        let asked = Instant::now();
        let servers = self.tagged(desktop).await?;
        lookups.answered(asked);
        lookups.sheet().heard_one(desktop, servers.clone(), asked);
        Ok(servers)
    }

    async fn ask_for_all(&self) -> Result<(), ApiError> {
        let asked = Instant::now();
        let since = self.lookups().sheet().changes_since(asked);
        let Some(since) = since else {
            self.all().await?;
            self.lookups().answered(asked);
            return Ok(());
        };
        let tag = self.config().deployment.tag();
        let query = [("tags", tag), ("changes-since", since.to_string())];
        let mut changed: Vec<NovaServer> =
            self.client().pages(Service::Compute, "/servers/detail", &query, "servers").await?;
        self.lookups().answered(asked);
        changed.retain(|server| self.is_ours(server));
        self.lookups().sheet().heard_changes(changed, asked);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use beamdesk_types::DesktopId;
    use tokio::time::Instant;

    use super::{Sheet, fresh};
    use crate::openstack::server::{NovaServer, tests::answered};

    fn server(id: &str, vm_state: &str, updated: &str) -> NovaServer {
        let mut server = answered(vm_state, "");
        (server.id, server.updated) = (id.to_owned(), updated.to_owned());
        server
    }

    fn desktop() -> DesktopId {
        answered("active", "").desktop().unwrap()
    }

    fn states(sheet: &Sheet, since: Instant) -> Option<Vec<String>> {
        let known = sheet.known(desktop(), since)?;
        Some(known.iter().map(|server| server.vm_state().to_owned()).collect())
    }

    const T1: &str = "2026-01-01T00:00:10Z";
    const T2: &str = "2026-01-01T00:01:00Z";
    const S: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn what_was_asked_for_since_then_is_known() {
        let (mut sheet, now) = (Sheet::default(), Instant::now());
        assert_eq!(states(&sheet, now), None);
        sheet.heard_one(desktop(), vec![server("a", "building", T1)], now + S);
        assert_eq!(states(&sheet, now + S).unwrap(), ["building"]);
        assert_eq!(states(&sheet, now + 2 * S), None, "it is old");
    }

    #[test]
    fn a_slow_nova_is_asked_seldomer() {
        let millis = Duration::from_millis;
        let fresh = [20, 250, 600, 9000].map(|took| fresh(millis(took)));
        assert_eq!(fresh, [1000, 1000, 2400, 5000].map(millis));
    }

    #[tokio::test]
    async fn a_list_of_all_says_also_who_has_none() {
        let (mut sheet, now) = (Sheet::default(), Instant::now());
        sheet.heard_one(desktop(), vec![server("a", "active", T1)], now);
        sheet.heard_all(vec![], now + S);
        assert_eq!(states(&sheet, now + S).unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn a_later_answer_about_one_is_not_lost_to_a_list_that_began_before() {
        let (mut sheet, now) = (Sheet::default(), Instant::now());
        sheet.heard_one(desktop(), vec![server("a", "active", T1)], now + S);
        sheet.heard_all(vec![server("a", "building", T1)], now);
        assert_eq!(states(&sheet, now).unwrap(), ["active"]);
    }

    #[tokio::test]
    async fn what_we_changed_must_be_asked_for_after_it() {
        let (mut sheet, now) = (Sheet::default(), Instant::now());
        sheet.heard_all(vec![server("a", "active", T1)], now);
        sheet.changed.insert(desktop(), now + S);
        assert_eq!(states(&sheet, now), None);
        // Asked before the change, answered after it.
        sheet.heard_all(vec![server("a", "active", T1)], now + S / 2);
        assert_eq!(states(&sheet, now), None);
        sheet.heard_changes(vec![server("a", "stopped", T2)], now + 2 * S);
        assert_eq!(states(&sheet, now).unwrap(), ["stopped"]);
    }

    #[tokio::test]
    async fn changes_build_on_a_list_that_is_not_old() {
        let (mut sheet, now) = (Sheet::default(), Instant::now());
        assert_eq!(sheet.changes_since(now), None);
        sheet.heard_all(vec![server("a", "building", T1)], now);
        let since = sheet.changes_since(now + S).unwrap();
        assert_eq!(since.to_string(), "2025-12-31T23:59:40Z");
        sheet.heard_changes(vec![server("a", "active", T2)], now + 2 * S);
        assert_eq!(states(&sheet, now + 2 * S).unwrap(), ["active"]);
        let since = sheet.changes_since(now + 3 * S).unwrap();
        assert_eq!(since.to_string(), "2026-01-01T00:00:30Z");
        sheet.heard_changes(vec![], now + 4 * S);
        assert_eq!(states(&sheet, now + 4 * S).unwrap(), ["active"], "nothing changed");
        assert_eq!(sheet.changes_since(now + 61 * S), None);
    }

    #[tokio::test]
    async fn the_end_of_one_is_never_taken_from_a_list_of_changes() {
        let (mut sheet, now) = (Sheet::default(), Instant::now());
        let mut going = server("a", "active", T1);
        going.task_state = Some("deleting".to_owned());
        sheet.heard_all(vec![going], now);
        sheet.heard_changes(vec![], now + 2 * S);
        assert_eq!(states(&sheet, now + S), None, "it is to be asked for by itself");
        sheet.heard_one(desktop(), vec![], now + 3 * S);
        assert_eq!(states(&sheet, now + 3 * S).unwrap(), [""; 0]);
    }
}

//! Brings every desktop to its goal: one pass at a time for each, many desktops at once.
//!
//! The goal may be set, the cloud may change, the process may die at any moment; a pass begins
//! from the row and from what the cloud says, and never from what an earlier pass believed.

use std::{collections::HashMap, time::Duration};

use beamdesk_store::StoreError;
use beamdesk_types::DesktopId;
use tokio::{
    task::{Id, JoinSet},
    time::Instant,
};
use tracing::{Instrument as _, error, info_span, warn};

use crate::{
    App, PortalError,
    tasks::{
        memory::Memory,
        pass::{Outcome, pass},
    },
};

/// Passes at once: bounds calls to the cloud and connections to the database.
const PASSES_MAX: usize = 32;
/// How often rows are read that nobody told us of, as those another portal wrote.
const SCAN_EVERY: Duration = Duration::from_secs(5);
/// What passes under way may take to end at shutdown. Cut off, they are found at the next start.
const DRAIN: Duration = Duration::from_secs(5);
/// After a pass that panicked: so that it does not fill the log.
const PANIC_AGAIN: Duration = Duration::from_secs(30);

/// Runs until shutdown.
pub(crate) async fn reconcile(app: App) {
    let mut reconciler = Reconciler {
        watches: HashMap::new(),
        passes: JoinSet::new(),
        running: HashMap::new(),
        app: app.clone(),
    };
    let mut scan_due = Instant::now();
    loop {
        if Instant::now() >= scan_due {
            reconciler.scan().await;
            scan_due = Instant::now() + SCAN_EVERY;
        }
        let next = reconciler.start_due().map_or(scan_due, |due| due.min(scan_due));
        tokio::select! {
            () = app.shutdown.cancelled() => break,
            wanted = app.events().wanted() => {
                for (desktop, is_decided) in wanted {
                    if is_decided {
                        app.planning().forgive(desktop);
                    }
                    reconciler.watches.entry(desktop).or_default().want(is_decided);
                }
            }
            Some(ended) = reconciler.passes.join_next_with_id() => reconciler.ended(ended),
            () = app.events().rows() => scan_due = Instant::now(),
            () = tokio::time::sleep_until(next) => {}
        }
    }
    reconciler.drain().await;
}

struct Reconciler {
    app: App,
    /// One for each desktop that is not deleted.
    watches: HashMap<DesktopId, Watch>,
    passes: JoinSet<(Memory, Result<Outcome, PortalError>)>,
    running: HashMap<Id, DesktopId>,
}

/// When to look at a desktop again.
struct Watch {
    due: Instant,
    /// `None` while a pass has it.
    memory: Option<Memory>,
    /// To be looked at again after the pass under way; true: a person decided something.
    wanted: Option<bool>,
    /// Of the row, when all rows were last read.
    revision: Option<i64>,
}

impl Default for Watch {
    fn default() -> Self {
        let memory = Some(Memory::default());
        Self { due: Instant::now(), memory, wanted: None, revision: None }
    }
}

impl Watch {
    fn want(&mut self, is_decided: bool) {
        match &mut self.memory {
            Some(memory) => {
                if is_decided {
                    memory.refresh();
                }
                self.due = Instant::now();
            }
            None => self.wanted = Some(is_decided || self.wanted == Some(true)),
        }
    }
}

type Ended = Result<(Id, (Memory, Result<Outcome, PortalError>)), tokio::task::JoinError>;

impl Reconciler {
    async fn scan(&mut self) {
        match self.app.store.open_desktops().await {
            Ok(rows) => {
                for desktop in rows {
                    let watch = self.watches.entry(desktop.id).or_default();
                    // Written by somebody, perhaps by another portal whose notice was lost.
                    if watch.revision.replace(desktop.revision) != Some(desktop.revision) {
                        watch.want(false);
                    }
                }
            }
            Err(error) => warn!(%error, "Could not read the desktops, will try again"),
        }
    }

    /// Starts what is due, the longest due first. Says when the next one is.
    fn start_due(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let (mut due, mut next) = (Vec::new(), None::<Instant>);
        for (id, watch) in self.watches.iter().filter(|(_, watch)| watch.memory.is_some()) {
            if watch.due <= now {
                due.push((watch.due, *id));
            } else {
                next = Some(next.map_or(watch.due, |next| next.min(watch.due)));
            }
        }
        due.sort_unstable();
        for (_, desktop) in due {
            if self.passes.len() >= PASSES_MAX {
                return None; // The end of a pass wakes us.
            }
            self.start(desktop);
        }
        next
    }

    fn start(&mut self, desktop: DesktopId) {
        let Some(watch) = self.watches.get_mut(&desktop) else { return };
        let Some(mut memory) = watch.memory.take() else { return };
        let app = self.app.clone();
        let looked = async move {
            // On the heap: many wait at once, and it is large.
            let outcome = app.guarded(Box::pin(pass(&app, desktop, &mut memory))).await;
            (memory, outcome.unwrap_or(Err(PortalError::Store(StoreError::NotLeader))))
        };
        let span = info_span!("reconcile", desktop.id = %desktop);
        let task = self.passes.spawn(looked.instrument(span));
        self.running.insert(task.id(), desktop);
    }

    fn ended(&mut self, ended: Ended) {
        let id = match &ended {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let Some(desktop) = self.running.remove(&id) else { return };
        let (memory, again) = match ended {
            Ok((_, (_, Ok(Outcome::Gone)))) => {
                self.watches.remove(&desktop);
                self.app.planning().counts(desktop, false);
                self.app.planning().forgive(desktop);
                return;
            }
            Ok((_, (memory, Ok(Outcome::Again(after))))) => (memory, after),
            Ok((_, (mut memory, Err(error)))) => {
                memory.troubled();
                let again = memory.backoff();
                warn!(desktop.id = %desktop, %error, cause = cause(&error), "Could not look after a desktop, will try again");
                (memory, again)
            }
            Err(error) => {
                error!(desktop.id = %desktop, %error, "A pass broke, will try again");
                (Memory::default(), PANIC_AGAIN)
            }
        };
        let Some(watch) = self.watches.get_mut(&desktop) else { return };
        watch.memory = Some(memory);
        watch.due = Instant::now() + again;
        if let Some(is_decided) = watch.wanted.take() {
            watch.want(is_decided);
        }
    }

    async fn drain(&mut self) {
        let passes = &mut self.passes;
        let all = async { while passes.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            self.passes.shutdown().await;
        }
    }
}

fn cause(error: &PortalError) -> Option<String> {
    std::error::Error::source(error).map(ToString::to_string)
}

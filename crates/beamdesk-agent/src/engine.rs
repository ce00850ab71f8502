//! The thread that owns the picture, the input and all viewers.
//!
//! ```text
//!         ┌── wait: the source, a command, or time ──┐
//!         ▼                                          │
//!      commands ──► capture, if a viewer has room ──►│ frames to those with room ──► exact?
//! ```
//! A picture is captured only when some viewer's flow control has room for a frame, and each viewer
//! gets the newest picture when it has; nothing older is ever kept.

mod frame;
mod gauge;
mod handle;
mod slices;
mod video;
mod viewer;
mod wishes;

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use beamdesk_media::{CursorImage, Encoders, Event, FrameSource, InputSink};
use beamdesk_proto::{control::AgentMessage, wire::Message};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use crate::{AgentError, local::Board};
use handle::{COMMANDS_MAX, WakesOnDrop};
use viewer::{Common, Viewer};

pub use handle::{Command, Handle, Seen, ViewerId};

/// Viewers of one desktop: each costs its encoder's memory and time.
pub const VIEWERS_MAX: usize = 8;
/// Commands taken before the picture gets its turn.
const COMMANDS_AT_ONCE: usize = 64;
/// Commands may come without a pause; after so many the picture is looked at unasked.
const WOKEN_IN_A_ROW: u32 = 8;
/// While something moves as video, changes in between wait so long to be looked at: half a frame.
const CAPTURE_GAP: Duration = Duration::from_millis(8);
/// More than this is no small change any more.
const GLANCE_TILES_MAX: usize = 16;
/// Failed captures in a row that are its end.
const FAILURES_MAX: u32 = 20;

/// Starts the engine's thread. It ends with `Ok` when every [`Handle`] is gone.
pub fn start(
    source: Box<dyn FrameSource>,
    input: Box<dyn InputSink>,
    encoders: Arc<Encoders>,
    clock: fn() -> Instant,
) -> Result<(Handle, thread::JoinHandle<Result<(), AgentError>>), AgentError> {
    let (commands_in, commands) = mpsc::channel(COMMANDS_MAX);
    let (seen_in, seen) = watch::channel(Seen { size: source.size(), viewers: 0 });
    let handle = Handle { commands: commands_in, seen, waker: WakesOnDrop(source.waker()) };
    let common = Common { encoders, waker: source.waker(), clock };
    let engine = Engine {
        source,
        input,
        clock,
        common,
        started: clock(),
        captured: None,
        capture_time: Duration::ZERO,
        commands,
        seen: seen_in,
        viewers: BTreeMap::new(),
        board: Board::default(),
        cursor: CursorImage::default().message(),
        failures: 0,
    };
    let thread = thread::Builder::new()
        .name("engine".to_owned())
        .spawn(move || engine.run())
        .map_err(AgentError::system("cannot start the engine's thread"))?;
    Ok((handle, thread))
}

/// Whether a capture found something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    Yes,
    No,
    /// It failed.
    Unknown,
}

struct Engine {
    source: Box<dyn FrameSource>,
    input: Box<dyn InputSink>,
    clock: fn() -> Instant,
    common: Common,
    started: Instant,
    /// When a capture last found something, and how long captures take of late.
    captured: Option<Instant>,
    capture_time: Duration,
    commands: mpsc::Receiver<Command>,
    seen: watch::Sender<Seen>,
    viewers: BTreeMap<ViewerId, Viewer>,
    /// What programs show and mark.
    board: Board,
    /// The newest pointer, as a message.
    cursor: Bytes,
    /// Captures that failed since the last that did not.
    failures: u32,
}

impl Engine {
    fn run(mut self) -> Result<(), AgentError> {
        let done = self.turns();
        if let Err(error) = &done {
            warn!(error = %error, "Engine ends");
            for viewer in self.viewers.values_mut() {
                viewer.tell(&AgentMessage::Notice { code: "x_server_gone".to_owned() });
            }
        }
        done
    }

    fn turns(&mut self) -> Result<(), AgentError> {
        let mut woken = 0;
        loop {
            if !self.take_commands()? {
                return Ok(());
            }
            let now = (self.clock)();
            self.drop_lost(now);
            self.viewers.values_mut().for_each(|viewer| viewer.take_video(now));
            if self.viewers.values().any(|viewer| viewer.wants_picture(now)) {
                // Encoded as late as can be, so that nothing newer waits behind it; and what was
                // not looked at lately does not count as at rest.
                self.capture()?;
            }
            self.send_frames(now)?;
            let now = (self.clock)();
            let has_room = self.viewers.values().any(|viewer| viewer.has_room(now));
            let pause = self.pause(now).filter(|_| has_room);
            self.source.mute(!has_room || pause.is_some());
            let wakes = self.viewers.values().filter_map(|viewer| viewer.wakes_at(now));
            let slices =
                self.viewers.values().filter_map(|viewer| viewer.sends_at(&self.board, now));
            let deadline = wakes.chain(slices).chain(pause).min();
            match self.source.wait(deadline)? {
                Event::Changed => {
                    woken = 0;
                    self.capture()?;
                }
                Event::Cursor => self.show_cursor(),
                Event::Resized => self.restart_viewers()?,
                Event::Woken if has_room && woken >= WOKEN_IN_A_ROW => {
                    woken = 0;
                    self.capture()?;
                }
                Event::Woken => woken += 1,
                Event::TimedOut => {}
            }
        }
    }

    /// `false`: nobody can send any more.
    fn take_commands(&mut self) -> Result<bool, AgentError> {
        for _ in 0..COMMANDS_AT_ONCE {
            match self.commands.try_recv() {
                Ok(Command::Attach { viewer, messages }) => self.attach(viewer, messages),
                Ok(Command::Received { viewer, message }) => self.received(viewer, &message)?,
                Ok(Command::Detach { viewer }) => self.detach(viewer),
                Ok(Command::Local { client, change }) => self.local(client, change),
                Err(mpsc::error::TryRecvError::Empty) => return Ok(true),
                Err(mpsc::error::TryRecvError::Disconnected) => return Ok(false),
            }
        }
        // More may wait: come back after the picture's turn, without sleeping.
        self.source.waker().wake();
        Ok(true)
    }

    fn attach(&mut self, id: ViewerId, messages: mpsc::Sender<Bytes>) {
        if self.viewers.len() >= VIEWERS_MAX {
            // The link sees its queue closed and says so.
            return;
        }
        let viewer = Viewer::new(self.source.size(), messages, self.common.clone());
        self.viewers.insert(id, viewer);
        self.show_seen();
        info!(viewer = id, viewers = self.viewers.len(), "Viewer attached");
    }

    fn detach(&mut self, id: ViewerId) {
        if self.viewers.remove(&id).is_none() {
            return;
        }
        // Nobody may be left to let go of a key that was held.
        self.try_input(|input| input.release_all());
        self.show_seen();
        info!(viewer = id, viewers = self.viewers.len(), "Viewer detached");
    }

    fn received(&mut self, id: ViewerId, message: &Message) -> Result<(), AgentError> {
        let now = (self.clock)();
        let Some(viewer) = self.viewers.get_mut(&id) else { return Ok(()) };
        let events = match viewer.received(message, now) {
            Ok(events) => events,
            Err(error) => {
                warn!(viewer = id, error = %error, "Viewer broke the protocol");
                self.detach(id);
                return Ok(());
            }
        };
        for event in events {
            self.apply(id, event)?;
        }
        Ok(())
    }

    /// Takes in what changed, for all viewers, those without room too.
    fn capture(&mut self) -> Result<Changed, AgentError> {
        let before = (self.clock)();
        let update = match self.source.capture() {
            Ok(update) => update,
            Err(error) => {
                self.failures += 1;
                if self.failures >= FAILURES_MAX {
                    return Err(error.into());
                }
                debug!(error = %error, "Capture failed, will try again");
                self.source.sweep();
                return Ok(Changed::Unknown);
            }
        };
        self.failures = 0;
        let Some(update) = update else { return Ok(Changed::No) };
        let now = (self.clock)();
        self.captured = Some(now);
        self.capture_time = (self.capture_time * 7 + now.saturating_duration_since(before)) / 8;
        for viewer in self.viewers.values_mut() {
            viewer.note(&update, now);
        }
        Ok(Changed::Yes)
    }

    /// Until when changes may wait: a program that draws faster than anybody sees must not take
    /// the processor from its own pictures.
    fn pause(&self, now: Instant) -> Option<Instant> {
        let moves = self.viewers.values().any(Viewer::has_video);
        self.captured.map(|at| at + CAPTURE_GAP).filter(|&at| moves && at > now)
    }

    fn send_frames(&mut self, now: Instant) -> Result<(), AgentError> {
        self.send_picture(now);
        // Before anything is said: it waits for an empty queue.
        self.viewers.values_mut().for_each(Viewer::send_cursor);
        if self.viewers.values().any(Viewer::is_settled) {
            // A change not yet looked at would make "exact" a lie.
            match self.capture()? {
                Changed::Yes => self.send_picture(now),
                Changed::No => self.viewers.values_mut().for_each(Viewer::say_exact),
                Changed::Unknown => {}
            }
        }
        for viewer in self.viewers.values_mut() {
            viewer.send_slices(&self.board, now);
            viewer.say_status(self.capture_time, now);
        }
        Ok(())
    }

    fn send_picture(&mut self, now: Instant) {
        let captured = now.saturating_duration_since(self.started);
        let ids: Vec<ViewerId> = self.viewers.keys().copied().collect();
        for id in ids {
            let Some(viewer) = self.viewers.get_mut(&id) else { continue };
            let shot = viewer.begin_frame(self.source.picture(), captured, now);
            while let Some(viewer) = self.viewers.get_mut(&id)
                && viewer.go_on(self.source.picture())
            {
                self.glance(id);
            }
            if let (Some(viewer), Some(shot)) = (self.viewers.get_mut(&id), shot) {
                viewer.start_video(self.source.picture(), shot, captured);
            }
        }
    }

    /// While a large frame is made: what is little and has no part in it need not wait for it.
    fn glance(&mut self, at_work: ViewerId) {
        let Some(viewer) = self.viewers.get(&at_work) else { return };
        let is_taken = |tile| viewer.is_at_work_on(tile);
        let update = match self.source.glance(GLANCE_TILES_MAX, &is_taken) {
            Ok(Some(update)) => update,
            Ok(None) => return,
            Err(error) => {
                // The next capture says whether the display is gone.
                debug!(error = %error, "Glance failed");
                self.source.sweep();
                return;
            }
        };
        let now = (self.clock)();
        let captured = now.saturating_duration_since(self.started);
        for viewer in self.viewers.values_mut() {
            viewer.note(&update, now);
            viewer.send_ahead(self.source.picture(), &update, captured, now);
        }
        // Who had no room for it, or had its turn already, is thought of in the next turn.
        self.source.waker().wake();
    }

    fn show_cursor(&mut self) {
        match self.source.cursor() {
            Ok(image) => self.cursor = image.message(),
            Err(error) => {
                debug!(error = %error, "Pointer could not be read");
                return;
            }
        }
        for viewer in self.viewers.values_mut() {
            viewer.show_cursor(self.cursor.clone());
        }
    }

    fn drop_lost(&mut self, now: Instant) {
        let lost: Vec<_> =
            self.viewers.iter().filter(|(_, v)| v.is_lost(now)).map(|(&id, _)| id).collect();
        for id in lost {
            warn!(viewer = id, "Viewer stopped reading and is let go");
            self.detach(id);
        }
    }

    fn show_seen(&self) {
        self.seen.send_replace(Seen { size: self.source.size(), viewers: self.viewers.len() });
    }
}

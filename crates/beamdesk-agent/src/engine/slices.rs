//! What programs hand over, on its way to the viewers: 16-bit pictures and marks.

use std::time::{Duration, Instant};

use beamdesk_media::Rect;
use beamdesk_proto::control::{AgentMessage, Region};
use tracing::{debug, warn};

use super::{Engine, ViewerId, viewer::Viewer};
use crate::local::{Board, Change, Confirmed, State};

/// A turn sends no more than this of pictures: the others want their turns too.
const TURN_BYTES_MAX: usize = 512 << 10;
/// Pictures that had room and were not sent to their end go on so soon.
const GO_ON: Duration = Duration::from_millis(1);

impl Engine {
    /// A program shows, marks or asks something, or has gone.
    pub(super) fn local(&mut self, client: u64, change: Change) {
        let change = match change {
            Change::Ask(told) => {
                // A program that has gone meanwhile does not want to know.
                told.send(self.state_of(client)).unwrap_or_default();
                return;
            }
            change => change,
        };
        if self.board.apply(client, change) {
            self.tell_marks(None);
        }
    }

    fn state_of(&self, client: u64) -> State {
        let greeted = || self.viewers.values().filter(|viewer| viewer.session.is_greeted());
        let exact = self.board.place(client).map_or(0, |place| {
            greeted().filter(|viewer| viewer.outbox.is_exact(&self.board, place)).count()
        });
        State { viewers: greeted().count(), exact }
    }

    /// Tells what programs have marked, to one viewer or to all.
    pub(super) fn tell_marks(&mut self, only: Option<ViewerId>) {
        let regions = self.board.regions(self.source.size());
        for (&id, viewer) in &mut self.viewers {
            if only.is_none_or(|only| only == id) {
                viewer.tell_marks(&regions);
            }
        }
    }
}

impl Viewer {
    fn tell_marks(&mut self, regions: &[Region]) {
        if self.session.is_greeted() && self.told_marks != regions {
            self.told_marks = regions.to_vec();
            self.tell(&AgentMessage::Marked { regions: regions.to_vec() });
        }
        let rect = |&Region { x, y, width, height }: &Region| Rect { x, y, width, height };
        self.marked(regions.iter().map(rect).collect());
    }

    /// Sends pictures, in what room the screen's own changes leave.
    pub(super) fn send_slices(&mut self, board: &Board, now: Instant) {
        if !self.outbox.has_work(board) {
            return;
        }
        let Some(room) = self.session.slice_budget(now) else { return };
        let frame = self.next_frame();
        let Some(made) = self.outbox.frame(board, frame, room.min(TURN_BYTES_MAX)) else { return };
        let bytes = made.bytes();
        let mut messages = Vec::new();
        made.finish(&mut messages);
        messages.into_iter().for_each(|message| self.send(message));
        self.session.sent_slices(frame, bytes, now);
    }

    /// When pictures go on being sent though nothing happens.
    pub(super) fn sends_at(&self, board: &Board, now: Instant) -> Option<Instant> {
        if !self.outbox.has_work(board) {
            return None;
        }
        match self.session.slice_budget(now) {
            Some(_) => Some(now + GO_ON),
            None => self.session.slices_ready_at(now),
        }
    }

    /// The viewer says what it holds.
    pub(super) fn holds_slice(&mut self, (place, picture, hash): (u8, u32, u64)) {
        match self.outbox.confirm(place, picture, hash) {
            Confirmed::Exact | Confirmed::Old => {}
            Confirmed::Wrong => debug!(place, "A viewer's slice is wrong and is sent again"),
            Confirmed::Hopeless => warn!(place, "A viewer's slice stays wrong"),
        }
    }
}

//! One viewer, as the engine has it: its session, its encoder, its queue.

use std::time::{Duration, Instant};

use beamdesk_media::{Budget, Encoder as _, LAYOUTS, Picture, PictureSize, TileEncoder, Update};
use beamdesk_proto::{
    AgentSession, Event, ProtocolError,
    control::{AgentMessage, VERSION},
    wire::{self, Message, kind, tiles_of},
};
use bytes::Bytes;
use tokio::sync::mpsc;

/// Tiles the viewer keeps for later: 16 MiB, two screens at 1920×1080.
const CACHE_SLOTS: u16 = 1024;

/// When work is left that had room: the encoder made nothing of it, so not at once again.
const LEFT_OVER: Duration = Duration::from_millis(5);

pub(super) struct Viewer {
    session: AgentSession,
    encoder: TileEncoder,
    size: PictureSize,
    messages: mpsc::Sender<Bytes>,
    /// It got our hello.
    greeted: bool,
    /// The queue overflowed or was closed.
    lost: bool,
    /// The newest pointer, until the queue is empty.
    cursor: Option<Bytes>,
    /// Where the pointer is: what is near goes first.
    focus: Option<(u16, u16)>,
    /// Messages of one frame, kept for their allocation.
    frame: Vec<Bytes>,
}

impl Viewer {
    pub(super) fn new(size: PictureSize, messages: mpsc::Sender<Bytes>, now: Instant) -> Self {
        Self {
            session: AgentSession::new(tiles_of(size.width(), size.height()), now),
            encoder: TileEncoder::new(size, CACHE_SLOTS),
            size,
            messages,
            greeted: false,
            lost: false,
            cursor: None,
            focus: None,
            frame: Vec::new(),
        }
    }

    pub(super) fn received(
        &mut self,
        message: &Message,
        now: Instant,
    ) -> Result<Vec<Event>, ProtocolError> {
        self.session.received(message.header, &message.payload, now)
    }

    pub(super) fn greet(&mut self, size: PictureSize, max: PictureSize, cursor: Bytes) {
        self.tell(&AgentMessage::Hello {
            version: VERSION,
            width: size.width(),
            height: size.height(),
            cache_slots: CACHE_SLOTS,
            width_max: max.width(),
            height_max: max.height(),
            layouts: LAYOUTS.iter().map(|&name| name.to_owned()).collect(),
        });
        self.greeted = true;
        self.cursor = Some(cursor);
    }

    pub(super) fn restart(&mut self, size: PictureSize) {
        let (width, height) = (size.width(), size.height());
        self.session.restart(tiles_of(width, height));
        self.encoder.restart(size);
        self.size = size;
        if self.greeted {
            self.tell(&AgentMessage::Resized { width, height });
        }
    }

    pub(super) fn note(&mut self, update: &Update, now: Instant) {
        self.encoder.note(update, now);
    }

    pub(super) fn repair(&mut self, tiles: &[u16]) {
        self.encoder.repair(tiles);
    }

    pub(super) fn focus(&mut self, at: (u16, u16)) {
        self.focus = Some(at);
    }

    pub(super) fn budget(&self, now: Instant) -> Option<usize> {
        self.session.budget(now)
    }

    /// When this viewer wants a turn though nothing happens.
    pub(super) fn wakes_at(&self, now: Instant) -> Option<Instant> {
        if self.lost {
            return Some(now);
        }
        let room = match (self.budget(now), self.encoder.has_work()) {
            (None, _) => self.session.ready_at(now),
            (Some(_), true) => Some(now + LEFT_OVER),
            (Some(_), false) => None,
        };
        [room, self.session.stalls_at()].into_iter().flatten().min()
    }

    pub(super) fn send_frame(&mut self, picture: &Picture, captured: Duration, now: Instant) {
        if !self.encoder.has_work() || picture.size() != self.size {
            return;
        }
        let Some(bytes) = self.session.budget(now) else { return };
        let captured_us = u64::try_from(captured.as_micros()).unwrap_or(u64::MAX);
        let budget = Budget { bytes, focus: self.focus, captured_us, now };
        let mut messages = std::mem::take(&mut self.frame);
        let encoded = self.encoder.encode(picture, &budget, &mut messages);
        for message in messages.drain(..) {
            self.send(message);
        }
        self.frame = messages;
        if let Some(encoded) = encoded {
            self.session.sent(encoded, now);
        }
    }

    /// Everything is sent and acknowledged, and it has not been said yet.
    pub(super) fn is_settled(&self) -> bool {
        self.session.is_exact(self.encoder.has_work())
    }

    pub(super) fn say_exact(&mut self) {
        if let Some(exact) = self.session.exact(self.encoder.has_work()) {
            self.tell(&exact);
        }
    }

    pub(super) fn show_cursor(&mut self, cursor: Bytes) {
        if self.greeted {
            self.cursor = Some(cursor);
        }
    }

    /// Sends the newest pointer once nothing waits, so that no queue of old ones can grow.
    pub(super) fn send_cursor(&mut self) {
        if self.messages.capacity() == self.messages.max_capacity()
            && let Some(cursor) = self.cursor.take()
        {
            self.send(cursor);
        }
    }

    pub(super) fn tell(&mut self, message: &AgentMessage) {
        self.send(wire::json_message(kind::AGENT, message));
    }

    pub(super) fn is_lost(&self, now: Instant) -> bool {
        self.lost || self.messages.is_closed() || self.session.is_stalled(now)
    }

    fn send(&mut self, message: Bytes) {
        if self.messages.try_send(message).is_err() {
            self.lost = true;
        }
    }
}

//! One viewer, as the engine has it: its session, its encoder, its queue.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use beamdesk_media::{
    Encoder as _, Encoders, LAYOUTS, PictureSize, Planner, Rect, TileEncoder, Update, Waker,
};
use beamdesk_proto::{
    AgentSession, EncodedFrame, Event, ProtocolError,
    control::{AgentMessage, Quality, REGIONS_MAX, Region, VERSION, VideoCodec},
    wire::{self, Message, kind, tiles_of},
};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::local::Outbox;

use super::{
    frame::Making,
    gauge::Gauge,
    video::{self, Finished, Outcome, Video},
};

/// Tiles the viewer keeps for later: 16 MiB, two screens at 1920×1080.
const CACHE_SLOTS: u16 = 1024;

/// When work is left that had room: the encoder made nothing of it, so not at once again.
const LEFT_OVER: Duration = Duration::from_millis(5);
/// Refinement that makes way for video is thought of again when that has ended without a word.
const MAKES_WAY: Duration = Duration::from_millis(250);

pub(super) struct Viewer {
    pub(super) session: AgentSession,
    pub(super) encoder: TileEncoder,
    pub(super) planner: Planner,
    pub(super) video: Video,
    pub(super) gauge: Gauge,
    pub(super) size: PictureSize,
    /// The frame in the making; within one turn only.
    pub(super) making: Option<Making>,
    messages: mpsc::Sender<Bytes>,
    /// Number of the last frame, of whatever kind.
    frame: u32,
    /// It got our hello.
    greeted: bool,
    /// The queue overflowed or was closed.
    lost: bool,
    /// The newest pointer, until the queue is empty.
    cursor: Option<Bytes>,
    /// Buttons of the mouse that are down, a bit each.
    pressed: u32,
    /// What the user has marked, and what programs have.
    region: Option<Rect>,
    marks: Vec<Rect>,
    /// Pictures of programs, and their marks as it was told them.
    pub(super) outbox: Outbox,
    pub(super) told_marks: Vec<Region>,
    /// Messages of one frame, kept for their allocation.
    pub(super) parts: Vec<Bytes>,
    pub(super) clock: fn() -> Instant,
}

/// What viewers have in common.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) encoders: Arc<Encoders>,
    pub(super) waker: Waker,
    pub(super) clock: fn() -> Instant,
}

impl Viewer {
    pub(super) fn new(size: PictureSize, messages: mpsc::Sender<Bytes>, common: Common) -> Self {
        let Common { encoders, waker, clock } = common;
        Self {
            session: AgentSession::new(tiles_of(size.width(), size.height()), clock()),
            encoder: TileEncoder::new(size, CACHE_SLOTS),
            planner: Planner::new(size),
            video: Video::new(encoders, waker),
            gauge: Gauge::default(),
            size,
            making: None,
            messages,
            frame: 0,
            greeted: false,
            lost: false,
            cursor: None,
            pressed: 0,
            region: None,
            marks: Vec::new(),
            outbox: Outbox::default(),
            told_marks: Vec::new(),
            parts: Vec::new(),
            clock,
        }
    }

    pub(super) fn received(
        &mut self,
        message: &Message,
        now: Instant,
    ) -> Result<Vec<Event>, ProtocolError> {
        let events = self.session.received(message.header, &message.payload, now)?;
        if message.header.kind == kind::ACK
            && let Some((frame, work)) = work(&message.payload)
        {
            self.planner.acknowledged(frame, work);
        }
        Ok(events)
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

    /// What its browser decodes, and what the user wants of it.
    pub(super) fn allow(&mut self, decodes: Vec<VideoCodec>, quality: Quality) {
        self.video.greet(decodes, quality);
        self.planner.set_quality(quality);
    }

    pub(super) fn restart(&mut self, size: PictureSize) {
        let (width, height) = (size.width(), size.height());
        self.session.restart(tiles_of(width, height));
        self.encoder.restart(size);
        self.planner.restart(size);
        self.video.void();
        self.size = size;
        if self.greeted {
            self.tell(&AgentMessage::Resized { width, height });
        }
    }

    pub(super) fn note(&mut self, update: &Update, now: Instant) {
        self.encoder.note(update, now);
        self.planner.note(update, now);
    }

    pub(super) fn repair(&mut self, tiles: &[u16]) {
        self.encoder.repair(tiles);
    }

    /// The pointer is there: what is near goes first.
    pub(super) fn focus(&mut self, at: (u16, u16)) {
        self.planner.point(at);
    }

    pub(super) fn press(&mut self, button: u8, down: bool) {
        let bit = 1_u32.checked_shl(button.into()).unwrap_or(0);
        self.pressed = if down { self.pressed | bit } else { self.pressed & !bit };
        self.planner.press(self.pressed != 0);
    }

    pub(super) fn release(&mut self) {
        self.pressed = 0;
        self.planner.press(false);
    }

    pub(super) fn set_quality(&mut self, quality: Quality) {
        self.video.set_quality(quality);
        self.planner.set_quality(quality);
    }

    /// What the user has marked.
    pub(super) fn set_region(&mut self, region: Option<Region>) {
        self.region = region.map(|Region { x, y, width, height }| Rect { x, y, width, height });
        self.mark();
    }

    /// What programs have marked.
    pub(super) fn marked(&mut self, marks: Vec<Rect>) {
        self.marks = marks;
        self.mark();
    }

    fn mark(&mut self) {
        let marks = self.region.iter().chain(&self.marks).take(REGIONS_MAX);
        self.planner.mark(marks.copied().collect());
    }

    pub(super) fn watch(&mut self, on: bool, now: Instant) {
        self.gauge.watch(on, now);
    }

    pub(super) fn show_key_frame(&mut self) {
        self.video.ask_key();
        self.planner.repaint_video();
    }

    pub(super) fn refuse(&mut self, codec: VideoCodec) {
        self.video.refuse(codec);
        self.planner.forget_video();
    }

    /// Whether a picture could be sent now.
    pub(super) fn has_room(&self, now: Instant) -> bool {
        self.session.budget(now).is_some()
            || self.video.is_idle() && self.session.video_budget(now).is_some()
    }

    /// The video encoder waits for the newest picture, or something is about to be at rest.
    pub(super) fn wants_picture(&self, now: Instant) -> bool {
        if self.planner.wakes_at().is_some_and(|at| at <= now) {
            return true;
        }
        let is_ready = self.video.is_idle() && self.session.video_budget(now).is_some();
        self.planner.wants_video() && is_ready
    }

    pub(super) fn has_video(&self) -> bool {
        self.planner.video_tiles() > 0
    }

    /// When this viewer wants a turn though nothing happens.
    pub(super) fn wakes_at(&self, now: Instant) -> Option<Instant> {
        if self.lost {
            return Some(now);
        }
        let (tiles, video) = (self.session.budget(now), self.session.video_budget(now));
        let left = match tiles {
            Some(_) if self.planner.wants_fresh() => Some(now + LEFT_OVER),
            Some(_) if !self.planner.wants_refine() => None,
            Some(_) if self.session.refine_budget(now).is_some() => Some(now + LEFT_OVER),
            Some(_) => Some(now + MAKES_WAY),
            None if self.encoder.has_work() || video.is_none() => self.session.ready_at(now),
            None => None,
        };
        let motion = match video {
            _ if !self.video.is_idle() || !self.planner.wants_video() => None,
            Some(_) => Some(now + LEFT_OVER),
            None => self.session.video_ready_at(now),
        };
        let others = [self.planner.wakes_at(), self.session.stalls_at(), self.gauge.tells_at()];
        [left, motion].into_iter().chain(others).flatten().min()
    }

    /// Sends what the video encoder has finished.
    pub(super) fn take_video(&mut self, now: Instant) {
        match self.video.take() {
            None => {}
            Some(Outcome::Finished(finished)) if self.session.is_visible() => {
                self.send_video(*finished, now);
            }
            Some(Outcome::Finished(_)) => {
                self.video.ask_key();
                self.drop_video();
            }
            Some(Outcome::Void) => self.drop_video(),
        }
    }

    fn send_video(&mut self, finished: Finished, now: Instant) {
        let Finished { tiles, done } = finished;
        let frame = self.next_frame();
        let messages = video::messages(frame, &done);
        let bytes = messages.iter().map(Bytes::len).sum();
        messages.into_iter().for_each(|message| self.send(message));
        self.planner.sent_video(frame, done.convert.max(done.encode));
        self.gauge.encoded_video(&done);
        let frame = EncodedFrame { frame, bytes, tiles: Vec::new(), lossy: tiles, complete: false };
        self.session.sent(frame, now);
    }

    fn drop_video(&mut self) {
        self.planner.lost_video();
        self.session.video_dropped();
    }

    /// The number of the next frame to go out.
    pub(super) fn next_frame(&mut self) -> u32 {
        self.frame = self.frame.wrapping_add(1);
        self.frame
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

    /// Once a second, to those who watch.
    pub(super) fn say_status(&mut self, capture: Duration, now: Instant) {
        if !self.gauge.is_due(now) {
            return;
        }
        let mut status = self.session.status(now);
        status.video_tiles = u16::try_from(self.planner.video_tiles()).unwrap_or(u16::MAX);
        self.gauge.fill(&mut status, capture);
        self.tell(&AgentMessage::Status(status));
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

    pub(super) fn send(&mut self, message: Bytes) {
        if self.messages.try_send(message).is_err() {
            self.lost = true;
        }
    }
}

/// The frame of an acknowledgement, and how long the viewer worked on it.
fn work(ack: &[u8]) -> Option<(u32, Duration)> {
    let (frame, rest) = ack.split_first_chunk()?;
    let (decode, rest) = rest.split_first_chunk()?;
    let shown = rest.first_chunk()?;
    let micros = |bytes: &[u8; 4]| Duration::from_micros(u32::from_le_bytes(*bytes).into());
    Some((u32::from_le_bytes(*frame), micros(decode) + micros(shown)))
}

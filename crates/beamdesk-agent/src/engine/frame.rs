//! One turn's frames for one viewer: tiles first, then a picture for the video.
//!
//! A large frame of tiles is made in steps. Between two of them the engine glances at the display,
//! and what is small and stands apart goes ahead of the large frame.

use std::time::{Duration, Instant};

use beamdesk_media::{
    Encoder as _, FrameHead, Means, Picture, Plan, Portion, Progress, Shot, TileCost, TileEncoder,
    Tiles, Update, VideoState,
};
use beamdesk_proto::EncodedFrame;
use bytes::Bytes;

use super::viewer::Viewer;

/// Tiles between two glances: half a millisecond to a whole one.
const STEP_TILES: usize = 24;

/// A frame of tiles in the making, and what comes after it.
#[derive(Debug)]
pub(super) struct Making {
    head: FrameHead,
    plan: Plan,
    /// For all of it, and for what is refined.
    bytes: usize,
    refine: usize,
    progress: Progress,
    /// The encoder's time so far.
    took: Duration,
}

impl Making {
    fn portions(&self) -> [Portion<'_>; 2] {
        let Self { plan, bytes, refine, .. } = self;
        [
            Portion { tiles: &plan.fresh, bytes: *bytes },
            Portion { tiles: if *refine > 0 { &plan.refine } else { &[] }, bytes: *refine },
        ]
    }
}

impl Viewer {
    /// Begins what the planner picks of the picture. Small changes go out at once; the rest is for
    /// [`Self::go_on`], and a picture for the video goes to its encoder after that.
    pub(super) fn begin_frame(
        &mut self,
        picture: &Picture,
        captured: Duration,
        now: Instant,
    ) -> Option<(Shot, Means)> {
        if picture.size() != self.size || !self.has_room(now) {
            return None;
        }
        let means = self.means(now);
        let seen = &mut Look { encoder: &mut self.encoder, picture, clock: self.clock };
        let mut plan = self.planner.plan(&means, seen);
        if plan.shot.is_none() && self.planner.video_tiles() == 0 && self.video.is_idle() {
            self.video.rest();
            self.session.video_rests();
        }
        let shot = plan.shot.take();
        if let Some(bytes) = means.bytes
            && self.encoder.has_work()
        {
            self.begin_tiles(picture, plan, (bytes, micros(captured)), now);
        }
        shot.map(|shot| (shot, means))
    }

    fn means(&self, now: Instant) -> Means {
        Means {
            now,
            bytes: self.session.budget(now),
            line: self.session.line_rate(),
            video: match self.session.video_budget(now) {
                _ if !self.video.is_possible() => VideoState::Off,
                Some(_) if self.video.is_idle() => VideoState::Ready,
                Some(_) | None => VideoState::Busy,
            },
            video_bytes: self.session.video_target(now),
        }
    }

    fn begin_tiles(
        &mut self,
        picture: &Picture,
        plan: Plan,
        (mut bytes, captured_us): (usize, u64),
        now: Instant,
    ) {
        if !plan.ahead.is_empty() {
            let head = FrameHead { frame: self.next_frame(), captured_us };
            let ahead = [Portion { tiles: &plan.ahead, bytes }];
            let sent = self.sends_tiles(|encoder, out| encoder.encode(picture, head, &ahead, out));
            bytes = bytes.saturating_sub(sent);
        }
        // On a thin line refinement must leave room for the video.
        let refine = self.session.refine_budget(now).map_or(0, |room| room.min(plan.refine_bytes));
        let head = FrameHead { frame: self.next_frame(), captured_us };
        let (progress, took) = (Progress::default(), Duration::ZERO);
        let mut making = Making { head, plan, bytes, refine, progress, took };
        let before = (self.clock)();
        making.progress = self.encoder.begin(head, &making.portions());
        making.took = (self.clock)().saturating_duration_since(before);
        self.making = Some(making);
    }

    /// Goes on with the frame in the making; sends it when it is whole. Whether there is more to do.
    pub(super) fn go_on(&mut self, picture: &Picture) -> bool {
        let Some(mut making) = self.making.take() else { return false };
        let before = (self.clock)();
        let mut progress = std::mem::take(&mut making.progress);
        let goes_on = self.encoder.go_on(picture, &making.portions(), &mut progress, STEP_TILES);
        making.progress = progress;
        making.took += (self.clock)().saturating_duration_since(before);
        if goes_on {
            self.making = Some(making);
            return true;
        }
        let Making { head, took, .. } = making;
        self.sends_tiles(|encoder, out| encoder.finish(picture, head, out));
        self.gauge.encoded_tiles(took);
        false
    }

    /// Whether the frame in the making may still take something of this tile.
    pub(super) fn is_at_work_on(&self, tile: u16) -> bool {
        self.making.is_some() && self.encoder.is_dirty(tile)
    }

    /// Sends what just changed ahead of the frame in the making, as far as it has no part in that.
    pub(super) fn send_ahead(
        &mut self,
        picture: &Picture,
        update: &Update,
        captured: Duration,
        now: Instant,
    ) {
        if self.making.is_none() || self.session.budget(now).is_none() {
            return;
        }
        let tiles = self.planner.ahead_of(update.areas.iter().map(|&(tile, _)| tile));
        let head = FrameHead { frame: self.next_frame(), captured_us: micros(captured) };
        self.sends_tiles(|encoder, out| encoder.encode_ahead(picture, head, &tiles, out));
    }

    /// Sends the frame of tiles that the encoder makes, if it does; gives its bytes.
    fn sends_tiles(
        &mut self,
        make: impl FnOnce(&mut TileEncoder, &mut Vec<Bytes>) -> Option<EncodedFrame>,
    ) -> usize {
        let mut messages = std::mem::take(&mut self.parts);
        let encoded = make(&mut self.encoder, &mut messages);
        for message in messages.drain(..) {
            self.send(message);
        }
        self.parts = messages;
        let Some(encoded) = encoded else { return 0 };
        let bytes = encoded.bytes;
        self.planner.sent_tiles(encoded.frame, encoded.tiles.len(), self.encoder.last_raw());
        self.session.sent(encoded, (self.clock)());
        bytes
    }

    /// A picture of the video goes to its encoder.
    pub(super) fn start_video(
        &mut self,
        picture: &Picture,
        (shot, means): (Shot, Means),
        captured: Duration,
    ) {
        self.planner.submitted(&shot);
        self.encoder.spoil(&shot.tiles);
        let aim = (self.planner.look(), means.video_bytes, micros(captured));
        if self.video.submit(picture, shot, aim, means.now) {
            self.session.video_started(means.now);
        } else {
            self.planner.lost_video();
        }
    }
}

/// What the planner sees of the tiles.
struct Look<'a> {
    encoder: &'a mut TileEncoder,
    picture: &'a Picture,
    clock: fn() -> Instant,
}

impl Tiles for Look<'_> {
    fn is_dirty(&self, tile: u16) -> bool {
        self.encoder.is_dirty(tile)
    }

    fn is_kept(&self, tile: u16) -> bool {
        self.encoder.is_kept(self.picture, tile)
    }

    fn cost(&mut self, tile: u16) -> TileCost {
        let before = (self.clock)();
        let size = self.encoder.size_of(self.picture, tile);
        let encode = (self.clock)().saturating_duration_since(before);
        TileCost { raw: size.raw, bytes: size.packed, encode }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

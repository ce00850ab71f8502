//! What a viewer that watches is told of its encoders, once a second.

use std::time::{Duration, Instant};

use beamdesk_media::Done;
use beamdesk_proto::control::{Limit, Status, VideoCodec};

const TELL_EVERY: Duration = Duration::from_secs(1);
/// Encoding that takes longer than a frame at 60 a second holds frames up.
const FRAME_TIME: Duration = Duration::from_micros(16_667);

#[derive(Debug, Default)]
pub(super) struct Gauge {
    next: Option<Instant>,
    /// Mean of late frames, of each kind.
    tiles: Duration,
    video: Duration,
    /// Of the newest video frame since the last time.
    newest: Option<Newest>,
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    encoder: &'static str,
    codec: VideoCodec,
    qp: u8,
}

impl Gauge {
    pub(super) fn watch(&mut self, on: bool, now: Instant) {
        self.next = on.then_some(now);
    }

    pub(super) fn tells_at(&self) -> Option<Instant> {
        self.next
    }

    /// Whether it is time to tell, which it then is not for a second.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.next.is_some_and(|next| next <= now);
        if is_due {
            self.next = Some(now + TELL_EVERY);
        }
        is_due
    }

    pub(super) fn encoded_tiles(&mut self, took: Duration) {
        self.tiles = (self.tiles * 7 + took) / 8;
    }

    pub(super) fn encoded_video(&mut self, done: &Done) {
        self.video = (self.video * 7 + done.convert + done.encode) / 8;
        let (encoder, codec, qp) = (done.name, done.codec, done.packet.qp);
        self.newest = Some(Newest { encoder, codec, qp });
    }

    /// Adds what the session cannot know.
    pub(super) fn fill(&mut self, status: &mut Status, capture: Duration) {
        let encode = match self.newest.take() {
            Some(Newest { encoder, codec, qp }) => {
                encoder.clone_into(&mut status.encoder);
                status.codec = Some(codec);
                status.qp = Some(qp);
                self.video
            }
            None => self.tiles,
        };
        status.capture_us = micros(capture);
        status.encode_us = micros(encode);
        if status.limit == Limit::Nothing && capture + encode > FRAME_TIME {
            status.limit = Limit::Encoder;
        }
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

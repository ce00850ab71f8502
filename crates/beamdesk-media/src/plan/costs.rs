//! What tiles and video cost, learnt from what was sent and from what viewers say of it.

use std::collections::VecDeque;
use std::time::Duration;

/// Frames whose acknowledgement is awaited; more are never in flight.
const SENT_MAX: usize = 64;
/// Frames of fewer tiles say more about the frame than about its tiles.
const TILES_MIN: usize = 8;
/// Work of a viewer on a tile beside its pixels, as bytes: hashing and drawing cost about as much
/// as unpacking one plane.
const TILE_WEIGHT: usize = 4096;
/// Before anything is known, nanoseconds: a tile encoded as tile, a byte of weight at the viewer,
/// a tile of a region encoded as video, a tile painted by video. Measured on small machines.
const TILE_NS: f32 = 20_000.0;
const WEIGHT_NS: f32 = 4.0;
const VIDEO_NS: f32 = 30_000.0;
const PAINT_NS: f32 = 30_000.0;

/// What one tile of the moving content takes as a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileCost {
    /// Operations and pixels before they are packed.
    pub raw: usize,
    /// On the wire.
    pub bytes: usize,
    /// The agent's time.
    pub encode: Duration,
}

/// What a frame was made of, until its acknowledgement.
#[derive(Debug, Clone, Copy)]
enum Sent {
    Tiles { weight: usize },
    Video { tiles: usize },
}

#[derive(Debug)]
pub(super) struct Costs {
    /// Of the moving content, from samples; `None`: not looked at yet.
    sample: Option<TileCost>,
    weight_ns: f32,
    video_ns: f32,
    paint_ns: f32,
    sent: VecDeque<(u32, Sent)>,
}

impl Costs {
    pub(super) fn new() -> Self {
        Self {
            sample: None,
            weight_ns: WEIGHT_NS,
            video_ns: VIDEO_NS,
            paint_ns: PAINT_NS,
            sent: VecDeque::new(),
        }
    }

    pub(super) fn sampled(&mut self, samples: &[TileCost]) {
        let count = samples.len().max(1);
        let sum = |of: fn(&TileCost) -> usize| samples.iter().map(of).sum::<usize>() / count;
        let encode = samples.iter().map(|cost| cost.encode).sum::<Duration>();
        let encode = encode / u32::try_from(count).unwrap_or(u32::MAX);
        let fresh = TileCost { raw: sum(|cost| cost.raw), bytes: sum(|cost| cost.bytes), encode };
        // A wait for the processor in the middle of a sample must not decide much.
        let encode = self.sample.map_or(fresh.encode, |old| fresh.encode.min(old.encode * 2));
        self.sample = Some(TileCost { encode, ..fresh });
    }

    pub(super) fn forget_sample(&mut self) {
        self.sample = None;
    }

    pub(super) fn tile_bytes(&self) -> usize {
        self.sample.map_or(TILE_WEIGHT / 2, |sample| sample.bytes)
    }

    pub(super) fn tile_pixels_bytes(&self) -> usize {
        self.sample.map_or(TILE_WEIGHT, |sample| sample.raw)
    }

    /// Time of so many moving tiles, encoded and shown as tiles: the longer of both.
    pub(super) fn as_tiles(&self, tiles: usize) -> Duration {
        let encode = self.sample.map_or(nanos(TILE_NS), |sample| sample.encode);
        times(encode, tiles).max(self.shown(tiles))
    }

    /// The viewer's time for so many moving tiles.
    pub(super) fn shown(&self, tiles: usize) -> Duration {
        let weight = TILE_WEIGHT.saturating_add(self.tile_pixels_bytes());
        nanos(self.weight_ns * float(weight.saturating_mul(tiles)))
    }

    /// Time of a region of so many tiles as video, of which so many are painted.
    pub(super) fn as_video(&self, region: usize, painted: usize) -> Duration {
        nanos((self.video_ns * float(region)).max(self.paint_ns * float(painted)))
    }

    pub(super) fn sent_tiles(&mut self, frame: u32, tiles: usize, raw: usize) {
        let weight = tiles.saturating_mul(TILE_WEIGHT).saturating_add(raw);
        let weight = if tiles < TILES_MIN { 0 } else { weight };
        self.push(frame, Sent::Tiles { weight });
    }

    pub(super) fn sent_video(&mut self, frame: u32, tiles: usize, region: usize, encode: Duration) {
        if region > 0 {
            learn(&mut self.video_ns, encode, region);
        }
        self.push(frame, Sent::Video { tiles });
    }

    /// The viewer worked so long on the frame.
    pub(super) fn acknowledged(&mut self, frame: u32, work: Duration) {
        while let Some((number, sent)) = self.sent.pop_front() {
            if number != frame {
                continue;
            }
            match sent {
                Sent::Tiles { weight: 0 } => {}
                Sent::Tiles { weight } => learn(&mut self.weight_ns, work, weight),
                Sent::Video { tiles } if tiles < TILES_MIN => {}
                Sent::Video { tiles } => learn(&mut self.paint_ns, work, tiles),
            }
            return;
        }
    }

    fn push(&mut self, frame: u32, sent: Sent) {
        if self.sent.len() >= SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back((frame, sent));
    }
}

/// Moves a mean by a quarter towards what was just seen.
fn learn(mean: &mut f32, time: Duration, parts: usize) {
    let seen = time.as_secs_f32() * 1e9 / float(parts.max(1));
    *mean += (seen - *mean) / 4.0;
}

fn times(time: Duration, count: usize) -> Duration {
    time.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

fn nanos(nanos: f32) -> Duration {
    Duration::from_secs_f32((nanos / 1e9).clamp(0.0, 1e3))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(number: usize) -> f32 {
    number as f32
}

//! Bytes of a video frame: up while the line takes them without delay, down when a delay lasts.

use std::time::{Duration, Instant};

use super::{FRAME_TIME, line::RATE_START};

/// A frame of less is not worth a codec's while; then there are fewer frames.
const BYTES_MIN: usize = 4 << 10;
/// A noisy 4K picture without loss.
const BYTES_MAX: usize = 4 << 20;
/// Of the line's rate, so that small changes find room.
const SHARE: (u64, u64) = (85, 100);
/// While a queue drains.
const SHARE_DRAINING: (u64, u64) = (50, 100);
/// A source of fewer frames may have larger ones, up to here.
const INTERVAL_MAX: Duration = Duration::from_millis(34);
/// Without a video frame for so long nothing moves.
const LIVE: Duration = Duration::from_millis(250);
/// Delay beyond a frame's own time: with less the line is free, with more than the second what
/// waits must go first.
const FREE: Duration = Duration::from_millis(5);
const OVERFULL: Duration = Duration::from_millis(60);

#[derive(Debug)]
pub(super) struct Target {
    /// Bytes; `None`: nothing was measured yet.
    bytes: Option<usize>,
    /// Time between video frames, smoothed.
    interval: Duration,
    /// The line is free: the source or its encoder makes no more frames.
    is_free: bool,
    begun: Option<Instant>,
}

impl Target {
    pub(super) fn new() -> Self {
        Self { bytes: None, interval: FRAME_TIME, is_free: true, begun: None }
    }

    /// `rate`: what the line has for video, bytes per second.
    pub(super) fn bytes(&self, rate: Option<u64>) -> usize {
        let fair = || self.share(rate.unwrap_or(RATE_START), SHARE);
        self.bytes.unwrap_or_else(fair).clamp(BYTES_MIN, BYTES_MAX)
    }

    /// Whether video was begun lately.
    pub(super) fn is_live(&self, now: Instant) -> bool {
        self.begun.is_some_and(|begun| now.saturating_duration_since(begun) < LIVE)
    }

    /// A video frame begins.
    pub(super) fn begin(&mut self, rate: Option<u64>, now: Instant) {
        if !self.is_live(now) && rate.is_some() {
            // The line may have changed since something moved last.
            (self.bytes, self.interval) = (None, FRAME_TIME);
        }
        if let Some(before) = self.begun.replace(now) {
            let since = now.saturating_duration_since(before).clamp(FRAME_TIME, INTERVAL_MAX);
            // Where the line thins frames out they must not get larger for that.
            let since = if self.is_free { since } else { FRAME_TIME };
            self.interval = (self.interval * 7 + since) / 8;
        }
    }

    /// What was learnt from delays is void: they were not the line's.
    pub(super) fn forget(&mut self) {
        self.bytes = None;
    }

    /// A video frame was acknowledged; `delay`: see `Line::lasting_delay`. `drains`: the queue must
    /// get shorter whatever it is.
    pub(super) fn passed(
        &mut self,
        bytes: usize,
        (delay, drains): (Option<Duration>, bool),
        rate: Option<u64>,
    ) {
        let now = self.bytes(rate);
        let (Some(delay), Some(rate)) = (delay, rate) else { return };
        let fair = self.share(rate, SHARE);
        let over = delay.saturating_sub(self.interval);
        self.is_free = over <= FREE;
        let next = if over > OVERFULL || drains {
            now.min(self.share(rate, SHARE_DRAINING))
        } else if over > FREE {
            now.min(fair)
        } else if bytes < now / 2 {
            now // It would say nothing of a larger one.
        } else if now < fair {
            now.saturating_add((fair - now).div_ceil(4))
        } else if delay < self.interval / 2 {
            // The line is faster than it is known to be.
            now.saturating_add(now / 50)
        } else {
            now
        };
        self.bytes = Some(next.clamp(BYTES_MIN, BYTES_MAX));
    }

    fn share(&self, rate: u64, (part, whole): (u64, u64)) -> usize {
        let micros = u64::try_from(self.interval.as_micros()).unwrap_or(u64::MAX);
        let bytes = rate.saturating_mul(micros) / 1_000_000;
        usize::try_from(bytes.saturating_mul(part) / whole).unwrap_or(usize::MAX)
    }
}

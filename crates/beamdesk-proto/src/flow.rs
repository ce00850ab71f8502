//! How much may be in flight to one viewer: frames and bytes, from its acknowledgements.
//!
//! As BBR does it (Cardwell et al. 2016), frame by frame: the delivery rate is the largest seen
//! lately, the way is the shortest time from sending to acknowledgement seen lately. Allowed are
//! rate × way and 50 ms of queue, so that nothing older waits anywhere. The way can be seen only
//! while next to nothing is in flight; when it was not for long, the line is let run empty once.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Frames a second, at most.
const FRAME_TIME: Duration = Duration::from_micros(16_667);
/// Two: one being drawn while the next is under way.
const FRAMES_MIN: usize = 2;
/// Eight hold 60 frames a second over 115 ms of way.
const FRAMES_MAX: usize = 8;
/// Before anything is known: a screenful of text passes at once.
const BYTES_START: usize = 256 << 10;
/// Keeps a slow line from starving: half a second at 1 Mbit/s.
const BYTES_MIN: usize = 64 << 10;
/// What a viewer that stops reading can cost the agent.
const BYTES_MAX: usize = 4 << 20;
/// Queue allowed on top of what the line itself holds.
const QUEUE: Duration = Duration::from_millis(50);
/// One tile of noise fits; less room than this waits for the next acknowledgement.
const FRAME_BYTES_MIN: usize = 16 << 10;
/// With no more than this in flight a frame's time is the way's.
const CLEAR_BYTES: usize = 2 * FRAME_BYTES_MIN;
/// The way is measured at least so often while the line is full.
const CLEAR_EVERY: Duration = Duration::from_secs(5);
/// Rates and ways measured longer ago no longer count, once there are newer ones.
const MEMORY: Duration = Duration::from_secs(10);
/// Samples kept in that time; the oldest go first.
const SAMPLES_MAX: usize = 64;
/// A viewer that acknowledges nothing for so long has stalled.
const STALL: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Flow {
    in_flight: VecDeque<Sent>,
    in_flight_bytes: usize,
    delivered: u64,
    /// When `delivered` last rose, or sending began after a rest.
    delivered_at: Instant,
    last_sent: Option<Instant>,
    /// Bytes per second.
    rates: Window<u64>,
    ways: Window<Duration>,
    /// When the newest of `ways` was measured.
    way_seen: Option<Instant>,
    /// Time from sending to acknowledgement with all that waited before; smoothed.
    round: Option<Duration>,
}

#[derive(Debug)]
struct Sent {
    bytes: usize,
    at: Instant,
    /// Next to nothing else was in flight.
    is_clear: bool,
    /// There was not much to send, so its rate says little about the line.
    is_small: bool,
    delivered: u64,
    delivered_at: Instant,
}

impl Flow {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            delivered: 0,
            delivered_at: now,
            last_sent: None,
            rates: Window::new(|old, new| old > new),
            ways: Window::new(|old, new| old < new),
            way_seen: None,
            round: None,
        }
    }

    /// Bytes the next frame may have. `None`: wait, see [`Self::paced_until`].
    pub(crate) fn budget(&self, now: Instant) -> Option<usize> {
        let is_early = self.paced_until().is_some_and(|until| now < until);
        if is_early || self.is_full(now) {
            return None;
        }
        if self.wants_clear(now) {
            return Some(FRAME_BYTES_MIN);
        }
        Some(self.room().min(self.frame_bytes_max()))
    }

    /// No frame before this, whatever is acknowledged.
    pub(crate) fn paced_until(&self) -> Option<Instant> {
        self.last_sent.map(|at| at + FRAME_TIME)
    }

    /// Whether only an acknowledgement can give a budget.
    pub(crate) fn is_full(&self, now: Instant) -> bool {
        self.in_flight.len() >= self.frames_max()
            || self.room() < FRAME_BYTES_MIN
            || self.wants_clear(now) && !self.in_flight.is_empty()
    }

    pub(crate) fn sent(&mut self, bytes: usize, now: Instant) {
        if self.in_flight.is_empty() {
            self.delivered_at = now;
        }
        let is_small = bytes < self.room().min(self.frame_bytes_max()) / 2;
        self.in_flight_bytes += bytes;
        self.in_flight.push_back(Sent {
            bytes,
            at: now,
            is_clear: self.in_flight_bytes <= CLEAR_BYTES,
            is_small,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
        });
        self.last_sent = Some(now);
    }

    /// The oldest frame in flight is acknowledged.
    pub(crate) fn acknowledged(&mut self, now: Instant) {
        let Some(sent) = self.in_flight.pop_front() else { return };
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(sent.bytes);
        self.delivered = self.delivered.saturating_add(u64::try_from(sent.bytes).unwrap_or(0));
        self.delivered_at = now;
        let span = now.saturating_duration_since(sent.delivered_at).max(Duration::from_micros(100));
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let rate = (self.delivered - sent.delivered).saturating_mul(1_000_000) / micros;
        if !sent.is_small || self.rates.best().is_none_or(|best| rate >= best) {
            self.rates.add(rate, now);
        }
        let round = now.saturating_duration_since(sent.at);
        // RFC 6298 weighs an eighth; here one sample comes for each frame.
        self.round = Some(self.round.map_or(round, |before| (before * 7 + round) / 8));
        if sent.is_clear {
            self.ways.add(round, now);
            self.way_seen = Some(now);
        }
    }

    pub(crate) fn frames(&self) -> usize {
        self.in_flight.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.in_flight_bytes
    }

    /// When the viewer, awake since `awake`, counts as stalled, unless it acknowledges before.
    pub(crate) fn stalls_at(&self, awake: Instant) -> Option<Instant> {
        let oldest = self.in_flight.front()?;
        Some(oldest.at.max(self.delivered_at).max(awake) + STALL)
    }

    pub(crate) fn way(&self) -> Option<Duration> {
        self.ways.best()
    }

    /// Frames that keep 60 a second going over the time they take, and one more.
    fn frames_max(&self) -> usize {
        let Some(round) = self.round else { return FRAMES_MIN };
        let frames = round.as_micros().div_ceil(FRAME_TIME.as_micros());
        usize::try_from(frames)
            .unwrap_or(FRAMES_MAX)
            .saturating_add(1)
            .clamp(FRAMES_MIN, FRAMES_MAX)
    }

    fn bytes_max(&self) -> usize {
        let (Some(rate), Some(way)) = (self.rates.best(), self.ways.best()) else {
            return BYTES_START;
        };
        let micros = (way + QUEUE).as_micros();
        let bytes = u128::from(rate).saturating_mul(micros) / 1_000_000;
        usize::try_from(bytes).unwrap_or(BYTES_MAX).clamp(BYTES_MIN, BYTES_MAX)
    }

    /// Half at most, but for the first: one is drawn while the next is under way.
    fn frame_bytes_max(&self) -> usize {
        if self.round.is_some() { self.bytes_max() / 2 } else { BYTES_START }
    }

    fn room(&self) -> usize {
        self.bytes_max().saturating_sub(self.in_flight_bytes)
    }

    /// Whether the next frame should find the line empty and be short.
    fn wants_clear(&self, now: Instant) -> bool {
        let is_old = |seen| now.saturating_duration_since(seen) > CLEAR_EVERY;
        self.round.is_some() && self.way_seen.is_none_or(is_old)
    }
}

/// The best value of the last [`MEMORY`].
#[derive(Debug)]
struct Window<T> {
    /// Best first; each later one is worse but newer.
    samples: VecDeque<(T, Instant)>,
    is_better: fn(T, T) -> bool,
}

impl<T: Copy> Window<T> {
    fn new(is_better: fn(T, T) -> bool) -> Self {
        Self { samples: VecDeque::new(), is_better }
    }

    fn add(&mut self, value: T, now: Instant) {
        while self.samples.back().is_some_and(|&(old, _)| !(self.is_better)(old, value)) {
            self.samples.pop_back();
        }
        self.samples.push_back((value, now));
        let is_stale = |at: Instant| now.saturating_duration_since(at) > MEMORY;
        while self.samples.len() > SAMPLES_MAX
            || self.samples.len() > 1 && self.samples.front().is_some_and(|&(_, at)| is_stale(at))
        {
            self.samples.pop_front();
        }
    }

    fn best(&self) -> Option<T> {
        self.samples.front().map(|&(value, _)| value)
    }
}

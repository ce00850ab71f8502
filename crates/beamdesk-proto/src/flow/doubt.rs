//! Whether it is the line that has become slow, or whoever works at its ends.
//!
//! Frames that come late one after the other look like a slow line. A busy machine, a browser that
//! has much to do or a page whose words leave something out look the same, but only on a line do
//! smaller frames come sooner. So a rate that has fallen far is put to the test: frames are made
//! smaller, the queue is let drain, and if they still come as late, the line is as fast as before.

use std::time::{Duration, Instant};

/// Lowered by less than this, the rate is believed.
const FAR: (u64, u64) = (7, 10);
/// A test takes so long at least, twice the delay, and so many frames.
const TEST: Duration = Duration::from_millis(250);
const FRAMES: u32 = 4;
/// It has failed to make frames small by then: they are what they are.
const TEST_MAX: Duration = Duration::from_secs(2);
/// A delay that stays above this part of itself did not come from the line.
const STAYS: (u32, u32) = (4, 10);
/// Frames that cannot be much smaller.
const SMALL: usize = 8 << 10;
/// A rate that was seen counts for so long, if it turns out that it fell for nothing.
const SEEN_FOR: Duration = Duration::from_secs(60);
/// After a test that cleared the line it is trusted for so long, doubled with each in a row.
const TRUST: Duration = Duration::from_secs(5);
const TRUST_MAX: Duration = Duration::from_secs(60);
/// But not for delays so many times as long.
const WORSE: u32 = 3;
/// What no busy machine is counted on to explain.
const EXCUSED_MIN: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// The rate before it fell.
    believed: Option<u64>,
    /// The one before a test said that the line is slow.
    seen: Option<(u64, Instant)>,
    test: Option<Test>,
    trusted_until: Option<Instant>,
    trust: Option<Duration>,
    /// The delay that was found not to be the line's.
    excused: Duration,
}

#[derive(Debug)]
struct Test {
    since: Instant,
    delay: Duration,
    /// Of a frame, before.
    bytes: usize,
    /// Those that came once the queue had time to drain, and their delays together.
    frames: u32,
    delays: Duration,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The line is as slow as it looks.
    Slow,
    /// The line has this rate still.
    Cleared(u64),
}

impl Doubt {
    /// Whether a rate may be lowered at all, with delays as they are.
    pub(super) fn allows(&self, delay: Duration, now: Instant) -> bool {
        !self.trusts(now) || delay > (self.excused * WORSE).max(EXCUSED_MIN)
    }

    /// Delays come from elsewhere.
    pub(super) fn trusts(&self, now: Instant) -> bool {
        self.trusted_until.is_some_and(|until| now < until)
    }

    pub(super) fn is_testing(&self) -> bool {
        self.test.is_some()
    }

    /// Frames say that the rate is another; `bytes` and `delay`: means of them.
    pub(super) fn rate(
        &mut self,
        (old, rate): (u64, u64),
        (bytes, delay): (usize, Duration),
        now: Instant,
    ) {
        let believed = *self.believed.get_or_insert(old);
        if rate >= believed {
            self.believed = Some(rate);
        } else if self.test.is_none() && rate < believed / FAR.1 * FAR.0 {
            self.trusted_until = None;
            let test = Test { since: now, delay, bytes, frames: 0, delays: Duration::ZERO };
            self.test = Some(test);
        }
    }

    /// A frame came, sent at `sent`.
    pub(super) fn frame(
        &mut self,
        (bytes, sent, delay): (usize, Instant, Duration),
        way: Duration,
        now: Instant,
    ) -> Option<Verdict> {
        let test = self.test.as_mut()?;
        let time = now.saturating_duration_since(test.since);
        let length = TEST.max(test.delay * 2) + way;
        if sent >= test.since && bytes <= (test.bytes / 2).max(SMALL) && time >= length / 2 {
            test.frames += 1;
            test.delays += delay;
        }
        let is_done = time >= length && test.frames >= FRAMES;
        if !is_done && time < TEST_MAX.max(test.delay * 4) {
            return None;
        }
        let stays = is_done && test.delays * STAYS.1 > test.delay * test.frames * STAYS.0;
        let delay = test.delay;
        self.test = None;
        match self.believed {
            Some(believed) if stays => {
                let trust = self.trust.map_or(TRUST, |before| (before * 2).min(TRUST_MAX));
                self.trust = Some(trust);
                self.trusted_until = Some(now + trust);
                self.excused = delay;
                let is_new =
                    |&(_, at): &(u64, Instant)| now.saturating_duration_since(at) < SEEN_FOR;
                let seen = self.seen.take_if(|seen| is_new(seen)).map_or(0, |(rate, _)| rate);
                self.believed = Some(believed.max(seen));
                Some(Verdict::Cleared(believed.max(seen)))
            }
            Some(_) | None => {
                self.trust = None;
                let before =
                    self.seen.filter(|&(_, at)| now.saturating_duration_since(at) < SEEN_FOR);
                let before = before.map_or(0, |(rate, _)| rate);
                self.seen = self.believed.take().map(|believed| (believed.max(before), now));
                Some(Verdict::Slow)
            }
        }
    }

    pub(super) fn rested(&mut self) {
        self.test = None;
    }
}

//! The network path as a queue: how long its way is, how fast it is served, how long frames wait.
//!
//! A line that carries one frame after the other gives each frame away at
//! `max(sent + way, arrival of the one before) + bytes ÷ rate`, so each acknowledgement measures
//! the rate, whether the line was full or not. Delays that do not come from the line (a busy
//! machine, a browser that paused) only ever lengthen a sample. Hence: any sum of samples may raise
//! the rate; it is lowered by frames that stood in line, or by delays so long and so lasting that
//! nothing else explains them. Then what was known before no longer counts.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::doubt::{Doubt, Verdict};

/// Clocks of browsers and schedulers are no finer.
const BUSY_MIN: Duration = Duration::from_millis(1);
/// Samples older than this no longer count.
const SAMPLES_FOR: Duration = Duration::from_secs(1);
/// One for each frame of both kinds in that time.
const SAMPLES_MAX: usize = 128;
/// Fewer bytes than one tile of noise lower nothing.
const EVIDENCE_BYTES: usize = 16 << 10;
/// A frame that waited so long for the one before it stood in line.
const IN_LINE: Duration = Duration::from_millis(15);
/// So much time in line measures the rate whatever a single frame's clock said.
const IN_LINE_SUM: Duration = Duration::from_millis(60);
/// Delays beyond what the rate explains, by more than a frame's way through a busy machine.
const EXCESS: Duration = Duration::from_millis(40);
/// A lost packet delays what is behind it for one round; a slower line delays for longer.
const LASTING: Duration = Duration::from_millis(100);
/// A frame so many times the size of those the way is known by has a time of its own.
const NEWS: usize = 4;
/// Frames all of one size say nothing of the rate but that the line carries them: after so many
/// that counts.
const EQUALS: u32 = 16;
/// What a line is believed to carry before anything is known: 20 Mbit/s are fair on a campus.
pub(super) const RATE_START: u64 = 2_500_000;
/// With no more than this in flight a frame's time is the way's.
const CLEAR_BYTES: usize = 32 << 10;
/// Ways measured longer ago no longer count, once there are newer ones.
const WAYS_FOR: Duration = Duration::from_secs(10);
/// One a second in that time, and the oldest.
const WAYS_MAX: usize = 12;
/// The way is measured at least so often while the line is full.
const WAY_EVERY: Duration = Duration::from_secs(5);
/// How far a frame's time may be from what way and rate say and still confirm them.
const CONFIRMS: Duration = Duration::from_millis(5);

/// What one acknowledgement says about the line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passage {
    pub(super) bytes: usize,
    pub(super) sent: Instant,
    /// When the frame had come in at the viewer, plus the way back.
    pub(super) arrived: Instant,
    /// When it was sent, itself included.
    pub(super) in_flight: usize,
    /// The viewer was at work when it came: `arrived` may be too late.
    pub(super) is_late: bool,
    pub(super) now: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Line {
    ways: VecDeque<Way>,
    /// When the newest of `ways` was measured or found right.
    way_seen: Option<Instant>,
    /// When the last acknowledged frame arrived.
    arrived: Option<Instant>,
    samples: VecDeque<Sample>,
    /// Bytes per second.
    rate: Option<u64>,
    /// Frames that were no larger than those that measured the way.
    equals: u32,
    /// Time frames waited in line, smoothed.
    queue: Duration,
    doubt: Doubt,
}

#[derive(Debug, Clone, Copy)]
struct Way {
    time: Duration,
    /// Their own time is in it.
    bytes: usize,
    at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    bytes: usize,
    /// Time the line was at work for it.
    busy: Duration,
    /// Time on top of the way.
    delay: Duration,
    /// It is none of those that the way is known by.
    may_raise: bool,
    in_line: bool,
    at: Instant,
}

impl Line {
    pub(super) fn passed(&mut self, passage: Passage) {
        let Passage { bytes, in_flight, sent, arrived, is_late, now } = passage;
        let is_alone = in_flight == bytes;
        let time = arrived.saturating_duration_since(sent);
        // What a frame says about the way it cannot say about the rate.
        let is_news = self.ways.iter().any(|way| bytes / NEWS >= way.bytes);
        self.equals = if is_news { 0 } else { self.equals.saturating_add(1) };
        if !is_late && (is_alone || in_flight <= CLEAR_BYTES) {
            // Nothing could have been before it: that is the way now, whatever it was.
            if is_alone && self.wants_way(now) {
                self.ways.clear();
            }
            let confirms = self.way().is_none_or(|way| time <= way + CONFIRMS);
            self.note_way(Way { time, bytes: in_flight, at: now }, is_alone || confirms);
        }
        let Some(way) = self.way() else { return self.arrived = Some(arrived) };
        let alone = sent + way;
        let begun = self.arrived.map_or(alone, |before| before.max(alone));
        let busy = arrived.saturating_duration_since(begun).max(BUSY_MIN);
        let expected = self.time_of(bytes);
        if is_late {
            // The line may have been done long before: believe the rate, as far as there is one.
            self.arrived = Some(expected.map_or(arrived, |time| arrived.min(begun + time)));
            return;
        }
        self.arrived = Some(arrived.max(begun));
        let waited = begun.saturating_duration_since(alone);
        let delay = arrived.saturating_duration_since(alone);
        let over = expected.map_or(waited, |expected| delay.saturating_sub(expected));
        self.queue = (self.queue * 7 + over) / 8;
        if waited.is_zero() && expected.is_some_and(|time| busy.abs_diff(time) < CONFIRMS) {
            self.note_way(Way { time: way, bytes: 0, at: now }, true);
        }
        let may_raise = is_news || !waited.is_zero();
        if self.rate.is_none() && !may_raise && self.equals < EQUALS {
            return;
        }
        let in_line = waited >= IN_LINE;
        self.note(Sample { bytes, busy, delay, may_raise, in_line, at: now });
        self.measure(way, now);
        match self.doubt.frame((bytes, sent, delay), way, now) {
            Some(Verdict::Cleared(rate)) => {
                self.rate = Some(rate);
                self.samples.clear();
            }
            Some(Verdict::Slow) | None => {}
        }
    }

    /// Whether frames should be few and small, so that it shows what delays them.
    pub(super) fn is_tested(&self) -> bool {
        self.doubt.is_testing()
    }

    /// Whether it was found that what delays frames is not the line.
    pub(super) fn is_cleared(&self, now: Instant) -> bool {
        self.doubt.trusts(now)
    }

    /// Shortest time lately from sending to arrival and back.
    pub(super) fn way(&self) -> Option<Duration> {
        self.ways.iter().map(|way| way.time).min()
    }

    /// Whether the way was not seen for so long that a queue may hide it.
    pub(super) fn wants_way(&self, now: Instant) -> bool {
        self.way_seen.is_none_or(|seen| now.saturating_duration_since(seen) > WAY_EVERY)
    }

    /// Bytes per second.
    pub(super) fn rate(&self) -> Option<u64> {
        self.rate
    }

    pub(super) fn queue(&self) -> Duration {
        self.queue
    }

    /// How long the line is at work for so many bytes.
    pub(super) fn time_of(&self, bytes: usize) -> Option<Duration> {
        let rate = self.rate?.max(1);
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Some(Duration::from_micros(bytes.saturating_mul(1_000_000) / rate))
    }

    /// When a frame sent at `sent`, the next to be acknowledged, will have arrived.
    pub(super) fn expected(&self, bytes: usize, sent: Instant) -> Option<Instant> {
        let alone = sent + self.way()?;
        let begun = self.arrived.map_or(alone, |before| before.max(alone));
        Some(begun + self.time_of(bytes)?)
    }

    /// The least delay on top of the way that frames had lately, their own time in it: one that
    /// lasts, not that of a lost packet. Of two frames at least.
    pub(super) fn lasting_delay(&self, now: Instant) -> Option<Duration> {
        let mut delays = self.lately(now).map(|sample| sample.delay);
        let first = delays.next()?;
        delays.next().map(|second| delays.fold(first.min(second), Duration::min))
    }

    /// What was sent before now was not on the line alone: the viewer rested.
    pub(super) fn rested(&mut self) {
        self.samples.clear();
        self.arrived = None;
        self.doubt.rested();
    }

    fn note_way(&mut self, way: Way, is_sure: bool) {
        if is_sure {
            self.way_seen = Some(way.at);
        }
        let is_stale = |old: &Way| way.at.saturating_duration_since(old.at) > WAYS_FOR;
        while self.ways.len() > 1 && self.ways.front().is_some_and(is_stale) {
            self.ways.pop_front();
        }
        // The best of each second is enough.
        if let Some(last) = self.ways.back_mut()
            && way.at.saturating_duration_since(last.at) < WAYS_FOR / 10
        {
            if way.time <= last.time {
                (last.time, last.bytes) = (way.time, way.bytes);
            }
            return;
        }
        self.ways.push_back(way);
        if self.ways.len() > WAYS_MAX {
            self.ways.pop_front();
        }
    }

    fn note(&mut self, sample: Sample) {
        self.samples.push_back(sample);
        let is_stale = |old: &Sample| sample.at.saturating_duration_since(old.at) > SAMPLES_FOR;
        while self.samples.len() > SAMPLES_MAX || self.samples.front().is_some_and(is_stale) {
            self.samples.pop_front();
        }
    }

    fn measure(&mut self, way: Duration, now: Instant) {
        let tells = |sample: &&Sample| sample.may_raise || sample.busy > CONFIRMS;
        let all = rate_of(self.samples.iter().filter(tells));
        let Some(rate) = self.rate else {
            let bytes: usize = self.samples.iter().map(|sample| sample.bytes).sum();
            if bytes >= EVIDENCE_BYTES
                && let Some(rate) = all
            {
                self.rate = all;
                // Slow from the start may be a page that is still busy with itself.
                let delay = self.samples.back().map_or(Duration::ZERO, |sample| sample.delay);
                self.doubt.rate((rate.max(RATE_START), rate), (bytes, delay), now);
            }
            return;
        };
        let slower = self.slower(way, now);
        let in_line = || self.samples.iter().rev().take_while(|sample| sample.in_line);
        let sum: Duration = in_line().map(|sample| sample.busy).sum();
        let bytes: usize = in_line().map(|sample| sample.bytes).sum();
        let new = match slower {
            Some(kept) => rate_of(self.samples.iter().rev().take(kept)),
            None if sum >= IN_LINE_SUM && bytes >= EVIDENCE_BYTES => rate_of(in_line()),
            None => all.filter(|&all| all > rate),
        };
        let Some(new) = new else { return };
        let delay = self.lasting_delay(now).unwrap_or_default();
        if new < rate && !self.doubt.allows(delay, now) {
            return;
        }
        if let Some(kept) = slower {
            self.samples.drain(..self.samples.len() - kept);
        }
        self.rate = Some(new);
        let count = u32::try_from(self.lately(now).count()).unwrap_or(1).max(1);
        let bytes = self.lately(now).map(|sample| sample.bytes).sum::<usize>()
            / usize::try_from(count).unwrap_or(1);
        let mean = self.lately(now).map(|sample| sample.delay).sum::<Duration>() / count;
        self.doubt.rate((rate, new), (bytes, mean), now);
    }

    /// Whether delays say that the line is slower than believed: the newest samples that say so.
    fn slower(&self, way: Duration, now: Instant) -> Option<usize> {
        let unexplained = |sample: &Sample| {
            sample.busy.saturating_sub(self.time_of(sample.bytes).unwrap_or_default())
        };
        let excess = self.lately(now).map(unexplained).min()?;
        let bytes: usize = self.lately(now).map(|sample| sample.bytes).sum();
        let count = self.lately(now).count();
        let is_so = count >= 2 && excess > EXCESS.max(way / 4) && bytes >= EVIDENCE_BYTES;
        is_so.then_some(count)
    }

    /// Samples of the last [`LASTING`], and the two newest in any case.
    fn lately(&self, now: Instant) -> impl Iterator<Item = &Sample> {
        let is_late = move |sample: &Sample| now.saturating_duration_since(sample.at) <= LASTING;
        let newest = self.samples.iter().rev().enumerate();
        newest.take_while(move |&(at, sample)| at < 2 || is_late(sample)).map(|(_, sample)| sample)
    }
}

fn rate_of<'a>(samples: impl Iterator<Item = &'a Sample>) -> Option<u64> {
    let (bytes, busy) = samples.fold((0_u64, Duration::ZERO), |(bytes, busy), sample| {
        (bytes.saturating_add(u64::try_from(sample.bytes).unwrap_or(0)), busy + sample.busy)
    });
    let micros = u64::try_from(busy.as_micros()).unwrap_or(u64::MAX);
    bytes.saturating_mul(1_000_000).checked_div(micros).map(|rate| rate.max(1))
}

//! How much may be in flight to one viewer: frames and bytes, from its acknowledgements.
//!
//! Allowed are the bytes that the line holds on its way and 50 ms of queue, so that nothing older
//! waits anywhere, and the frames that keep 60 a second going over the time they take. Tiles and
//! video are paced apart and share the line. What the page cannot follow is not sent either. The
//! way can be seen only while no queue stands; when it was not for long, the line is let run empty
//! once.

mod doubt;
mod line;
mod pace;
mod page;
mod target;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::control::Limit;

use self::{
    line::{Line, Passage},
    pace::Pace,
    page::Work,
    target::Target,
};

pub use page::ViewerCost;

/// Frames a second, at most.
const FRAME_TIME: Duration = Duration::from_micros(16_667);
/// Two: one being drawn while the next is under way.
const FRAMES_MIN: usize = 2;
/// Of each kind: sixteen hold 60 frames a second over 250 ms of way.
const FRAMES_MAX: usize = 16;
/// Before anything is known: a screenful of text passes at once.
const BYTES_START: usize = 256 << 10;
/// Keeps a slow line from starving: half a second at 1 Mbit/s.
const BYTES_MIN: usize = 64 << 10;
/// What a viewer that stops reading can cost the agent, and one finished video frame.
const BYTES_MAX: usize = 4 << 20;
/// Queue allowed on top of what the line itself holds.
const QUEUE: Duration = Duration::from_millis(50);
/// One tile of noise fits; less room than this waits for the next acknowledgement.
const FRAME_BYTES_MIN: usize = 16 << 10;
/// A frame that takes next to no time of its own: a few plain tiles. Encoders send one in any case.
const PROBE_BYTES: usize = 2 << 10;
/// Of the bytes in flight while something moves: what rests may take one of so many.
const REFINE_PART: usize = 4;
/// The same for 16-bit pictures while nothing moves as video: tiles find room behind them.
const SLICE_PART: usize = 2;
/// Of the line's rate, what video has at least, however many tiles go beside it.
const VIDEO_PART: u64 = 3;
/// What tiles took for so long tells what they will take.
const TILES_FOR: Duration = Duration::from_millis(250);
/// A frame so late, beyond a quarter of the way, means that the line has stopped or slowed down.
const OVERDUE: Duration = Duration::from_millis(40);
/// A frame takes no longer where nothing is known yet.
const FIRST: Duration = Duration::from_secs(1);
/// A viewer that acknowledges nothing for so long has stalled.
const STALL: Duration = Duration::from_secs(20);
/// What limits is told for so long after it was last seen to.
const LIMITS_FOR: Duration = Duration::from_secs(1);

/// What paints a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tiles,
    Video,
    /// Nothing of the picture: values of 16-bit pictures.
    Slice,
}

/// A viewer's word on one frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown {
    pub(crate) decode: Duration,
    pub(crate) present: Duration,
}

#[derive(Debug)]
pub(crate) struct Flow {
    in_flight: VecDeque<Sent>,
    in_flight_bytes: usize,
    /// Whether any frame was ever sent, and any acknowledged.
    began: bool,
    is_answered: bool,
    /// When a frame was last acknowledged.
    acknowledged: Option<Instant>,
    tiles: Lane,
    video: Lane,
    slices: Lane,
    /// A video frame was begun and has not been sent.
    video_begun: bool,
    /// Nothing moves as video any more: what rests may have all of the line.
    video_rests: bool,
    line: Line,
    target: Target,
    network_limits: Option<Instant>,
    browser_limits: Option<Instant>,
    /// When frames of each kind were sent in the last second, and their bytes.
    sent: VecDeque<(Instant, Kind, usize)>,
}

/// One kind of frames.
#[derive(Debug)]
struct Lane {
    pace: Pace,
    work: Work,
    /// Of a frame, smoothed.
    bytes: usize,
}

impl Lane {
    fn new(slack: Duration) -> Self {
        Self { pace: Pace::new(slack), work: Work::default(), bytes: 0 }
    }

    /// Time between frames that the page can follow, and a little more, so that what waits there
    /// gets less.
    fn interval(&self) -> Duration {
        let busy = self.work.busy();
        if busy > FRAME_TIME { busy + busy / 16 } else { FRAME_TIME }
    }
}

#[derive(Debug)]
struct Sent {
    kind: Kind,
    bytes: usize,
    tiles: usize,
    at: Instant,
    /// Bytes in flight then, itself included.
    in_flight: usize,
    /// The viewer rested meanwhile: its times say nothing.
    is_rested: bool,
}

impl Flow {
    pub(crate) fn new() -> Self {
        Self {
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            began: false,
            is_answered: false,
            acknowledged: None,
            // Two tile frames may follow at once: a key's echo need not wait for the movie's beat.
            tiles: Lane::new(FRAME_TIME),
            video: Lane::new(FRAME_TIME / 2),
            slices: Lane::new(FRAME_TIME),
            video_begun: false,
            video_rests: false,
            line: Line::default(),
            target: Target::new(),
            network_limits: None,
            browser_limits: None,
            sent: VecDeque::new(),
        }
    }

    /// Bytes the next frame of tiles may have. `None`: wait, see [`Self::paced_until`].
    pub(crate) fn budget(&self, now: Instant) -> Option<usize> {
        if self.tiles.pace.is_early(now) || self.is_full(Kind::Tiles, now) {
            return None;
        }
        // The first measures the way, so that the second can measure the rate.
        if !self.began || self.wants_clear(now) {
            return Some(PROBE_BYTES);
        }
        // A video frame finds room behind it.
        let video = if self.has_video(now) { self.video_target(now) } else { 0 };
        let room = self.room().saturating_sub(video).max(FRAME_BYTES_MIN);
        Some(room.min(self.frame_bytes_max()))
    }

    /// The same for what can wait: beside video it leaves most of the line to that.
    pub(crate) fn refine_budget(&self, now: Instant) -> Option<usize> {
        let budget = self.budget(now)?;
        if !self.has_video(now) {
            return Some(budget);
        }
        let most = (self.bytes_max() / REFINE_PART).max(FRAME_BYTES_MIN);
        let room = most.saturating_sub(self.bytes_of(Kind::Tiles)).min(budget);
        (room >= FRAME_BYTES_MIN).then_some(room)
    }

    /// The same for 16-bit pictures, beside which all else finds room. `None`: wait, see
    /// [`Self::paced_until`].
    pub(crate) fn slice_budget(&self, now: Instant) -> Option<usize> {
        // The picture comes first.
        let is_none =
            !self.is_answered || self.slices.pace.is_early(now) || self.is_full(Kind::Slice, now);
        if is_none {
            return None;
        }
        let part = if self.has_video(now) { REFINE_PART } else { SLICE_PART };
        let most = (self.bytes_max() / part).max(FRAME_BYTES_MIN);
        let room = most.saturating_sub(self.bytes_of(Kind::Slice)).min(self.room());
        (room >= FRAME_BYTES_MIN).then_some(room)
    }

    /// Bytes a video frame begun now should have. `None`: wait, see [`Self::paced_until`].
    pub(crate) fn video_budget(&self, now: Instant) -> Option<usize> {
        let is_none =
            self.video_begun || self.video.pace.is_early(now) || self.is_full(Kind::Video, now);
        if is_none { None } else { Some(self.video_target(now)) }
    }

    pub(crate) fn video_target(&self, now: Instant) -> usize {
        self.target.bytes(self.video_rate(now))
    }

    /// No frame before this, whatever is acknowledged.
    pub(crate) fn paced_until(&self, kind: Kind) -> Option<Instant> {
        self.lane(kind).pace.until()
    }

    /// Whether only an acknowledgement (or for video, the frame begun) can give a budget.
    pub(crate) fn is_full(&self, kind: Kind, now: Instant) -> bool {
        let frames = self.in_flight.iter().filter(|sent| sent.kind == kind).count();
        frames >= self.frames_max(kind)
            || kind == Kind::Video && self.video_begun
            || self.room() < FRAME_BYTES_MIN
            || self.is_overdue(now)
            || self.wants_clear(now) && !self.in_flight.is_empty()
    }

    /// A video frame goes to its encoder.
    pub(crate) fn video_started(&mut self, now: Instant) {
        self.video_begun = true;
        self.video_rests = false;
        self.target.begin(self.line.rate(), now);
        let interval = self.video.interval();
        self.video.pace.spend(now, interval);
    }

    /// Nothing came of the video frame that was begun.
    pub(crate) fn video_dropped(&mut self) {
        self.video_begun = false;
    }

    /// Nothing moves as video until the next such frame is begun.
    pub(crate) fn video_rests(&mut self) {
        self.video_rests = true;
    }

    pub(crate) fn sent(&mut self, kind: Kind, bytes: usize, tiles: usize, now: Instant) {
        let was_begun = kind == Kind::Video && std::mem::take(&mut self.video_begun);
        let lane = self.lane_mut(kind);
        lane.bytes = (lane.bytes.saturating_mul(7).saturating_add(bytes)) / 8;
        if !was_begun {
            let interval = lane.interval();
            lane.pace.spend(now, interval);
        }
        self.began = true;
        self.in_flight_bytes = self.in_flight_bytes.saturating_add(bytes);
        let in_flight = self.in_flight_bytes;
        self.in_flight.push_back(Sent { kind, bytes, tiles, at: now, in_flight, is_rested: false });
        self.sent.push_back((now, kind, bytes));
        self.forget_sent(now);
    }

    /// The oldest frame in flight is acknowledged.
    pub(crate) fn acknowledged(&mut self, shown: Shown, now: Instant) {
        let Some(sent) = self.in_flight.pop_front() else { return };
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(sent.bytes);
        self.is_answered = true;
        let before = self.acknowledged.replace(now);
        if sent.is_rested {
            return;
        }
        // It may say anything; it cannot have begun before the frame was sent.
        let round = now.saturating_duration_since(sent.at);
        let work = shown.decode.saturating_add(shown.present).min(round);
        let arrived = now.checked_sub(work).unwrap_or(sent.at);
        let waited = before.is_some_and(|before| {
            before >= sent.at && arrived >= before && page::began_at_once(arrived - before)
        });
        let was_tested = self.line.is_tested();
        self.line.passed(Passage {
            bytes: sent.bytes,
            sent: sent.at,
            arrived,
            in_flight: sent.in_flight,
            is_late: waited,
            now,
        });
        let delay = self.line.lasting_delay(now);
        let drains = self.line.is_tested();
        let is_cleared = self.line.is_cleared(now);
        if was_tested && is_cleared {
            self.target.forget();
        }
        let way = self.line.way().unwrap_or_default();
        let lane = self.lane_mut(sent.kind);
        if is_cleared {
            // What delays frames is somewhere behind the line, and takes one after the other: this
            // one if it was there before the one before it was done.
            let there = sent.at + way;
            let gap = before.filter(|&before| before > there).map(|before| now - before);
            lane.work.done_in_silence(sent.tiles, work, gap, now - there.min(now));
        } else {
            lane.work.done(sent.tiles, work, waited);
        }
        if sent.kind == Kind::Video {
            self.target.passed(sent.bytes, (delay, drains), self.video_rate(now));
        }
        let rested = before.map_or(Duration::MAX, |before| now.saturating_duration_since(before));
        self.note_limits(&sent, work >= rested / 4 * 3, now);
    }

    /// The viewer is back from a rest: what was in flight meanwhile measures nothing.
    pub(crate) fn rested(&mut self) {
        self.in_flight.iter_mut().for_each(|sent| sent.is_rested = true);
        self.line.rested();
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
        let heard = self.acknowledged.map_or(oldest.at, |at| at.max(oldest.at));
        Some(heard.max(awake) + STALL)
    }

    pub(crate) fn way(&self) -> Option<Duration> {
        self.line.way()
    }

    pub(crate) fn rate(&self) -> Option<u64> {
        self.line.rate()
    }

    pub(crate) fn queue(&self) -> Duration {
        self.line.queue()
    }

    /// Bytes that the line carries in the time of one frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        match self.line.rate() {
            Some(rate) => usize::try_from(rate / 60).unwrap_or(usize::MAX),
            None => BYTES_START / 4,
        }
    }

    pub(crate) fn viewer_cost(&self) -> ViewerCost {
        let (tiles_frame, tile) = self.tiles.work.cost();
        let (video_frame, video_tile) = self.video.work.cost();
        ViewerCost { tiles_frame, tile, video_frame, video_tile }
    }

    pub(crate) fn limit(&self, now: Instant) -> Limit {
        let lately =
            |at: Option<Instant>| at.filter(|&at| now.saturating_duration_since(at) < LIMITS_FOR);
        match (lately(self.network_limits), lately(self.browser_limits)) {
            (None, None) if self.is_overdue(now) => Limit::Network,
            (None, None) => Limit::Nothing,
            (Some(_), None) => Limit::Network,
            (None, Some(_)) => Limit::Browser,
            (Some(network), Some(browser)) if network > browser => Limit::Network,
            (Some(_), Some(_)) => Limit::Browser,
        }
    }

    /// Pictures sent in the last second; tiles and video of one picture count once.
    pub(crate) fn frames_per_s(&self, now: Instant) -> u16 {
        let count = |kind| {
            let is_new = |at: Instant| now.saturating_duration_since(at) < Duration::from_secs(1);
            self.sent.iter().filter(|&&(at, of, _)| of == kind && is_new(at)).count()
        };
        u16::try_from(count(Kind::Tiles).max(count(Kind::Video))).unwrap_or(u16::MAX)
    }

    /// Frames that keep 60 a second going over the time they take, and one more; fewer where the
    /// page is slower than that, since more would only wait for it.
    fn frames_max(&self, kind: Kind) -> usize {
        let Some(way) = self.line.way() else { return FRAMES_MIN };
        let own = self.lane(kind);
        let others = [Kind::Tiles, Kind::Video, Kind::Slice]
            .into_iter()
            .filter(|&other| other != kind && self.in_flight.iter().any(|sent| sent.kind == other));
        let others: Duration = others.map(|other| self.lane(other).work.mean()).sum();
        let in_line = self.line.time_of(own.bytes).unwrap_or_default() + self.line.queue();
        let time = way + in_line.min(FRAME_TIME) + own.work.mean() + others;
        let interval = own.interval();
        let frames = time.as_micros().div_ceil(interval.as_micros());
        let more = usize::from(interval == FRAME_TIME);
        usize::try_from(frames)
            .unwrap_or(FRAMES_MAX)
            .saturating_add(more)
            .clamp(FRAMES_MIN, FRAMES_MAX)
    }

    /// Whether the line must keep room for a next video frame.
    fn has_video(&self, now: Instant) -> bool {
        !self.video_rests && self.target.is_live(now)
    }

    /// What tiles leave of the line's rate.
    fn video_rate(&self, now: Instant) -> Option<u64> {
        let rate = self.line.rate()?;
        let is_new = |at: Instant| now.saturating_duration_since(at) < TILES_FOR;
        let tiles = self.sent.iter().filter(|&&(at, kind, _)| kind == Kind::Tiles && is_new(at));
        let bytes: usize = tiles.map(|&(_, _, bytes)| bytes).sum();
        let parts = 1000 / u64::try_from(TILES_FOR.as_millis()).unwrap_or(1000);
        let tiles = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(parts);
        Some(rate.saturating_sub(tiles).max(rate / VIDEO_PART))
    }

    fn bytes_of(&self, kind: Kind) -> usize {
        self.in_flight.iter().filter(|sent| sent.kind == kind).map(|sent| sent.bytes).sum()
    }

    fn lane(&self, kind: Kind) -> &Lane {
        match kind {
            Kind::Tiles => &self.tiles,
            Kind::Video => &self.video,
            Kind::Slice => &self.slices,
        }
    }

    fn lane_mut(&mut self, kind: Kind) -> &mut Lane {
        match kind {
            Kind::Tiles => &mut self.tiles,
            Kind::Video => &mut self.video,
            Kind::Slice => &mut self.slices,
        }
    }

    fn bytes_max(&self) -> usize {
        let (Some(rate), Some(way)) = (self.line.rate(), self.line.way()) else {
            return BYTES_START;
        };
        let queue = if self.line.is_tested() { QUEUE / 4 } else { QUEUE };
        let micros = (way + queue).as_micros();
        let bytes = u128::from(rate).saturating_mul(micros) / 1_000_000;
        usize::try_from(bytes).unwrap_or(BYTES_MAX).clamp(BYTES_MIN, BYTES_MAX)
    }

    /// Half at most, but for the first: one is drawn while the next is under way.
    fn frame_bytes_max(&self) -> usize {
        if self.line.rate().is_some() { self.bytes_max() / 2 } else { BYTES_START }
    }

    fn room(&self) -> usize {
        self.bytes_max().saturating_sub(self.in_flight_bytes)
    }

    /// Whether the oldest frame should have been acknowledged long ago.
    fn is_overdue(&self, now: Instant) -> bool {
        let Some(oldest) = self.in_flight.front().filter(|oldest| !oldest.is_rested) else {
            return false;
        };
        let work = self.lane(oldest.kind).work.mean();
        let patience = OVERDUE + self.line.way().unwrap_or_default() / 4 + work;
        let expected = self.line.expected(oldest.bytes, oldest.at);
        now > expected.unwrap_or(oldest.at + FIRST) + patience
    }

    /// Whether the next frame should find the line empty and be short.
    fn wants_clear(&self, now: Instant) -> bool {
        self.is_answered && self.line.wants_way(now)
    }

    fn note_limits(&mut self, sent: &Sent, is_at_work: bool, now: Instant) {
        let own = self.line.time_of(sent.bytes).unwrap_or_default();
        if self.line.queue() > QUEUE / 4 || own > FRAME_TIME {
            self.network_limits = Some(now);
        }
        if is_at_work && self.lane(sent.kind).work.busy() > FRAME_TIME {
            self.browser_limits = Some(now);
        }
    }

    fn forget_sent(&mut self, now: Instant) {
        let is_old = |&(at, ..): &(Instant, Kind, usize)| {
            now.saturating_duration_since(at) > Duration::from_secs(1)
        };
        while self.sent.front().is_some_and(is_old) {
            self.sent.pop_front();
        }
    }
}

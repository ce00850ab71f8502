//! The pace of a stream over lines and pages of all kinds, in virtual time.

use std::time::{Duration, Instant};

use beamdesk_proto::{
    AgentSession, EncodedFrame,
    control::{Limit, Quality, VERSION, ViewerMessage},
    wire::{Ack, Header, kind},
};

use crate::line::{Cargo, Line, STEP};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// Time a frame takes in its encoder.
const ENCODING: Duration = Duration::from_millis(8);

#[test]
fn on_loopback_video_goes_at_sixty_frames_a_second() {
    let mut run = Run::new(Line::new(2000.0, 1));
    run.line.jitter = 4 * MILLI;
    run.video(|target| target.min(60_000), 12 * MILLI);
    run.go(10 * SECOND);
    run.forget(2 * SECOND);
    assert!(run.frames_per_s() >= 58.0, "{} frames a second", run.frames_per_s());
    assert!(run.longest_gap() < 60 * MILLI, "{:?}", run.longest_gap());
    assert_eq!(run.session.limit(run.now), Limit::Nothing);
    assert_eq!(run.session.status(run.now).frames_per_s, 60);
}

#[test]
fn a_source_that_beats_a_little_late_now_and_then_loses_no_frame() {
    let mut run = Run::new(Line::new(1000.0, 1));
    run.source_jitter = 5 * MILLI;
    run.video(|target| target.min(60_000), 5 * MILLI);
    run.go(10 * SECOND);
    run.forget(2 * SECOND);
    assert!(run.frames_per_s() >= 58.5, "{} frames a second", run.frames_per_s());
}

#[test]
fn tiles_of_each_frame_go_beside_its_video() {
    let mut run = Run::new(Line::new(1000.0, 1));
    run.video(|target| target.min(60_000), 8 * MILLI);
    run.small = Some(16 * MILLI);
    run.go(5 * SECOND);
    run.forget(SECOND);
    assert!(run.frames_per_s() >= 57.0, "{} video frames a second", run.frames_per_s());
    let tiles = run.back.iter().filter(|back| !back.0).count();
    assert!(tiles > 4 * 56, "{tiles} frames of tiles in four seconds");
}

#[test]
fn video_takes_most_of_a_line_and_lets_no_queue_stand() {
    // Mbit/s, milliseconds of way, least share of the line after two seconds.
    for (rate, way, least) in [(100.0, 20, 0.6), (20.0, 80, 0.6), (10.0, 20, 0.6), (50.0, 150, 0.6)]
    {
        let mut run = Run::new(Line::new(rate, way));
        run.line.jitter = MILLI;
        run.video(|target| target, 5 * MILLI);
        run.go(10 * SECOND);
        run.forget(2 * SECOND);
        let used = run.share();
        assert!(used > least, "{used} of {rate} Mbit/s were used");
        assert!(run.longest_wait() <= 50 * MILLI, "{:?} at {rate} Mbit/s", run.longest_wait());
        assert!(run.frames_per_s() > 55.0, "{} frames a second at {rate}", run.frames_per_s());
        assert!(run.longest_gap() < 120 * MILLI, "{:?} at {rate}", run.longest_gap());
    }
}

#[test]
fn an_encoder_that_misses_its_target_does_no_harm() {
    for (rate, way) in [(100.0, 20), (20.0, 80)] {
        let mut run = Run::new(Line::new(rate, way));
        run.line.jitter = MILLI;
        run.miss = true;
        run.video(|target| target, 5 * MILLI);
        run.go(10 * SECOND);
        run.forget(2 * SECOND);
        assert!(run.share() > 0.6, "{} of {rate} Mbit/s", run.share());
        assert!(run.longest_wait() <= 60 * MILLI, "{:?} at {rate} Mbit/s", run.longest_wait());
        assert!(run.frames_per_s() > 54.0, "{} frames a second at {rate}", run.frames_per_s());
    }
}

#[test]
fn the_first_second_is_good_already() {
    for (rate, way) in [(100.0, 20), (20.0, 80), (500.0, 2)] {
        let mut run = Run::new(Line::new(rate, way));
        run.bulk = true;
        run.go(500 * MILLI);
        run.bulk = false;
        run.video(|target| target.min(100_000), 5 * MILLI);
        run.go(SECOND);
        run.forget(700 * MILLI);
        assert!(run.frames_per_s() > 50.0, "{} frames a second at {rate}", run.frames_per_s());
        let ideal = (rate * 1e6 / 8.0 / 60.0_f64).min(100_000.0);
        let mean = run.mean_video_bytes();
        assert!(mean > 0.6 * ideal, "{mean} of {ideal} bytes a frame at {rate}");
    }
}

#[test]
fn refinement_fills_the_line_and_its_queue_stays_short() {
    for (rate, way) in [(100.0, 20), (20.0, 80), (5.0, 30), (200.0, 1)] {
        let mut run = Run::new(Line::new(rate, way));
        run.line.jitter = MILLI;
        run.bulk = true;
        run.go(10 * SECOND);
        run.forget(SECOND);
        let used = run.share();
        assert!(used >= 0.85, "{used} of {rate} Mbit/s were used");
        let wait = run.longest_wait();
        let allowed = (50 * MILLI).max(run.time_of(64 << 10)) + run.line.way / 4 + 10 * MILLI;
        assert!(wait <= allowed, "{wait:?} of queue at {rate} Mbit/s");
    }
}

#[test]
fn a_screenful_comes_over_a_line_nobody_knew_about_as_fast_as_it_can() {
    // A noisy slice: 1.5 MB; the bound for it: 1.2 times its time and 100 ms.
    for (rate, way) in [(100.0, 20), (20.0, 80)] {
        let mut run = Run::new(Line::new(rate, way));
        run.bulk_bytes = Some(1_500_000);
        run.bulk = true;
        run.go(3 * SECOND);
        let took = run.back.last().unwrap().2.duration_since(run.began);
        let bound = run.time_of(1_500_000) * 12 / 10 + 100 * MILLI;
        assert!(took <= bound, "{took:?}, not {bound:?}, at {rate} Mbit/s");
    }
}

#[test]
fn what_moved_as_video_becomes_exact_at_the_lines_rate_once_it_rests() {
    // The bound: 1.2 times the time of the bytes and 100 ms, from the last change.
    for (rate, way, bytes) in [(100.0, 20, 1_200_000), (20.0, 80, 650_000), (10.0, 40, 400_000)] {
        let mut run = Run::new(Line::new(rate, way));
        run.line.jitter = MILLI;
        run.video(|target| target, 5 * MILLI);
        run.go(5 * SECOND);
        // Whatever waits in the line is a part of it.
        let queued = run.line.waits();
        let changed = run.now;
        run.encode = None;
        // What does not change for so long rests.
        run.go(50 * MILLI);
        run.session.video_rests();
        (run.bulk, run.bulk_bytes) = (true, Some(bytes));
        run.go(3 * SECOND);
        assert_eq!(run.bulk_bytes, Some(0));
        let took = run.back.last().unwrap().2.duration_since(changed);
        let time = run.time_of(u32::try_from(bytes).unwrap()) + queued;
        let bound = time * 12 / 10 + 100 * MILLI;
        assert!(took <= bound, "{took:?}, not {bound:?}, at {rate} Mbit/s");
    }
}

#[test]
fn a_line_ten_times_slower_at_once_is_not_flooded_and_nothing_freezes() {
    for (way, bulk) in [(20, false), (20, true), (5, false), (60, false)] {
        let mut run = Run::new(Line::new(100.0, way));
        run.video(|target| target, 5 * MILLI);
        run.bulk = bulk;
        run.small = Some(100 * MILLI);
        run.go(5 * SECOND);
        run.line.rate /= 10.0;
        run.forget(run.now.duration_since(run.began));
        run.go(SECOND);
        let first = run.longest_gap();
        run.forget(run.now.duration_since(run.began));
        run.go(4 * SECOND);
        let (wait, gap) = (run.longest_wait(), run.longest_gap());
        assert!(wait < 100 * MILLI, "{wait:?} after a second, {way} ms of way");
        assert!(first.max(gap) < 500 * MILLI, "{first:?}, then {gap:?} between frames");
        assert!(run.frames_per_s() > 45.0, "{} frames a second", run.frames_per_s());
        assert!(run.share() > 0.5, "{} of the line", run.share());
    }
}

#[test]
fn a_line_that_becomes_faster_is_found_out() {
    let mut run = Run::new(Line::new(10.0, 20));
    run.video(|target| target, 5 * MILLI);
    run.go(5 * SECOND);
    run.line.rate *= 10.0;
    run.go(3 * SECOND);
    run.forget(run.now.duration_since(run.began));
    run.go(2 * SECOND);
    assert!(run.share() > 0.6, "{} of the line", run.share());
}

#[test]
fn a_way_that_became_longer_is_measured_anew() {
    let mut run = Run::new(Line::new(50.0, 10));
    run.video(|target| target, 5 * MILLI);
    run.go(5 * SECOND);
    run.line.way = 90 * MILLI;
    run.go(20 * SECOND);
    run.forget(run.now.duration_since(run.began));
    run.go(5 * SECOND);
    assert!(run.session.way().unwrap() >= 85 * MILLI);
    assert!(run.frames_per_s() > 50.0, "{} frames a second", run.frames_per_s());
    assert!(run.share() > 0.5, "{} of the line", run.share());
}

#[test]
fn lost_packets_do_not_make_the_line_look_slow() {
    let mut run = Run::new(Line::new(100.0, 20));
    run.line.lost_one_of = Some(100);
    run.video(|target| target.min(60_000), 5 * MILLI);
    run.go(10 * SECOND);
    run.forget(2 * SECOND);
    assert!(run.frames_per_s() > 50.0, "{} frames a second", run.frames_per_s());
    assert!(run.longest_gap() < 150 * MILLI, "{:?}", run.longest_gap());
    let mean = run.mean_video_bytes();
    assert!(mean > 30_000.0, "{mean} bytes a frame");
}

#[test]
fn a_slow_page_gets_fewer_frames_and_no_queue() {
    for work in [30, 45, 100] {
        let mut run = Run::new(Line::new(1000.0, 2));
        run.video(|target| target.min(60_000), work * MILLI);
        run.go(10 * SECOND);
        run.forget(3 * SECOND);
        let best = 1000.0 / f64::from(work);
        let rate = run.frames_per_s();
        assert!(rate > best * 0.85, "{rate} of {best} frames a second");
        // What it takes, and 50 ms of waiting.
        let slowest = run.back.iter().map(|back| back.3).max().unwrap();
        assert!(slowest <= (work + 3 + 50) * MILLI, "{slowest:?} from sent to shown");
        assert_eq!(run.session.limit(run.now), Limit::Browser);
    }
}

#[test]
fn a_page_that_sleeps_for_a_moment_is_not_taken_for_a_slow_line() {
    let mut run = Run::new(Line::new(1000.0, 2));
    run.video(|target| target.min(60_000), 5 * MILLI);
    run.go(5 * SECOND);
    let before = run.session.line_rate().unwrap();
    run.work = 120 * MILLI;
    run.go(30 * MILLI);
    run.work = 5 * MILLI;
    run.go(SECOND);
    assert!(run.session.line_rate().unwrap() >= before / 2);
    run.forget(run.now.duration_since(run.began));
    run.go(SECOND);
    assert!(run.frames_per_s() > 55.0);
}

#[test]
fn a_busy_machine_is_not_taken_for_a_slow_line() {
    let mut run = Run::new(Line::new(1000.0, 1));
    run.bulk = true;
    run.go(SECOND);
    run.bulk = false;
    let before = run.session.line_rate().unwrap();
    // Frames come up to 25 ms late, each by chance.
    run.line.jitter = 25 * MILLI;
    run.video(|target| target.min(40_000), 5 * MILLI);
    run.go(20 * SECOND);
    run.forget(2 * SECOND);
    assert!(run.session.line_rate().unwrap() >= before / 2, "{:?}", run.session.line_rate());
    assert!(run.frames_per_s() > 50.0, "{} frames a second", run.frames_per_s());
    assert!(run.mean_video_bytes() > 35_000.0, "{} bytes a frame", run.mean_video_bytes());
}

#[test]
fn a_page_that_is_slower_than_it_says_is_not_taken_for_a_slow_line() {
    for silent in [25, 40, 80] {
        let mut run = Run::new(Line::new(1000.0, 2));
        run.bulk = true;
        run.go(SECOND);
        run.bulk = false;
        let before = run.session.line_rate().unwrap();
        run.silent = silent * MILLI;
        run.video(|target| target.min(60_000), 2 * MILLI);
        run.go(20 * SECOND);
        run.forget(8 * SECOND);
        let best = 1000.0 / f64::from(silent + 2);
        let rate = run.frames_per_s();
        assert!(rate > best * 0.8, "{rate} of {best} frames a second");
        assert!(run.mean_video_bytes() > 45_000.0, "{} bytes a frame", run.mean_video_bytes());
        assert!(run.session.line_rate().unwrap() > before / 2);
        let mean = run.back.iter().map(|back| back.3).sum::<Duration>()
            / u32::try_from(run.back.len()).unwrap();
        // At worst one waits while one is worked on, and a third now and then.
        assert!(mean <= 3 * (silent + 4) * MILLI, "{mean:?} from sent to shown");
    }
}

#[test]
fn a_very_busy_machine_is_not_taken_for_a_slow_line() {
    for late in [40, 80, 150] {
        let mut run = Run::new(Line::new(1000.0, 1));
        run.bulk = true;
        run.go(SECOND);
        run.bulk = false;
        run.line.jitter = late * MILLI;
        run.video(|target| target.min(60_000), 5 * MILLI);
        run.go(20 * SECOND);
        run.forget(4 * SECOND);
        assert!(run.mean_video_bytes() > 50_000.0, "{} bytes a frame", run.mean_video_bytes());
        assert!(run.frames_per_s() > 12.0, "{} frames a second", run.frames_per_s());
    }
}

#[test]
fn the_cost_of_tiles_and_frames_is_learnt_from_acknowledgements() {
    let mut run = Run::new(Line::new(1000.0, 1));
    run.video(|target| target.min(40_000), 9 * MILLI);
    run.small = Some(50 * MILLI);
    run.go(2 * SECOND);
    let cost = run.session.viewer_cost();
    let video = cost.video_frame + cost.video_tile * 4;
    assert!(video.abs_diff(9 * MILLI) < MILLI, "{cost:?}");
    let tiles = cost.tiles_frame + cost.tile;
    assert!(tiles.abs_diff(MILLI) < MILLI / 2, "{cost:?}");
}

#[test]
fn a_viewer_hidden_for_long_comes_back_to_the_line_it_left() {
    let mut run = Run::new(Line::new(100.0, 20));
    run.video(|target| target.min(60_000), 5 * MILLI);
    run.go(5 * SECOND);
    let before = run.session.line_rate().unwrap();
    run.say(&ViewerMessage::Visible { visible: false });
    // Frames under way are not acknowledged while it is hidden.
    run.is_asleep = true;
    run.go(30 * SECOND);
    run.is_asleep = false;
    run.say(&ViewerMessage::Visible { visible: true });
    run.forget(run.now.duration_since(run.began));
    run.go(2 * SECOND);
    assert!(run.session.line_rate().unwrap() >= before / 2);
    assert!(run.session.way().unwrap() < 40 * MILLI);
    assert!(run.frames_per_s() > 50.0, "{} frames a second", run.frames_per_s());
}

#[test]
fn a_video_frame_that_came_to_nothing_makes_room_for_the_next() {
    let mut run = Run::new(Line::new(100.0, 20));
    run.go(MILLI);
    assert!(run.session.video_budget(run.now).is_some());
    run.session.video_started(run.now);
    run.go(100 * MILLI);
    assert_eq!(run.session.video_budget(run.now), None, "one is in its encoder");
    run.session.video_dropped();
    assert!(run.session.video_budget(run.now).is_some());
}

/// One stream: a source that changes 60 times a second, an encoder, a line, a page.
struct Run {
    session: AgentSession,
    line: Line,
    began: Instant,
    now: Instant,
    frame: u32,
    /// Bytes that come out where so many were wished for.
    encode: Option<fn(usize) -> usize>,
    /// They come out 40 % smaller or larger, and each hundredth four times as large.
    miss: bool,
    /// What the page takes for a video frame.
    work: Duration,
    /// What the page takes for each frame and does not tell of.
    silent: Duration,
    /// The frame in the encoder: when it is done, its bytes.
    encoding: Option<(Instant, usize)>,
    beats_from: Instant,
    beats: u32,
    next_change: Instant,
    source_jitter: Duration,
    has_change: bool,
    /// Refinement: all that the budget gives.
    bulk: bool,
    bulk_bytes: Option<usize>,
    /// One tile, so often.
    small: Option<Duration>,
    next_small: Instant,
    is_asleep: bool,
    /// Of acknowledged frames: whether video, bytes, when shown, from sent to shown.
    back: Vec<(bool, usize, Instant, Duration)>,
    /// Shown and not acknowledged yet, with the page's work.
    asleep: Vec<(u32, Duration)>,
    waits: Vec<(Instant, Duration)>,
    since: Instant,
}

impl Run {
    fn new(line: Line) -> Self {
        let now = now();
        let mut run = Self {
            session: AgentSession::new(16, now),
            line,
            began: now,
            now,
            frame: 0,
            encode: None,
            miss: false,
            work: Duration::ZERO,
            silent: Duration::ZERO,
            encoding: None,
            beats_from: now,
            beats: 0,
            next_change: now,
            source_jitter: Duration::ZERO,
            has_change: false,
            bulk: false,
            bulk_bytes: None,
            small: None,
            next_small: now,
            is_asleep: false,
            back: Vec::new(),
            asleep: Vec::new(),
            waits: Vec::new(),
            since: now,
        };
        let (decodes, quality) = (Vec::new(), Quality::Automatic);
        run.say(&ViewerMessage::Hello {
            version: VERSION,
            width: 640,
            height: 480,
            decodes,
            quality,
        });
        // Each stream begins with a screenful of tiles.
        (run.bulk, run.bulk_bytes) = (true, Some(60_000));
        run.go(400 * MILLI);
        (run.bulk, run.bulk_bytes, run.began, run.next_change) = (false, None, run.now, run.now);
        run.forget(Duration::ZERO);
        run
    }

    fn video(&mut self, encode: fn(usize) -> usize, work: Duration) {
        self.encode = Some(encode);
        self.work = work;
    }

    fn say(&mut self, message: &ViewerMessage) {
        let payload = serde_json::to_vec(message).unwrap();
        self.receive(kind::VIEWER, &payload);
    }

    fn receive(&mut self, kind: u8, payload: &[u8]) {
        let header = Header { kind, flags: 0, len: u32::try_from(payload.len()).unwrap() };
        self.session.received(header, payload, self.now).unwrap();
    }

    fn go(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
            self.now += STEP;
        }
    }

    fn step(&mut self) {
        for back in self.line.step(self.now) {
            self.back.push((
                back.cargo.is_video,
                back.cargo.bytes,
                back.shown,
                back.shown.duration_since(back.sent),
            ));
            self.asleep.push((back.cargo.frame, back.cargo.work));
        }
        if !self.is_asleep {
            for (frame, work) in std::mem::take(&mut self.asleep) {
                self.acknowledge(frame, work);
            }
        }
        if self.now >= self.next_change {
            self.has_change = true;
            let late = self.source_jitter * (self.frame * 7 % 5) / 5;
            self.beats += 1;
            self.next_change = self.beats_from + Duration::from_micros(16_667) * self.beats + late;
        }
        if let Some((_, bytes)) = self.encoding.take_if(|&mut (done, _)| done <= self.now) {
            self.send(bytes, true, self.work);
        }
        if self.small.is_some()
            && self.now >= self.next_small
            && self.session.budget(self.now).is_some()
        {
            self.next_small = self.now + self.small.unwrap_or_default();
            self.send(500, false, MILLI);
        }
        if self.bulk
            && self.bulk_bytes != Some(0)
            && let Some(budget) = self.session.refine_budget(self.now)
        {
            let bytes = self.bulk_bytes.map_or(budget, |left| left.min(budget));
            // While something moves, refinement comes in short chunks.
            let chunk = (32 << 10).max(self.session.frame_bytes() * 10 / 16);
            let bytes = if self.encode.is_some() { bytes.min(chunk) } else { bytes };
            self.bulk_bytes = self.bulk_bytes.map(|left| left - bytes);
            self.send(bytes, false, MILLI);
        }
        if let Some(encode) = self.encode
            && self.has_change
            && self.encoding.is_none()
            && let Some(budget) = self.session.video_budget(self.now)
        {
            self.has_change = false;
            self.session.video_started(self.now);
            let percent = match self.beats {
                _ if !self.miss => 100,
                beat if beat.is_multiple_of(100) => 400,
                beat => 60 + usize::try_from(beat * 37 % 81).unwrap(),
            };
            self.encoding = Some((self.now + ENCODING, encode(budget) * percent / 100));
        }
    }

    fn send(&mut self, bytes: usize, is_video: bool, work: Duration) {
        self.frame += 1;
        let frame = self.frame;
        let (tiles, lossy) =
            if is_video { (vec![], vec![0, 1, 2, 3]) } else { (vec![(5, 1)], vec![]) };
        self.session.sent(EncodedFrame { frame, bytes, tiles, lossy, complete: true }, self.now);
        self.waits.push((self.now, self.line.waits()));
        let silent = self.silent;
        self.line.send(Cargo { frame, bytes, work, silent, is_video }, self.now);
    }

    fn acknowledge(&mut self, frame: u32, work: Duration) {
        let decode_us = u32::try_from(work.as_micros()).unwrap();
        let ack = Ack { frame, decode_us, shown_us: 0, tiles: vec![] };
        self.receive(kind::ACK, &ack.encode());
    }

    /// Leaves out of the figures what came before.
    fn forget(&mut self, time: Duration) {
        self.since = self.began + time;
        let since = self.since;
        self.back.retain(|&(_, _, shown, _)| shown >= since);
        self.waits.retain(|&(at, _)| at >= since);
    }

    fn seconds(&self) -> f64 {
        self.now.duration_since(self.since).as_secs_f64()
    }

    fn frames_per_s(&self) -> f64 {
        let frames = self.back.iter().filter(|back| back.0).count();
        f64::from(u32::try_from(frames).unwrap()) / self.seconds()
    }

    fn mean_video_bytes(&self) -> f64 {
        let bytes: Vec<_> = self.back.iter().filter(|back| back.0).map(|back| back.1).collect();
        let sum = f64::from(u32::try_from(bytes.iter().sum::<usize>()).unwrap());
        sum / f64::from(u32::try_from(bytes.len()).unwrap())
    }

    /// Of the line's rate.
    fn share(&self) -> f64 {
        let bytes: usize = self.back.iter().map(|back| back.1).sum();
        f64::from(u32::try_from(bytes).unwrap()) / self.seconds() / self.line.rate
    }

    fn longest_wait(&self) -> Duration {
        self.waits.iter().map(|&(_, wait)| wait).max().unwrap()
    }

    /// Between two frames shown, and from the last to now.
    fn longest_gap(&self) -> Duration {
        let shown = self.back.iter().map(|back| back.2).chain([self.now]);
        let before = [self.since].into_iter().chain(self.back.iter().map(|back| back.2));
        shown
            .zip(before)
            .map(|(shown, before)| shown.saturating_duration_since(before))
            .max()
            .unwrap()
    }

    fn time_of(&self, bytes: u32) -> Duration {
        Duration::from_secs_f64(f64::from(bytes) / self.line.rate)
    }
}

#[expect(clippy::disallowed_methods, reason = "some instant to count from")]
fn now() -> Instant {
    Instant::now()
}

//! A line and a page in virtual time: bytes pass at a rate, wait before that, and take a way.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Resolution of the time; everything moves in these steps.
pub(crate) const STEP: Duration = Duration::from_micros(250);

/// What a frame is to the line and to the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cargo {
    pub(crate) frame: u32,
    pub(crate) bytes: usize,
    /// Time the page works on it.
    pub(crate) work: Duration,
    /// Time it works on it and does not tell of.
    pub(crate) silent: Duration,
    pub(crate) is_video: bool,
}

/// A frame that the page has shown and whose acknowledgement is back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Back {
    pub(crate) cargo: Cargo,
    pub(crate) sent: Instant,
    /// When it was shown.
    pub(crate) shown: Instant,
}

pub(crate) struct Line {
    /// Bytes per second.
    pub(crate) rate: f64,
    /// From sending to acknowledgement, half of it each way.
    pub(crate) way: Duration,
    /// One of so many packets is lost and comes a way later, and all behind it wait.
    pub(crate) lost_one_of: Option<u32>,
    /// Time that each frame may come later, by chance.
    pub(crate) jitter: Duration,
    chance: u32,
    packets: f64,
    queue: VecDeque<(Cargo, Instant, f64)>,
    /// Nothing behind a lost packet is delivered before this.
    held_until: Option<Instant>,
    /// Served, on the way to the page.
    out: VecDeque<(Instant, Cargo, Instant)>,
    page_free: Option<Instant>,
    back: VecDeque<(Instant, Back)>,
}

impl Line {
    pub(crate) fn new(mbit_per_s: f64, way_ms: u64) -> Self {
        Self {
            rate: mbit_per_s * 1e6 / 8.0,
            way: Duration::from_millis(way_ms),
            lost_one_of: None,
            jitter: Duration::ZERO,
            chance: 0x9e37_79b9,
            packets: 0.0,
            queue: VecDeque::new(),
            held_until: None,
            out: VecDeque::new(),
            page_free: None,
            back: VecDeque::new(),
        }
    }

    pub(crate) fn send(&mut self, cargo: Cargo, now: Instant) {
        let bytes = f64::from(u32::try_from(cargo.bytes).unwrap());
        self.queue.push_back((cargo, now, bytes));
    }

    /// How long a byte sent now would wait for those before it.
    pub(crate) fn waits(&self) -> Duration {
        let bytes: f64 = self.queue.iter().map(|&(_, _, left)| left).sum();
        Duration::from_secs_f64(bytes / self.rate)
    }

    /// A step of time; gives the frames whose acknowledgements come back in it.
    pub(crate) fn step(&mut self, now: Instant) -> Vec<Back> {
        let mut may = self.rate * STEP.as_secs_f64();
        while let Some((cargo, sent, left)) = self.queue.front_mut() {
            let passed = left.min(may);
            *left -= passed;
            may -= passed;
            let (cargo, sent, is_done) = (*cargo, *sent, *left <= 0.0);
            self.packets += passed / 1448.0;
            if self.lost_one_of.is_some_and(|many| self.packets > f64::from(many)) {
                self.packets = 0.0;
                self.held_until = Some(now + self.way);
            }
            if !is_done {
                break;
            }
            self.queue.pop_front();
            let late = self.late();
            let due = self.held_until.map_or(now, |held| held.max(now)) + self.way / 2 + late;
            let due = self.out.back().map_or(due, |&(before, ..)| due.max(before));
            self.out.push_back((due, cargo, sent));
        }
        while self.out.front().is_some_and(|&(due, ..)| due <= now) {
            let (due, cargo, sent) = self.out.pop_front().unwrap();
            let shown =
                self.page_free.map_or(due, |free| free.max(due)) + cargo.work + cargo.silent;
            self.page_free = Some(shown);
            self.back.push_back((shown + self.way / 2, Back { cargo, sent, shown }));
        }
        let mut came = Vec::new();
        while self.back.front().is_some_and(|&(due, _)| due <= now) {
            came.extend(self.back.pop_front().map(|(_, back)| back));
        }
        came
    }

    fn late(&mut self) -> Duration {
        // xorshift32 (Marsaglia 2003)
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 17;
        self.chance ^= self.chance << 5;
        self.jitter * (self.chance >> 16) / 65_536
    }
}

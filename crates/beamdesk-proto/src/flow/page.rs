//! What the viewer's page takes for frames, from its own words and from when it says them.

use std::time::Duration;

/// A page at work when a frame comes goes on with it at once; clocks are no finer than this.
const AT_ONCE: Duration = Duration::from_millis(2);
/// What a frame is believed to take at most; longer is a page that slept.
const WORK_MAX: Duration = Duration::from_secs(1);

/// Times a viewer takes, from `decode_us` and `shown_us` of its acknowledgements; zero until known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ViewerCost {
    /// A frame of n tiles takes `tiles_frame + n · tile`.
    pub tiles_frame: Duration,
    pub tile: Duration,
    /// A video frame that paints n tiles takes `video_frame + n · video_tile`.
    pub video_frame: Duration,
    pub video_tile: Duration,
}

/// The page's work for one kind of frame.
#[derive(Debug, Default)]
pub(super) struct Work {
    fit: Fit,
    /// Mean time of a frame.
    mean: Option<Duration>,
    /// The same, as far as frames were seen to wait for it.
    busy: Option<Duration>,
}

impl Work {
    /// The page's word. `waited`: the frame was there before the one before it was done.
    pub(super) fn done(&mut self, tiles: usize, time: Duration, waited: bool) {
        self.count(tiles, time);
        let time = time.min(WORK_MAX);
        self.busy = match self.busy {
            Some(busy) if waited || time < busy => Some((busy * 3 + time) / 4),
            None if waited => Some(time),
            unknown @ (Some(_) | None) => unknown,
        };
    }

    /// The same from a page that takes longer than it says; `gap`: since the frame before, if this
    /// one waited for it; `all`: since it came.
    pub(super) fn done_in_silence(
        &mut self,
        tiles: usize,
        time: Duration,
        gap: Option<Duration>,
        all: Duration,
    ) {
        self.count(tiles, time);
        let time = gap.unwrap_or(all).min(WORK_MAX);
        self.busy = match self.busy {
            Some(busy) if gap.is_some() || time < busy => Some((busy * 3 + time) / 4),
            None if gap.is_some() => Some(time),
            unknown @ (Some(_) | None) => unknown,
        };
    }

    fn count(&mut self, tiles: usize, time: Duration) {
        let time = time.min(WORK_MAX);
        self.fit.add(tiles, time);
        // RFC 6298 weighs an eighth; here one sample comes for each frame.
        self.mean = Some(self.mean.map_or(time, |mean| (mean * 7 + time) / 8));
    }

    pub(super) fn mean(&self) -> Duration {
        self.mean.unwrap_or_default()
    }

    /// Time between frames that the page can follow; zero: it never was the slowest part.
    pub(super) fn busy(&self) -> Duration {
        self.busy.unwrap_or_default()
    }

    /// For a frame, and for each of its tiles.
    pub(super) fn cost(&self) -> (Duration, Duration) {
        self.fit.line()
    }
}

/// Whether the page was still at work when a frame came: it began on it as soon as it was done.
pub(super) fn began_at_once(idle: Duration) -> bool {
    idle < AT_ONCE
}

/// Least squares of time over tiles, older samples weighing less and less.
#[derive(Debug, Default)]
struct Fit {
    weight: f64,
    tiles: f64,
    seconds: f64,
    tiles_squared: f64,
    product: f64,
}

impl Fit {
    /// A second at 60 frames weighs as much as all before it.
    const KEEPS: f64 = 0.985;

    fn add(&mut self, tiles: usize, time: Duration) {
        let tiles = f64::from(u16::try_from(tiles).unwrap_or(u16::MAX));
        let seconds = time.as_secs_f64();
        let fade = |sum: &mut f64, new: f64| *sum = *sum * Self::KEEPS + new;
        fade(&mut self.weight, 1.0);
        fade(&mut self.tiles, tiles);
        fade(&mut self.seconds, seconds);
        fade(&mut self.tiles_squared, tiles * tiles);
        fade(&mut self.product, tiles * seconds);
    }

    fn line(&self) -> (Duration, Duration) {
        let spread = self.weight * self.tiles_squared - self.tiles * self.tiles;
        let slope = if spread > self.tiles_squared * 0.01 {
            (self.weight * self.product - self.tiles * self.seconds) / spread
        } else {
            // All of one size: each tile has its share.
            self.seconds / self.tiles
        };
        let offset = (self.seconds - slope * self.tiles) / self.weight;
        let (offset, slope) = if offset < 0.0 {
            (0.0, self.product / self.tiles_squared)
        } else if slope < 0.0 {
            (self.seconds / self.weight, 0.0)
        } else {
            (offset, slope)
        };
        // Nothing known divides by zero, and is nothing.
        let time = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        (time(offset), time(slope))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn nothing_is_known_at_first() {
        assert_eq!(Work::default().cost(), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn a_frame_and_its_tiles_are_told_apart() {
        let mut work = Work::default();
        for tiles in [1, 10, 200, 40, 3, 500] {
            work.done(tiles, 2 * MILLI + MILLI * u32::try_from(tiles).unwrap() / 10, false);
        }
        let (frame, tile) = work.cost();
        assert!(frame.abs_diff(2 * MILLI) < MILLI / 100, "{frame:?}");
        assert!(tile.abs_diff(MILLI / 10) < MILLI / 1000, "{tile:?}");
    }

    #[test]
    fn frames_of_one_size_cost_their_tiles() {
        let mut work = Work::default();
        for _ in 0..100 {
            work.done(240, 12 * MILLI, false);
        }
        let (frame, tile) = work.cost();
        assert!(frame < MILLI / 100, "{frame:?}");
        assert!(tile.abs_diff(MILLI / 20) < MILLI / 1000, "{tile:?}");
        work.done(0, u32::MAX * MILLI, true);
        assert!(work.mean() < Duration::from_secs(1));
    }

    #[test]
    fn a_page_is_slow_only_once_frames_wait_for_it() {
        let mut work = Work::default();
        work.done(1, 40 * MILLI, false);
        assert_eq!(work.busy(), Duration::ZERO, "a decoder may work on several at once");
        for _ in 0..20 {
            work.done(1, 40 * MILLI, true);
        }
        assert_eq!(work.busy(), 40 * MILLI);
        work.done(1, 90 * MILLI, false);
        assert_eq!(work.busy(), 40 * MILLI);
        for _ in 0..20 {
            work.done(1, 5 * MILLI, false);
        }
        assert!(work.busy() < 6 * MILLI, "it became faster");
    }
}

//! Which quantiser makes the next frame as large as wished, learnt from the frames before it.

use std::ops::RangeInclusive;

use crate::video::VideoWish;

/// Bytes of a first frame per pixel in the middle of the range: between a shaded view and noise.
const BYTES_PER_PIXEL: f64 = 0.04;
/// In doublings: a frame that builds on a key frame, from the size of that.
const FIRST_DELTA: f64 = -0.5;
/// A frame may not be much finer than the one before it: what moves next would cost too much.
const FINER_AT_ONCE: f64 = 2.0;
/// Within this of the last quantiser stays the last: no flicker between two.
const SAME: f64 = 0.8;
/// How much of a new measurement counts: a frame that came out larger than thought, smaller, or
/// tiny because next to nothing moved.
const LARGER: f64 = 0.7;
const SMALLER: f64 = 0.35;
const TINY: f64 = 0.1;
/// In doublings below what was thought.
const TINY_FROM: f64 = -3.0;
/// Noise vanishes within few steps, smooth shades hardly shrink: of the usual steps that halve a
/// frame, the fewest and most that are believed.
const STEPS_BELIEVED: RangeInclusive<f64> = 0.3..=1.4;

/// Sizes are in doublings of a byte: on that scale an encoder's quantiser changes them by steps
/// that are nearly even.
#[derive(Debug, Clone)]
pub(crate) struct Quantiser {
    range: RangeInclusive<u8>,
    keys: Model,
    deltas: Model,
    deltas_known: bool,
    last: Option<f64>,
}

impl Quantiser {
    /// `steps` of the quantiser halve a usual frame: 6 in H.264.
    pub(crate) fn new(range: RangeInclusive<u8>, steps: u8, pixels: usize) -> Self {
        let middle = f64::midpoint(f64::from(*range.start()), f64::from(*range.end()));
        let size = doublings(pixels) + BYTES_PER_PIXEL.log2();
        let model = Model::new(middle, size, f64::from(steps));
        Self { range, keys: model.clone(), deltas: model, deltas_known: false, last: None }
    }

    /// For the next frame.
    pub(crate) fn qp(&self, wish: VideoWish) -> u8 {
        let model = if wish.is_key { &self.keys } else { &self.deltas };
        let mut ideal = model.qp(doublings(wish.bytes));
        if let Some(last) = self.last {
            let is_same = (ideal - last).abs() < SAME;
            ideal = if is_same { last } else { ideal.max(last - FINER_AT_ONCE) };
        }
        let distance = |qp: &u8| (f64::from(*qp) - ideal).abs();
        let nearest = self.range.clone().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        nearest.unwrap_or(*self.range.end())
    }

    /// What became of it.
    pub(crate) fn learn(&mut self, qp: u8, bytes: usize, is_key: bool) {
        let (qp, size) = (f64::from(qp), doublings(bytes));
        if is_key {
            self.keys.start(qp, size);
            if !self.deltas_known {
                self.deltas.start(qp, size + FIRST_DELTA);
            }
        } else if self.deltas_known {
            self.deltas.learn(qp, size);
        } else {
            self.deltas_known = true;
            self.deltas.start(qp, size);
        }
        self.last = Some(qp);
    }
}

/// How large frames of one kind are: a line through what they were lately.
#[derive(Debug, Clone)]
struct Model {
    qp: f64,
    size: f64,
    /// Steps that halve a usual frame, and that halve these.
    steps_usual: f64,
    steps: f64,
    /// The very last frame.
    last: (f64, f64),
}

impl Model {
    fn new(qp: f64, size: f64, steps: f64) -> Self {
        Self { qp, size, steps_usual: steps, steps, last: (qp, size) }
    }

    /// The quantiser for a size.
    fn qp(&self, size: f64) -> f64 {
        self.qp + (self.size - size) * self.steps
    }

    fn start(&mut self, qp: f64, size: f64) {
        *self = Self { steps: self.steps, ..Self::new(qp, size, self.steps_usual) };
    }

    fn learn(&mut self, qp: f64, size: f64) {
        let (last_qp, last_size) = self.last;
        let (coarser, smaller) = (qp - last_qp, last_size - size);
        if coarser.abs() >= 1.0 && coarser * smaller > 0.0 {
            let least = self.steps_usual * STEPS_BELIEVED.start();
            let most = self.steps_usual * STEPS_BELIEVED.end();
            self.steps = f64::midpoint(self.steps, (coarser / smaller).clamp(least, most));
        }
        let thought = self.size - (qp - self.qp) / self.steps;
        let weight = match size - thought {
            more if more >= 0.0 => LARGER,
            less if less < TINY_FROM => TINY,
            _ => SMALLER,
        };
        self.qp = qp;
        self.size = thought + (size - thought) * weight;
        self.last = (qp, size);
    }
}

fn doublings(number: usize) -> f64 {
    f64::from(u32::try_from(number.max(1)).unwrap_or(u32::MAX)).log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: RangeInclusive<u8> = 16..=44;

    fn wish(bytes: usize) -> VideoWish {
        VideoWish { bytes, is_key: false }
    }

    /// Frames of an encoder that needs so many steps to halve them; gives the last one's size.
    fn run(
        quantiser: &mut Quantiser,
        frames: usize,
        wish: VideoWish,
        at_0: f64,
        steps: f64,
    ) -> f64 {
        let mut size = 0.0;
        for _ in 0..frames {
            let qp = quantiser.qp(wish);
            size = at_0 / (f64::from(qp) / steps).exp2();
            let bytes = (0..31).rev().fold(0_u32, |bytes, bit| {
                let more = bytes | 1 << bit;
                if f64::from(more) <= size { more } else { bytes }
            });
            quantiser.learn(qp, bytes.try_into().unwrap(), wish.is_key);
        }
        size
    }

    #[test]
    fn a_wish_is_met_within_a_few_frames_whatever_the_content_does() {
        for (steps, at_0) in [(2.0, 500_000_000.0), (4.5, 2_000_000.0), (7.5, 1_000_000.0)] {
            let mut quantiser = Quantiser::new(RANGE, 6, 1920 * 1080);
            for asked in [40_000, 20_000, 60_000] {
                let size = run(&mut quantiser, 12, wish(asked), at_0, steps);
                let ratio = size / doublings(asked).exp2();
                assert!((0.7..1.4).contains(&ratio), "{ratio} of {asked} at {steps}");
            }
        }
    }

    #[test]
    fn a_smaller_wish_is_met_by_the_very_next_frame() {
        let mut quantiser = Quantiser::new(RANGE, 6, 1920 * 1080);
        run(&mut quantiser, 12, wish(40_000), 1_600_000.0, 6.0);
        let size = run(&mut quantiser, 1, wish(10_000), 1_600_000.0, 6.0);
        assert!(size < 11_500.0, "{size}");
    }

    #[test]
    fn a_pause_does_not_make_the_next_motion_burst() {
        let mut quantiser = Quantiser::new(RANGE, 6, 1920 * 1080);
        run(&mut quantiser, 12, wish(40_000), 1_600_000.0, 6.0);
        run(&mut quantiser, 3, wish(40_000), 4000.0, 6.0);
        let size = run(&mut quantiser, 1, wish(40_000), 1_600_000.0, 6.0);
        assert!(size < 80_000.0, "{size}");
    }

    #[test]
    fn the_first_frame_is_not_far_off() {
        for (bytes_at_24, asked) in [(95_000.0, 60_000), (222_000.0, 60_000)] {
            let mut quantiser = Quantiser::new(RANGE, 6, 1920 * 1080);
            let wish = VideoWish { bytes: asked, is_key: true };
            let size = run(&mut quantiser, 1, wish, bytes_at_24 * 16.0, 6.0);
            let ratio = size / doublings(asked).exp2();
            assert!((0.4..2.5).contains(&ratio), "{ratio} of {asked}");
        }
    }

    #[test]
    fn quantisers_stay_in_range() {
        let mut quantiser = Quantiser::new(RANGE, 6, 640 * 480);
        run(&mut quantiser, 20, wish(1), 1_600_000.0, 6.0);
        assert_eq!(quantiser.qp(wish(1)), 44);
        run(&mut quantiser, 40, wish(usize::MAX), 1_600_000.0, 6.0);
        assert_eq!(quantiser.qp(wish(usize::MAX)), 16);
    }
}

//! Pictures and checks that the tests of all encoders share.

use super::{Planes, VideoEncoder, VideoWish};
use crate::geometry::{PictureSize, Rect};
use crate::picture::Picture;

/// Enough for the finest quantiser.
pub(crate) const PLENTY: usize = 1 << 22;

const RAMP_WIDTH: u16 = 1024;
const RAMP_HEIGHT: u16 = 128;
const NOISE_WIDTH: u16 = 640;
const NOISE_HEIGHT: u16 = 480;

/// All 256 greys side by side, each four pixels wide, moved to the left by `step` of them.
pub(crate) fn ramp(step: u8) -> Picture {
    picture(RAMP_WIDTH, RAMP_HEIGHT, |x, _| {
        let grey = u8::try_from(x / 4).unwrap().wrapping_add(step);
        [grey, grey, grey]
    })
}

/// New in each pixel for each seed, as in a noisy slice.
pub(crate) fn noise(seed: u32) -> Picture {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    picture(NOISE_WIDTH, NOISE_HEIGHT, |_, _| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let grey = 96 + state.to_le_bytes()[3] / 12;
        [grey, grey, grey]
    })
}

pub(crate) fn picture(
    width: u16,
    height: u16,
    mut colour: impl FnMut(usize, usize) -> [u8; 3],
) -> Picture {
    let mut bytes = Vec::new();
    for y in 0..usize::from(height) {
        for x in 0..usize::from(width) {
            bytes.extend(colour(x, y));
            bytes.push(255);
        }
    }
    Picture::from_bgrx(PictureSize::new(width, height).unwrap(), &bytes).unwrap()
}

/// The whole picture as planes.
pub(crate) fn planes(encoder: &dyn VideoEncoder, picture: &Picture) -> Planes {
    let rect: Rect = picture.size().rect();
    let mut planes = Planes::new(encoder.format(), rect.width, rect.height);
    planes.fill(picture, rect);
    planes
}

/// Between the means of neighbouring greys, which are 1 apart in the source. Where two greys have
/// become one it is 0, or half the coder's noise over some hundred samples.
const DISTINCT: f64 = 0.2;

/// What became of each grey, in the mean.
struct Greys([(u32, u32); 256]);

impl Greys {
    fn new() -> Self {
        Self([(0, 0); 256])
    }

    fn add(&mut self, wanted: u8, got: u8) {
        let (sum, count) = &mut self.0[usize::from(wanted)];
        *sum += u32::from(got);
        *count += 1;
    }

    /// Negative when the order is lost; nothing at all when a grey is not there.
    fn least_gap(&self) -> f64 {
        let means = self.0.map(|(sum, count)| f64::from(sum) / f64::from(count));
        let gaps = means.windows(2).map(|pair| pair[1] - pair[0]);
        if means.iter().any(|mean| mean.is_nan()) { 0.0 } else { gaps.fold(1.0, f64::min) }
    }
}

#[test]
fn the_check_of_greys_sees_a_range_that_was_limited() {
    let mut full = Greys::new();
    let mut limited = Greys::new();
    for grey in 0..=255_u8 {
        full.add(grey, grey);
        // ITU-R BT.709: 219 steps from 16 on, and back.
        let coded = (u32::from(grey) * 219 + 127) / 255;
        limited.add(grey, u8::try_from((coded * 255 + 109) / 219).unwrap());
    }
    assert!(full.least_gap() > DISTINCT);
    assert!(limited.least_gap() < DISTINCT);
}

/// Encodes a ramp that moves; `decode` gives the first plane of each, without gaps.
pub(crate) fn assert_ramp(
    mut open: impl FnMut(u16, u16) -> Box<dyn VideoEncoder>,
    mut decode: impl FnMut(&[u8]) -> Vec<u8>,
) {
    let mut encoder = open(RAMP_WIDTH, RAMP_HEIGHT);
    for step in [0, 3, 6, 255] {
        let planes = planes(&*encoder, &ramp(step));
        let wish = VideoWish { bytes: PLENTY, is_key: step == 0 };
        let packet = encoder.encode(&planes, wish).unwrap();
        assert_eq!(packet.is_key, step == 0);
        let seen = decode(&packet.bytes);
        let (luma, stride) = planes.plane(0);
        let width = usize::from(RAMP_WIDTH);
        assert_eq!(seen.len(), width * usize::from(RAMP_HEIGHT));
        let mut greys = Greys::new();
        for (row, seen) in luma.chunks(stride).zip(seen.chunks(width)) {
            for (&wanted, &got) in row.iter().zip(seen) {
                assert!(wanted.abs_diff(got) <= 2, "{got} for {wanted}, step {step}");
                greys.add(wanted, got);
            }
        }
        let gap = greys.least_gap();
        assert!(gap > DISTINCT, "{gap} between two greys after step {step}");
    }
}

/// Encodes noise and looks whether frames come near to what is wished for.
pub(crate) fn assert_bytes(mut open: impl FnMut(u16, u16) -> Box<dyn VideoEncoder>) {
    let mut encoder = open(NOISE_WIDTH, NOISE_HEIGHT);
    let mut seeds = 0..;
    for wish in [24_000, 12_000, 40_000] {
        let mut came = Vec::new();
        for seed in seeds.by_ref().take(24) {
            let planes = planes(&*encoder, &noise(seed));
            let wish = VideoWish { bytes: wish, is_key: false };
            came.push(encoder.encode(&planes, wish).unwrap().bytes.len());
        }
        // After a change of the wish a few frames may differ. Noise is the hardest: within few
        // steps of the quantiser it is all there or gone.
        let later = &came[12..];
        let mean = later.iter().sum::<usize>() / later.len();
        assert!((wish * 2 / 3..wish * 4 / 3).contains(&mean), "{came:?} for {wish}");
        assert!(later.iter().all(|&bytes| bytes < wish * 2), "{came:?} for {wish}");
    }
}

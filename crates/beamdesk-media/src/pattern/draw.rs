//! What the test pattern draws: all that a desktop may, in small.

use crate::geometry::{PictureSize, Rect};
use crate::pixels::Pixels;
use crate::update::CopyRect;

/// Where the number of steps stands, one bit in each square of 4×4 pixels, lowest bit first.
const COUNTER_BITS: u16 = 16;
const COUNTER_SQUARE: u16 = 4;
const COUNTER_HEIGHT: u16 = COUNTER_SQUARE;

/// A small generator of numbers that look random (`SplitMix64`, Steele and others, 2014).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    /// From `low` up to, not with, `high`.
    fn between(&mut self, low: u16, high: u16) -> u16 {
        let span = u64::from(high.saturating_sub(low).max(1));
        low + u16::try_from(self.next() % span).unwrap_or(0)
    }

    fn rect(&mut self, size: PictureSize) -> Rect {
        let width = self.between(1, size.width().min(600));
        let height = self.between(1, size.height().min(400));
        Rect {
            x: self.between(0, size.width() - width + 1),
            y: self.between(0, size.height() - height + 1),
            width,
            height,
        }
    }
}

/// The picture before any step: a slope of colours and a page of text.
pub(super) fn start(size: PictureSize) -> Pixels {
    let mut screen = Pixels::black(size);
    for y in 0..size.height() {
        let row = Rect { x: 0, y, width: size.width(), height: 1 };
        for (x, pixel) in (0..size.width()).zip(screen.row_mut(row, 0).chunks_exact_mut(4)) {
            let [low_x, low_y] = [(x / 8).to_le_bytes()[0], (y / 8).to_le_bytes()[0]];
            pixel[..3].copy_from_slice(&[low_x, low_y, low_x ^ low_y]);
        }
    }
    let page =
        Rect { x: size.width() / 8, y: 8, width: size.width() / 2, height: size.height() / 2 };
    text(&mut screen, page, &mut Random::new(0));
    screen
}

/// Step number `step`, counted from 0.
pub(super) fn step(screen: &mut Pixels, step: u64) {
    let mut random = Random::new(step.wrapping_add(1));
    let rect = random.rect(screen.size());
    match random.between(0, 7) {
        0 => {
            let colour = [random.byte(), random.byte(), random.byte()];
            paint(screen, rect, |_, _| colour);
        }
        1 | 2 => text(screen, rect, &mut random),
        3 => paint(screen, rect, |_, _| [random.byte(); 3]),
        4 => paint(screen, rect, |_, _| [random.byte(), random.byte(), random.byte()]),
        5 => paint(screen, rect, |x, y| {
            [x.to_le_bytes()[0], y.to_le_bytes()[0], (x + y).to_le_bytes()[0]]
        }),
        _ => {
            let distance = random.between(0, rect.height);
            let to = Rect { y: rect.y + distance, height: rect.height - distance, ..rect };
            screen.move_within(CopyRect { from_x: rect.x, from_y: rect.y, to });
        }
    }
    counter(screen, step + 1);
}

/// A picture of a movie: colours that run, with noise.
pub(super) fn movie(screen: &mut Pixels, place: Rect, step: u64) {
    let mut random = Random::new(step);
    let [shift, ..] = step.wrapping_mul(3).to_le_bytes();
    paint(screen, place.clipped(screen.size()), |x, y| {
        let noise = random.byte() / 16;
        let [across, _] = (x / 3).to_le_bytes();
        let [down, _] = (y / 2).to_le_bytes();
        let run = across.wrapping_add(shift);
        [run / 2 + noise, (down / 2).wrapping_add(run / 4) + noise / 2, 200 - down / 2]
    });
}

/// Lines of marks in black on white.
fn text(screen: &mut Pixels, rect: Rect, random: &mut Random) {
    paint(screen, rect, |x, y| {
        let is_ink = y % 16 < 11 && x % 9 < 7 && random.byte() > 150;
        if is_ink { [0; 3] } else { [255; 3] }
    });
}

/// Writes the number of steps into the upper left corner.
fn counter(screen: &mut Pixels, steps: u64) {
    let width = (COUNTER_BITS * COUNTER_SQUARE).min(screen.size().width());
    let place = Rect { x: 0, y: 0, width, height: COUNTER_HEIGHT };
    paint(screen, place, |x, _| [if steps >> (x / COUNTER_SQUARE) & 1 == 1 { 255 } else { 0 }; 3]);
}

fn paint(screen: &mut Pixels, rect: Rect, mut colour: impl FnMut(u16, u16) -> [u8; 3]) {
    for y in 0..rect.height {
        for (x, pixel) in (0..).zip(screen.row_mut(rect, y.into()).chunks_exact_mut(4)) {
            pixel[..3].copy_from_slice(&colour(x, y));
        }
    }
}

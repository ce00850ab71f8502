//! Numbers of a drawing: between whole and broken ones, and chance from a seed.

/// The nearest byte.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to a byte before"
)]
pub(crate) fn byte(value: f32) -> u8 {
    (value + 0.5).clamp(0.0, 255.0) as u8
}

/// The whole number below; nothing below zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "pixels of a drawing are small numbers, and a cast of floats saturates"
)]
pub(crate) fn floor(value: f32) -> usize {
    value.max(0.0) as usize
}

/// Small whole numbers, as those of pixels are: exact.
pub(crate) fn real(value: usize) -> f32 {
    f32::from(u16::try_from(value).unwrap_or(u16::MAX))
}

/// A small generator (splitmix64): a seed tells the whole drawing.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 up to, and without, `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 33).unwrap_or(0) % end.max(1)
    }

    /// 0 up to 1.
    pub(crate) fn part(&mut self) -> f32 {
        real(self.below(1 << 16)) / 65_536.0
    }
}

/// Runs to and fro over `count` numbers, so that what moves never jumps.
pub(crate) fn to_and_fro(number: usize, count: usize) -> usize {
    let round = (2 * count).saturating_sub(2).max(1);
    let place = number % round;
    if place < count { place } else { round - place }
}

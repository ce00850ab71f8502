//! The row of black and white blocks that tells which frame is shown, whatever has become of it on the way.
//!
//! Two blocks that are always white and black, the number's 16 bits in Gray code, and eight bits that check it: a row
//! that is torn between two frames or blurred beyond reading is no number.

/// Pixels of a block, each way.
pub(crate) const BLOCK: usize = 16;
const BITS: usize = 16;
const CHECK_BITS: usize = 8;
pub(crate) const BLOCKS: usize = 2 + BITS + CHECK_BITS;
pub(crate) const WIDTH: usize = BLOCKS * BLOCK;

/// The blocks from left to right, the first in the highest bit; a set one is white.
pub(crate) fn pattern(number: u16) -> u32 {
    let gray = u32::from(number ^ (number >> 1));
    let check = u32::from(number).wrapping_mul(0x9e37_79b1) >> (32 - CHECK_BITS);
    (0b10 << (BITS + CHECK_BITS)) | (gray << CHECK_BITS) | check
}

/// The row's pixels, BGRX.
pub(crate) fn row(number: u16) -> Vec<u8> {
    let pattern = pattern(number);
    let mut line = Vec::with_capacity(WIDTH * 4);
    for block in (0..BLOCKS).rev() {
        let level = if pattern >> block & 1 == 1 { 255 } else { 0 };
        line.extend(std::iter::repeat_n([level, level, level, 0], BLOCK).flatten());
    }
    line.repeat(BLOCK)
}

/// Puts the row into a picture.
pub(crate) fn stamp(picture: &mut [u8], width: usize, (x, y): (usize, usize), number: u16) {
    let row = row(number);
    for (line, from) in picture.chunks_mut(width * 4).skip(y).zip(row.chunks(WIDTH * 4)) {
        line[x * 4..][..from.len()].copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, BLOCKS, WIDTH, pattern, row};

    #[test]
    fn no_row_reads_as_another_when_one_block_is_wrong() {
        let all: std::collections::HashSet<u32> = (0..=u16::MAX).map(pattern).collect();
        assert_eq!(all.len(), 65_536);
        let near =
            (0..=u16::MAX).map(pattern).flat_map(|row| (0..BLOCKS).map(move |at| row ^ (1 << at)));
        let misread = near.filter(|row| all.contains(row)).count();
        // Neighbours in Gray code differ in one block; their checks differ too.
        assert!(misread < 65_536 * BLOCKS / 50, "{misread} of {}", 65_536 * BLOCKS);
    }

    #[test]
    fn blocks_are_squares_from_left_to_right() {
        let row = row(0);
        assert_eq!(row.len(), WIDTH * BLOCK * 4);
        assert_eq!(row[..4], [255, 255, 255, 0], "the first is white");
        assert_eq!(row[BLOCK * 4..][..4], [0, 0, 0, 0], "the second is black");
        assert_eq!(row[WIDTH * 4..][..WIDTH * 4], row[..WIDTH * 4], "all lines are alike");
    }
}

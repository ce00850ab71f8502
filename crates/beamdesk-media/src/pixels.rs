//! A block of 32-bit pixels and what is done with its rectangles. The fourth byte is always 255.

use xxhash_rust::xxh64::{Xxh64, xxh64};

use crate::geometry::{Area, PictureSize, Rect, TILE_BYTES};
use crate::update::CopyRect;

/// Rows of four bytes a pixel; stride is the width.
#[derive(Clone)]
pub(crate) struct Pixels {
    size: PictureSize,
    bytes: Vec<u8>,
}

impl Pixels {
    pub(crate) fn black(size: PictureSize) -> Self {
        Self { size, bytes: [0, 0, 0, 255].repeat(size.bytes() / 4) }
    }

    pub(crate) fn size(&self) -> PictureSize {
        self.size
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All pixels in order, four bytes each.
    pub(crate) fn pixels_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.bytes.chunks_exact_mut(4)
    }

    /// Row `y` of the rectangle.
    #[inline]
    pub(crate) fn row(&self, rect: Rect, y: usize) -> &[u8] {
        let start = self.start(rect, y);
        &self.bytes[start..start + usize::from(rect.width) * 4]
    }

    #[inline]
    pub(crate) fn row_mut(&mut self, rect: Rect, y: usize) -> &mut [u8] {
        let start = self.start(rect, y);
        &mut self.bytes[start..start + usize::from(rect.width) * 4]
    }

    pub(crate) fn rows(&self, rect: Rect) -> impl Iterator<Item = &[u8]> {
        (0..rect.height.into()).map(move |y| self.row(rect, y))
    }

    #[inline]
    fn start(&self, rect: Rect, y: usize) -> usize {
        (usize::from(rect.y) + y) * self.size.stride() + usize::from(rect.x) * 4
    }

    /// Takes the rectangle over from a picture of the same size.
    pub(crate) fn copy_from(&mut self, other: &Self, rect: Rect) {
        for y in 0..rect.height.into() {
            self.row_mut(rect, y).copy_from_slice(other.row(rect, y));
        }
    }

    /// Moves a rectangle as if by way of a buffer.
    pub(crate) fn move_within(&mut self, copy: CopyRect) {
        let length = usize::from(copy.to.width) * 4;
        let mut move_row = |y: usize| {
            let from = self.start(copy.from(), y);
            let to = self.start(copy.to, y);
            self.bytes.copy_within(from..from + length, to);
        };
        let rows = 0..usize::from(copy.to.height);
        if copy.from_y < copy.to.y {
            rows.rev().for_each(&mut move_row);
        } else {
            rows.for_each(move_row);
        }
    }

    /// Where the two differ within the rectangle, which is at most a tile.
    pub(crate) fn difference(&self, other: &Self, rect: Rect) -> Option<Area> {
        difference(rect, |y| self.row(rect, y), |y| other.row(rect, y))
    }

    /// As [`hash_swapped`], of a rectangle of at most a tile.
    pub(crate) fn hash_swapped(&self, rect: Rect) -> u64 {
        let mut gathered = [0; TILE_BYTES];
        let mut length = 0;
        for row in self.rows(rect) {
            gathered[length..length + row.len()].copy_from_slice(row);
            length += row.len();
        }
        hash_swapped(&gathered[..length])
    }

    /// XXH64 of the rectangle's bytes as they are.
    pub(crate) fn hash_in_order(&self, rect: Rect) -> u64 {
        let mut state = Xxh64::new(0);
        self.rows(rect).for_each(|row| state.update(row));
        state.digest()
    }
}

impl std::fmt::Debug for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pixels").field("size", &self.size).finish_non_exhaustive()
    }
}

/// XXH64 of at most a tile of pixels with the first and third byte of each swapped: the hash of
/// RGBA for pixels held as BGRX.
pub(crate) fn hash_swapped(pixels: &[u8]) -> u64 {
    let mut swapped = [0; TILE_BYTES];
    let swapped = &mut swapped[..pixels.len()];
    for (from, to) in pixels.chunks_exact(4).zip(swapped.chunks_exact_mut(4)) {
        let pixel = u32::from_le_bytes([from[0], from[1], from[2], from[3]]);
        let turned = (pixel & 0xff00_ff00) | (pixel & 0x00ff_00ff).rotate_left(16);
        to.copy_from_slice(&turned.to_le_bytes());
    }
    xxh64(swapped, 0)
}

/// The smallest area around all pixels that differ between two blocks of at most a tile.
pub(crate) fn difference<'a, 'b>(
    rect: Rect,
    a: impl Fn(usize) -> &'a [u8],
    b: impl Fn(usize) -> &'b [u8],
) -> Option<Area> {
    let height = usize::from(rect.height);
    let top = (0..height).find(|&y| a(y) != b(y))?;
    let bottom = (top..height).rev().find(|&y| a(y) != b(y)).unwrap_or(top);
    Some(around(rect, (top, bottom), a, b))
}

/// The same where the first and the last row that differs are known.
pub(crate) fn around<'a, 'b>(
    rect: Rect,
    (top, bottom): (usize, usize),
    a: impl Fn(usize) -> &'a [u8],
    b: impl Fn(usize) -> &'b [u8],
) -> Area {
    let (mut left, mut right) = (usize::from(rect.width), 0);
    for y in top..=bottom {
        let (a, b) = (a(y), b(y));
        left = first_difference(&a[..left * 4], &b[..left * 4]).unwrap_or(left);
        right += last_difference(&a[right * 4..], &b[right * 4..]).map_or(0, |at| at + 1);
    }
    let byte = |pixels: usize| u8::try_from(pixels).expect("within a tile");
    Area { x: byte(left), y: byte(top), width: byte(right - left), height: byte(bottom - top + 1) }
}

/// Index of the first pixel that differs.
fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    if a == b {
        return None;
    }
    a.chunks_exact(4).zip(b.chunks_exact(4)).position(|(a, b)| a != b)
}

/// Index of the last pixel that differs.
fn last_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    if a == b {
        return None;
    }
    a.chunks_exact(4).zip(b.chunks_exact(4)).rposition(|(a, b)| a != b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size() -> PictureSize {
        PictureSize::new(100, 80).unwrap()
    }

    #[test]
    fn a_difference_is_as_small_as_can_be() {
        let black = Pixels::black(size());
        let mut other = black.clone();
        let tile = Rect { x: 64, y: 64, width: 36, height: 16 };
        assert_eq!(black.difference(&other, tile), None);
        other.row_mut(tile, 3)[4 * 35] = 1;
        other.row_mut(tile, 9)[4 * 7 + 2] = 1;
        let area = Area { x: 7, y: 3, width: 29, height: 7 };
        assert_eq!(black.difference(&other, tile), Some(area));
        assert_eq!(black.difference(&other, Rect { x: 0, y: 0, width: 64, height: 64 }), None);
    }

    #[test]
    fn moves_overlap_safely_in_every_direction() {
        let mut start = Pixels::black(size());
        for (index, byte) in start.bytes.iter_mut().enumerate() {
            *byte = u8::try_from(index % 251).unwrap();
        }
        for (dx, dy) in [(0, 9), (0, -9), (5, 0), (-5, 0), (3, 4), (-3, -4), (3, -4), (-3, 4)] {
            let to = Rect { x: 20, y: 20, width: 50, height: 40 };
            let from_x = 20_u16.checked_add_signed(dx).unwrap();
            let from_y = 20_u16.checked_add_signed(dy).unwrap();
            let mut moved = start.clone();
            moved.move_within(CopyRect { from_x, from_y, to });
            let from = Rect { x: from_x, y: from_y, ..to };
            for y in 0..40 {
                assert_eq!(moved.row(to, y), start.row(from, y), "by {dx}, {dy}");
            }
        }
    }

    #[test]
    fn the_hash_is_that_of_rgba() {
        let mut pixels = Pixels::black(size());
        let one = Rect { x: 1, y: 1, width: 1, height: 1 };
        pixels.row_mut(one, 0).copy_from_slice(&[1, 2, 3, 255]);
        assert_eq!(pixels.hash_swapped(one), xxh64(&[3, 2, 1, 255], 0));
    }
}

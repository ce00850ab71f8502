//! The part of the picture that is encoded as video: it follows what moves, lazily.

use std::time::{Duration, Instant};

use beamdesk_proto::wire::TILE;

use crate::geometry::{PictureSize, Rect, TileGrid};

/// A region too large for so long is made smaller: each change costs a key frame.
const SHRINK_AFTER: Duration = Duration::from_millis(1500);
/// It is too large when what moves covers less than this part of it, in sixteenths.
const SHRINK_BELOW: usize = 10;

/// Columns and rows of tiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    left: u16,
    top: u16,
    columns: u16,
    rows: u16,
}

impl Span {
    fn around(grid: TileGrid, tiles: &[u16]) -> Option<Self> {
        let column = |tile: &u16| tile % grid.columns();
        let row = |tile: &u16| tile / grid.columns();
        let (left, right) = (tiles.iter().map(column).min()?, tiles.iter().map(column).max()?);
        let (top, bottom) = (tiles.iter().map(row).min()?, tiles.iter().map(row).max()?);
        Some(Self { left, top, columns: right - left + 1, rows: bottom - top + 1 })
    }

    fn contains(self, other: Self) -> bool {
        self.left <= other.left
            && self.top <= other.top
            && self.left + self.columns >= other.left + other.columns
            && self.top + self.rows >= other.top + other.rows
    }

    fn union(self, other: Self) -> Self {
        let left = self.left.min(other.left);
        let top = self.top.min(other.top);
        let right = (self.left + self.columns).max(other.left + other.columns);
        let bottom = (self.top + self.rows).max(other.top + other.rows);
        Self { left, top, columns: right - left, rows: bottom - top }
    }

    fn tiles(self) -> usize {
        usize::from(self.columns) * usize::from(self.rows)
    }

    /// Of the same size, moved no further than needed to hold the other one.
    fn moved_around(self, other: Self) -> Option<Self> {
        if other.columns > self.columns || other.rows > self.rows {
            return None;
        }
        let along = |start: u16, length: u16, other: u16, other_length: u16| {
            start.min(other).max((other + other_length).saturating_sub(length))
        };
        let left = along(self.left, self.columns, other.left, other.columns);
        let top = along(self.top, self.rows, other.top, other.rows);
        Some(Self { left, top, ..self })
    }
}

#[derive(Debug)]
pub(super) struct Region {
    size: PictureSize,
    grid: TileGrid,
    span: Option<Span>,
    /// Since when it is too large.
    large_since: Option<Instant>,
}

impl Region {
    pub(super) fn new(size: PictureSize) -> Self {
        Self { size, grid: size.grid(), span: None, large_since: None }
    }

    pub(super) fn clear(&mut self) {
        self.span = None;
        self.large_since = None;
    }

    /// Makes it hold all that moves.
    pub(super) fn follow(&mut self, moving: &[u16], now: Instant) {
        let Some(needed) = Span::around(self.grid, moving) else { return };
        let Some(span) = self.span else {
            self.span = Some(needed);
            return;
        };
        if !span.contains(needed) {
            let grown = span.union(needed);
            let is_elsewhere = grown.tiles() > 2 * span.tiles().max(needed.tiles());
            let moved = span.moved_around(needed);
            self.span = Some(match moved {
                Some(moved) => moved,
                None if is_elsewhere => needed,
                None => grown,
            });
            self.large_since = None;
            return;
        }
        if needed.tiles() * 16 >= span.tiles() * SHRINK_BELOW {
            self.large_since = None;
            return;
        }
        let since = *self.large_since.get_or_insert(now);
        if now.saturating_duration_since(since) >= SHRINK_AFTER {
            self.span = Some(needed);
            self.large_since = None;
        }
    }

    /// In tiles.
    pub(super) fn tiles(&self) -> usize {
        self.span.map_or(0, Span::tiles)
    }

    /// In pixels.
    pub(super) fn rect(&self) -> Option<Rect> {
        let span = self.span?;
        let (x, y) = (span.left * TILE, span.top * TILE);
        let rect = Rect { x, y, width: span.columns * TILE, height: span.rows * TILE };
        Some(rect.clipped(self.size))
    }

    /// A bit for each of its tiles, row by row, low bits first.
    pub(super) fn mask(&self, painted: &[u16]) -> Vec<u8> {
        let Some(span) = self.span else { return Vec::new() };
        let mut mask = vec![0_u8; span.tiles().div_ceil(8)];
        for tile in painted {
            let (column, row) = (tile % self.grid.columns(), tile / self.grid.columns());
            let at = usize::from(row - span.top) * usize::from(span.columns)
                + usize::from(column - span.left);
            mask[at / 8] |= 1 << (at % 8);
        }
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten columns, eight rows.
    fn size() -> PictureSize {
        PictureSize::new(640, 500).unwrap()
    }

    fn window(left: u16, top: u16, columns: u16, rows: u16) -> Vec<u16> {
        let grid = size().grid();
        (top..top + rows)
            .flat_map(|row| (left..left + columns).map(move |column| grid.tile(column, row)))
            .collect()
    }

    #[expect(clippy::disallowed_methods, reason = "a start for a clock that is moved by hand")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn it_grows_at_once_and_shrinks_late() {
        let mut region = Region::new(size());
        let now = start();
        region.follow(&window(2, 2, 3, 3), now);
        assert_eq!(region.rect(), Some(Rect { x: 128, y: 128, width: 192, height: 192 }));
        region.follow(&window(2, 2, 5, 3), now);
        assert_eq!(region.tiles(), 15);
        for (milliseconds, tiles) in [(0, 15), (1400, 15), (1600, 4)] {
            region.follow(&window(3, 3, 2, 2), now + Duration::from_millis(milliseconds));
            assert_eq!(region.tiles(), tiles, "after {milliseconds} ms");
        }
    }

    #[test]
    fn a_pause_of_part_of_it_does_not_shrink_it() {
        let mut region = Region::new(size());
        let now = start();
        for step in 0..10 {
            let (columns, rows) = if step % 2 == 0 { (4, 4) } else { (1, 1) };
            region.follow(&window(2, 2, columns, rows), now + Duration::from_secs(step));
            assert_eq!(region.tiles(), 16);
        }
    }

    #[test]
    fn it_follows_a_window_without_a_change_of_size() {
        let mut region = Region::new(size());
        for (left, top) in [(0, 0), (1, 0), (3, 2), (6, 4), (0, 1)] {
            region.follow(&window(left, top, 3, 3), start());
            assert_eq!(region.tiles(), 9);
            let rect = region.rect().unwrap();
            assert_eq!((rect.x, rect.y), (left * 64, top * 64));
        }
    }

    #[test]
    fn the_mask_has_a_bit_for_each_painted_tile() {
        let mut region = Region::new(size());
        region.follow(&window(7, 6, 3, 2), start());
        assert_eq!(region.rect(), Some(Rect { x: 448, y: 384, width: 192, height: 116 }));
        let grid = size().grid();
        assert_eq!(region.mask(&[grid.tile(7, 6), grid.tile(9, 7)]), [0b10_0001]);
    }
}

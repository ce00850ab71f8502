//! Sizes, rectangles and the grid of tiles.

use std::ops::Range;

use beamdesk_proto::wire::{HEIGHT_MAX, SIZE_MIN, TILE, WIDTH_MAX};

const EDGE: usize = TILE as usize;

/// Size of a picture in pixels; within the protocol's bounds by construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PictureSize {
    width: u16,
    height: u16,
}

impl PictureSize {
    /// `None` outside of 64×64 to 7680×4320.
    pub fn new(width: u16, height: u16) -> Option<Self> {
        let fits =
            (SIZE_MIN..=WIDTH_MAX).contains(&width) && (SIZE_MIN..=HEIGHT_MAX).contains(&height);
        fits.then_some(Self { width, height })
    }

    /// The nearest size within the protocol's bounds.
    pub fn clamped(width: u32, height: u32) -> Self {
        let side =
            |asked: u32, max: u16| u16::try_from(asked).unwrap_or(u16::MAX).clamp(SIZE_MIN, max);
        Self { width: side(width, WIDTH_MAX), height: side(height, HEIGHT_MAX) }
    }

    pub fn width(self) -> u16 {
        self.width
    }

    pub fn height(self) -> u16 {
        self.height
    }

    /// The largest size that is within both.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        Self { width: self.width.min(other.width), height: self.height.min(other.height) }
    }

    pub fn grid(self) -> TileGrid {
        TileGrid::new(self)
    }

    pub fn rect(self) -> Rect {
        Rect { x: 0, y: 0, width: self.width, height: self.height }
    }

    /// Bytes of one row of 32-bit pixels.
    pub(crate) fn stride(self) -> usize {
        usize::from(self.width) * 4
    }

    pub(crate) fn bytes(self) -> usize {
        self.stride() * usize::from(self.height)
    }
}

/// A rectangle of the picture, pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rect {
    pub x: u16,
    pub y: u16,
    pub width: u16,
    pub height: u16,
}

impl Rect {
    pub(crate) fn columns(self) -> Range<usize> {
        usize::from(self.x)..usize::from(self.x) + usize::from(self.width)
    }

    pub(crate) fn rows(self) -> Range<usize> {
        usize::from(self.y)..usize::from(self.y) + usize::from(self.height)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }

    pub(crate) fn contains(self, other: Self) -> bool {
        self.x <= other.x
            && self.y <= other.y
            && self.columns().end >= other.columns().end
            && self.rows().end >= other.rows().end
    }

    /// The part of the rectangle that lies in the picture.
    #[must_use]
    pub(crate) fn clipped(self, size: PictureSize) -> Self {
        let x = self.x.min(size.width);
        let y = self.y.min(size.height);
        let width = self.width.min(size.width - x);
        let height = self.height.min(size.height - y);
        Self { x, y, width, height }
    }

    /// What is in both; empty if nothing is.
    #[must_use]
    pub(crate) fn intersection(self, other: Self) -> Self {
        let x = self.x.max(other.x);
        let y = self.y.max(other.y);
        let right = (self.x + self.width).min(other.x + other.width);
        let bottom = (self.y + self.height).min(other.y + other.height);
        Self { x, y, width: right.saturating_sub(x), height: bottom.saturating_sub(y) }
    }

    /// The smallest rectangle around both.
    #[must_use]
    pub(crate) fn union(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let x = self.x.min(other.x);
        let y = self.y.min(other.y);
        let right = (self.x + self.width).max(other.x + other.width);
        let bottom = (self.y + self.height).max(other.y + other.height);
        Self { x, y, width: right - x, height: bottom - y }
    }
}

/// A part of one tile; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Area {
    pub x: u8,
    pub y: u8,
    pub width: u8,
    pub height: u8,
}

impl Area {
    pub(crate) fn pixels(self) -> usize {
        usize::from(self.width) * usize::from(self.height)
    }
}

/// How a picture is cut into tiles, numbered row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileGrid {
    size: PictureSize,
    columns: u16,
    rows: u16,
}

impl TileGrid {
    fn new(size: PictureSize) -> Self {
        Self { size, columns: size.width.div_ceil(TILE), rows: size.height.div_ceil(TILE) }
    }

    pub fn columns(self) -> u16 {
        self.columns
    }

    pub fn rows(self) -> u16 {
        self.rows
    }

    /// Number of tiles; at most 8160, so that a `u16` numbers them.
    pub fn count(self) -> u16 {
        self.columns * self.rows
    }

    pub fn tile(self, column: u16, row: u16) -> u16 {
        row * self.columns + column
    }

    /// Where the tile lies in the picture, cropped at the right and lower edge.
    pub fn rect(self, tile: u16) -> Rect {
        let x = tile % self.columns * TILE;
        let y = tile / self.columns * TILE;
        Rect { x, y, width: TILE.min(self.size.width - x), height: TILE.min(self.size.height - y) }
    }

    /// The whole tile as an area.
    pub fn area(self, tile: u16) -> Area {
        let rect = self.rect(tile);
        Area { x: 0, y: 0, width: edge(rect.width), height: edge(rect.height) }
    }

    /// Where an area of a tile lies in the picture.
    pub fn place(self, tile: u16, area: Area) -> Rect {
        let rect = self.rect(tile);
        Rect {
            x: rect.x + u16::from(area.x),
            y: rect.y + u16::from(area.y),
            width: u16::from(area.width),
            height: u16::from(area.height),
        }
    }

    /// The tiles that the rectangle touches, row by row.
    pub(crate) fn touched(self, rect: Rect) -> impl Iterator<Item = u16> {
        let rect = rect.clipped(self.size);
        let (columns, rows) = if rect.is_empty() {
            (0..0, 0..0)
        } else {
            let last_column = (rect.x + rect.width - 1) / TILE;
            let last_row = (rect.y + rect.height - 1) / TILE;
            (rect.x / TILE..last_column + 1, rect.y / TILE..last_row + 1)
        };
        rows.flat_map(move |row| columns.clone().map(move |column| self.tile(column, row)))
    }
}

/// A width or height within a tile fits a byte.
fn edge(pixels: u16) -> u8 {
    u8::try_from(pixels).expect("at most the edge of a tile")
}

/// Bytes of the largest tile, 32-bit pixels.
pub(crate) const TILE_BYTES: usize = EDGE * EDGE * 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_the_picture_once() {
        let size = PictureSize::new(200, 130).unwrap();
        let grid = size.grid();
        let covered: usize = (0..grid.count()).map(|tile| grid.area(tile).pixels()).sum();
        assert_eq!(covered, 200 * 130);
        assert_eq!(grid.rect(11), Rect { x: 192, y: 128, width: 8, height: 2 });
    }

    #[test]
    fn touched_tiles_are_those_that_share_a_pixel() {
        let grid = PictureSize::new(256, 256).unwrap().grid();
        let rect = Rect { x: 63, y: 64, width: 2, height: 64 };
        assert_eq!(grid.touched(rect).collect::<Vec<_>>(), [4, 5]);
        assert_eq!(grid.touched(Rect { width: 0, ..rect }).count(), 0);
        assert_eq!(grid.touched(Rect { x: 300, y: 0, width: 9, height: 9 }).count(), 0);
    }

    #[test]
    fn the_largest_picture_can_be_numbered() {
        assert_eq!(PictureSize::clamped(u32::MAX, u32::MAX).grid().count(), 120 * 68);
        assert_eq!(PictureSize::new(0, 100), None);
    }
}

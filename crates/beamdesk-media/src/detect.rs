//! Finds what changed: the display says where to look, comparing pixels says what is so.

use crate::geometry::{PictureSize, Rect, TILE_BYTES};
use crate::picture::Picture;
use crate::pixels::{Pixels, difference};
use crate::scroll;
use crate::update::Update;

/// With fewer tiles changed, sending them costs less than looking for a scroll.
const SCROLL_TILES_MIN: usize = 4;

/// The newest picture and the one before, which is equal to it between captures.
#[derive(Debug)]
pub(crate) struct Detector {
    picture: Picture,
    before: Pixels,
    /// Nothing was taken in yet: every tile counts as changed.
    is_new: bool,
}

impl Detector {
    pub(crate) fn new(size: PictureSize) -> Self {
        Self { picture: Picture::black(size), before: Pixels::black(size), is_new: true }
    }

    pub(crate) fn picture(&self) -> &Picture {
        &self.picture
    }

    /// Compares the candidates, in rising order. `read` fills in row `y` of a tile as it is now, four
    /// bytes a pixel of which the last says nothing.
    pub(crate) fn take_in(
        &mut self,
        candidates: impl Iterator<Item = u16>,
        read: impl Fn(Rect, usize, &mut [u8]),
    ) -> Option<Update> {
        let grid = self.picture.size().grid();
        let is_new = std::mem::take(&mut self.is_new);
        let mut areas = Vec::new();
        let mut tile_now = [0; TILE_BYTES];
        for tile in candidates {
            let rect = grid.rect(tile);
            let row_bytes = usize::from(rect.width) * 4;
            for y in 0..rect.height.into() {
                let row = &mut tile_now[y * row_bytes..][..row_bytes];
                read(rect, y, row);
                make_opaque(row);
            }
            let now = |y: usize| &tile_now[y * row_bytes..][..row_bytes];
            let changed = difference(rect, now, |y| self.before.row(rect, y));
            if changed.is_some() {
                self.picture.put(tile, &tile_now[..row_bytes * usize::from(rect.height)]);
            }
            if let Some(area) = changed.or(is_new.then(|| grid.area(tile))) {
                areas.push((tile, area));
            }
        }
        if areas.is_empty() {
            return None;
        }
        let copy = if is_new || areas.len() < SCROLL_TILES_MIN {
            None
        } else {
            let places = areas.iter().map(|&(tile, area)| grid.place(tile, area));
            let around = places.reduce(Rect::union);
            around.and_then(|around| scroll::find(&self.before, self.picture.raw(), around))
        };
        let mut touched: Vec<u16> = areas.iter().map(|&(tile, _)| tile).collect();
        if let Some(copy) = copy {
            self.before.move_within(copy);
            touched.extend(grid.touched(copy.to));
            touched.sort_unstable();
            touched.dedup();
            // All of the copy was compared; only tiles that reach out of it can differ.
            let is_edge = |rect: Rect| !copy.to.contains(rect);
            debug_assert!(touched.iter().map(|&tile| grid.rect(tile)).all(|rect| {
                is_edge(rect) || self.before.difference(self.picture.raw(), rect).is_none()
            }));
            touched.retain(|&tile| is_edge(grid.rect(tile)));
            areas.clear();
            for &tile in &touched {
                let left = self.before.difference(self.picture.raw(), grid.rect(tile));
                areas.extend(left.map(|area| (tile, area)));
            }
        }
        for tile in touched {
            self.before.copy_from(self.picture.raw(), grid.rect(tile));
        }
        Some(Update { areas, copy })
    }
}

/// Makes the fourth byte of each pixel 255: the display leaves there what it likes.
fn make_opaque(row: &mut [u8]) {
    for pixel in row.chunks_exact_mut(4) {
        // By whole pixels, which the compiler does many at a time.
        let opaque = u32::from_le_bytes([pixel[0], pixel[1], pixel[2], pixel[3]]) | 0xff00_0000;
        pixel.copy_from_slice(&opaque.to_le_bytes());
    }
}

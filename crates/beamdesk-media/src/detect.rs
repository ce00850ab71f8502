//! Finds what changed: the display says where to look, comparing pixels says what is so.

mod runs;

use crate::geometry::{Area, PictureSize, Rect, TILE_BYTES};
use crate::picture::Picture;
use crate::pixels::{Pixels, difference};
use crate::scroll;
use crate::update::{CopyRect, Update};

/// With fewer tiles changed, sending them costs less than looking for a scroll.
const SCROLL_TILES_MIN: usize = 4;

/// The newest picture and the one before.
#[derive(Debug)]
pub(crate) struct Detector {
    picture: Picture,
    /// The picture before, but for tiles that are `behind`.
    before: Pixels,
    /// Tiles that `before` does not hold yet as they are. It gets them when they change again, and
    /// are in the processor's cache for that, or before anything else changes.
    behind: Vec<bool>,
    /// Nothing was taken in yet: every tile counts as changed.
    is_new: bool,
}

impl Detector {
    pub(crate) fn new(size: PictureSize) -> Self {
        Self {
            picture: Picture::black(size),
            before: Pixels::black(size),
            behind: vec![false; size.grid().count().into()],
            is_new: true,
        }
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
        self.take(candidates, read, true)
    }

    /// The same, and nothing counts as scrolled.
    pub(crate) fn take_in_still(
        &mut self,
        candidates: impl Iterator<Item = u16>,
        read: impl Fn(Rect, usize, &mut [u8]),
    ) -> Option<Update> {
        self.take(candidates, read, false)
    }

    fn take(
        &mut self,
        candidates: impl Iterator<Item = u16>,
        read: impl Fn(Rect, usize, &mut [u8]),
        may_scroll: bool,
    ) -> Option<Update> {
        let candidates: Vec<u16> = candidates.collect();
        let is_new = std::mem::take(&mut self.is_new);
        let mut areas = self.look(&candidates, is_new, read);
        if areas.is_empty() {
            return None;
        }
        self.catch_up();
        let grid = self.picture.size().grid();
        let copy = if is_new || !may_scroll || areas.len() < SCROLL_TILES_MIN {
            None
        } else {
            let places = areas.iter().map(|&(tile, area)| grid.place(tile, area));
            let around = places.reduce(Rect::union);
            around.and_then(|around| scroll::find(&self.before, self.picture.raw(), around))
        };
        let mut touched: Vec<u16> = areas.iter().map(|&(tile, _)| tile).collect();
        if let Some(copy) = copy {
            touched.extend(grid.touched(copy.to));
            touched.sort_unstable();
            touched.dedup();
            areas.clear();
            for &tile in &touched {
                let rect = grid.rect(tile);
                // All of the copy was compared; only tiles that reach out of it can differ.
                let is_edge = !copy.to.contains(rect);
                debug_assert!(is_edge || self.left_by(copy, rect).is_none());
                if is_edge {
                    areas.extend(self.left_by(copy, rect).map(|area| (tile, area)));
                }
            }
        }
        for tile in touched {
            self.behind[usize::from(tile)] = true;
        }
        Some(Update { areas, copy })
    }

    /// Brings the picture before up to date where it is behind.
    fn catch_up(&mut self) {
        let grid = self.picture.size().grid();
        for (tile, behind) in (0..).zip(&mut self.behind) {
            if std::mem::take(behind) {
                self.before.copy_from(self.picture.raw(), grid.rect(tile));
            }
        }
    }

    /// Where the tile at `rect` differs once the copy is done in the picture before.
    fn left_by(&self, copy: CopyRect, rect: Rect) -> Option<Area> {
        let part = rect.intersection(copy.to);
        let origin = copy.origin(rect);
        let row_bytes = usize::from(rect.width) * 4;
        let mut moved = [0; TILE_BYTES];
        for y in 0..usize::from(rect.height) {
            let row = &mut moved[y * row_bytes..][..row_bytes];
            row.copy_from_slice(self.before.row(rect, y));
            let at = usize::from(rect.y) + y;
            if !part.is_empty() && part.rows().contains(&at) {
                let from = self.before.row(origin, at - usize::from(part.y));
                row[usize::from(part.x - rect.x) * 4..][..from.len()].copy_from_slice(from);
            }
        }
        let moved = |y: usize| &moved[y * row_bytes..][..row_bytes];
        difference(rect, moved, |y| self.picture.raw().row(rect, y))
    }
}

#[cfg(test)]
mod tests;

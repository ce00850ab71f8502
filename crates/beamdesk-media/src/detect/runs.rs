//! Neighbouring tiles, looked at together.
//!
//! Row of pixels by row of pixels over all of them: tile by tile, the processor would wait for
//! memory anew at each short row, which takes twice as long.

use super::Detector;
use crate::geometry::{Area, Rect, TILE_BYTES};
use crate::pixels::{around, hash_swapped};

/// More do not fit into the processor's cache with what they were.
const RUN_TILES: usize = 16;

impl Detector {
    /// Takes in the candidates, in rising order; gives those that changed, or all if nothing was
    /// there before, with what changed in them.
    pub(super) fn look(
        &mut self,
        candidates: &[u16],
        is_new: bool,
        read: impl Fn(Rect, usize, &mut [u8]),
    ) -> Vec<(u16, Area)> {
        let columns = self.picture.size().grid().columns();
        let is_run = |one: &u16, next: &u16| one + 1 == *next && !next.is_multiple_of(columns);
        let mut areas = Vec::new();
        let mut now = vec![0; TILE_BYTES * RUN_TILES.min(candidates.len())];
        for run in candidates.chunk_by(is_run).flat_map(|row| row.chunks(RUN_TILES)) {
            let from = areas.len();
            self.compare(run, &mut now, is_new, &read, &mut areas);
            self.put(run, &now, &areas[from..]);
        }
        areas
    }

    /// Reads the tiles of a run, each to its place in `now`, and finds what changed.
    fn compare(
        &self,
        run: &[u16],
        now: &mut [u8],
        is_new: bool,
        read: &impl Fn(Rect, usize, &mut [u8]),
        areas: &mut Vec<(u16, Area)>,
    ) {
        let grid = self.picture.size().grid();
        let before = self.picture.raw();
        // The first and the last row that differs, of each tile.
        let mut rows = [None; RUN_TILES];
        for y in 0..run.first().map_or(0, |&first| grid.rect(first).height.into()) {
            let tiles = run.iter().zip(now.chunks_exact_mut(TILE_BYTES)).zip(&mut rows);
            for ((&tile, now), rows) in tiles {
                let rect = grid.rect(tile);
                let row_bytes = usize::from(rect.width) * 4;
                let row = &mut now[y * row_bytes..][..row_bytes];
                read(rect, y, row);
                make_opaque(row);
                if row != before.row(rect, y) {
                    *rows = Some((rows.map_or(y, |(top, _)| top), y));
                }
            }
        }
        for ((&tile, now), rows) in run.iter().zip(now.chunks_exact(TILE_BYTES)).zip(rows) {
            let rect = grid.rect(tile);
            let row_bytes = usize::from(rect.width) * 4;
            let now = |y: usize| &now[y * row_bytes..][..row_bytes];
            let changed = rows.map(|rows| around(rect, rows, now, |y| before.row(rect, y)));
            areas.extend(changed.or(is_new.then(|| grid.area(tile))).map(|area| (tile, area)));
        }
    }

    /// Replaces those of the run that changed; what they were is what they were before.
    fn put(&mut self, run: &[u16], now: &[u8], changed: &[(u16, Area)]) {
        let Some(&first) = run.first() else { return };
        let grid = self.picture.size().grid();
        let (picture, hashes) = self.picture.pixels_and_hashes();
        let place = |tile: u16| usize::from(tile - first) * TILE_BYTES;
        for y in 0..grid.rect(first).height.into() {
            for &(tile, _) in changed {
                let rect = grid.rect(tile);
                let row = picture.row_mut(rect, y);
                if self.behind[usize::from(tile)] {
                    self.before.row_mut(rect, y).copy_from_slice(row);
                }
                row.copy_from_slice(&now[place(tile) + y * row.len()..][..row.len()]);
            }
        }
        for &(tile, _) in changed {
            let bytes = grid.area(tile).pixels() * 4;
            hashes[usize::from(tile)] = hash_swapped(&now[place(tile)..][..bytes]);
            self.behind[usize::from(tile)] = false;
        }
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

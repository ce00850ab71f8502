//! The lossless tile encoder: keeps a replica of what the viewer holds, and sends the difference.

use std::time::{Duration, Instant};

use beamdesk_proto::EncodedFrame;
use beamdesk_proto::wire::TILE;
use bytes::Bytes;

use super::area::write_area;
use super::cache::TileCache;
use super::packer::Packer;
use super::{Budget, Encoder, ORDINARY_TILE_BYTES};
use crate::geometry::{Area, PictureSize, TileGrid};
use crate::ops::op;
use crate::picture::Picture;
use crate::pixels::Pixels;
use crate::update::{CopyRect, Update};

/// A tile that stayed the same so long is worth keeping when something covers it.
const REST: Duration = Duration::from_millis(200);
/// Scrolls that wait for the next frame; with more, the tiles themselves are sent.
const COPIES_MAX: usize = 8;
/// Rows that are equal between two areas of a tile before they are sent apart: an operation costs
/// about as much as so many rows of text.
const GAP_ROWS: u8 = 8;
/// Part of a tile that must change before the old one is kept: less is quickly sent again.
const KEEP_PART: usize = 4;
/// Changes smaller than this many pixels are sent, not loaded.
const LOAD_PIXELS_MIN: usize = 32;

/// What the agent knows about one tile of the viewer.
#[derive(Debug, Clone, Copy)]
struct TileState {
    /// It may differ from the picture.
    is_dirty: bool,
    /// The viewer may hold anything: the whole tile must be sent.
    is_unknown: bool,
    /// The frame in the making touches it.
    is_touched: bool,
    /// What the viewer holds had stayed the same for a while when it changed.
    has_rested: bool,
    /// `None`: not since the viewer came.
    changed: Option<Instant>,
}

const NEW_TILE: TileState = TileState {
    is_dirty: true,
    is_unknown: true,
    is_touched: false,
    has_rested: false,
    changed: None,
};

/// Encodes for one viewer. It holds a replica of the viewer's picture: whatever updates say, what
/// is sent is the difference between the replica and the source, so that after a frame without
/// anything left both are equal, bit by bit.
#[derive(Debug)]
pub struct TileEncoder {
    grid: TileGrid,
    /// The viewer's picture once all frames so far are drawn; says nothing of unknown tiles.
    held: Pixels,
    tiles: Vec<TileState>,
    dirty: usize,
    /// Scrolls not sent yet, oldest first.
    copies: Vec<CopyRect>,
    cache: TileCache,
    packer: Packer,
    frame: u32,
    /// The last frame said that more will come.
    owes_rest: bool,
}

impl TileEncoder {
    /// `cache_slots`: how many tiles the viewer can put aside; each costs 16 KiB here too.
    pub fn new(size: PictureSize, cache_slots: u16) -> Self {
        let mut encoder = Self {
            grid: size.grid(),
            held: Pixels::black(size),
            tiles: Vec::new(),
            dirty: 0,
            copies: Vec::new(),
            cache: TileCache::new(cache_slots),
            packer: Packer::new(),
            frame: 0,
            owes_rest: false,
        };
        encoder.restart(size);
        encoder
    }

    fn state(&mut self, tile: u16) -> &mut TileState {
        &mut self.tiles[usize::from(tile)]
    }

    fn soil(&mut self, tile: u16) {
        let state = self.state(tile);
        if !state.is_dirty {
            state.is_dirty = true;
            self.dirty += 1;
        }
    }

    fn clean(&mut self, tile: u16) {
        let state = self.state(tile);
        if state.is_dirty {
            state.is_dirty = false;
            self.dirty -= 1;
        }
    }

    fn note_change(&mut self, tile: u16, now: Instant) {
        let state = self.state(tile);
        let rested = state.changed.is_none_or(|at| now.saturating_duration_since(at) >= REST);
        state.has_rested |= rested && !state.is_dirty;
        state.changed = Some(now);
    }

    /// Sends the scrolls that wait, oldest first, as the source saw them.
    fn write_copies(&mut self, budget: usize) {
        for copy in std::mem::take(&mut self.copies) {
            let (from, to) = (self.grid.touched(copy.from()), self.grid.touched(copy.to));
            let mut is_known = true;
            let mut is_stale = false;
            for tile in from {
                is_known &= !self.state(tile).is_unknown;
                is_stale |= self.state(tile).is_dirty;
            }
            for tile in to {
                is_known &= !self.state(tile).is_unknown;
            }
            // Moving what is not known, or not up to date, makes more of it.
            if !is_known || is_stale {
                self.grid.touched(copy.to).for_each(|tile| self.soil(tile));
            }
            if !is_known {
                continue;
            }
            self.held.move_within(copy);
            for tile in self.grid.touched(copy.to) {
                self.state(tile).is_touched = true;
                self.state(tile).has_rested = false;
            }
            self.packer.step(budget, |ops, _| {
                ops.push(op::COPY);
                let CopyRect { from_x, from_y, to } = copy;
                for number in [from_x, from_y, to.x, to.y, to.width, to.height] {
                    ops.extend_from_slice(&number.to_le_bytes());
                }
            });
        }
    }

    /// Dirty tiles in the order in which they are sent.
    fn order(&self, budget: &Budget) -> Vec<u16> {
        let dirty = |tile: &u16| self.tiles[usize::from(*tile)].is_dirty;
        let mut order: Vec<u16> = (0..self.grid.count()).filter(dirty).collect();
        let all = self.packer.expected(order.len() * ORDINARY_TILE_BYTES);
        if let Some((x, y)) = budget.focus.filter(|_| all > budget.bytes) {
            order.sort_by_key(|&tile| {
                let rect = self.grid.rect(tile);
                let middle = (rect.x + TILE / 2, rect.y + TILE / 2);
                u32::from(middle.0.abs_diff(x)).pow(2) + u32::from(middle.1.abs_diff(y)).pow(2)
            });
        }
        order
    }

    /// Makes the viewer's tile equal to the picture's.
    fn write_tile(&mut self, picture: &Picture, tile: u16, budget: usize) {
        let rect = self.grid.rect(tile);
        let whole = self.grid.area(tile);
        let TileState { is_unknown, has_rested, .. } = *self.state(tile);
        let area = if is_unknown { Some(whole) } else { self.held.difference(picture.raw(), rect) };
        self.clean(tile);
        let Some(area) = area else { return };

        let is_large = area.pixels() >= whole.pixels() / KEEP_PART;
        let save = if has_rested && is_large && !is_unknown && !is_plain(&self.held, rect) {
            let hash = self.held.hash_swapped(rect);
            self.cache.keep(&self.held, rect, hash)
        } else {
            None
        };
        let load = if area.pixels() >= LOAD_PIXELS_MIN {
            self.cache.find(picture.raw(), rect, picture.tile_hash(tile))
        } else {
            None
        };

        let Self { grid, held, packer, .. } = self;
        packer.step(budget, |ops, pixels| {
            if let Some(slot) = save {
                write_slot(ops, op::SAVE, tile, slot);
            }
            if let Some(slot) = load {
                write_slot(ops, op::LOAD, tile, slot);
            } else if is_unknown {
                write_area(picture.raw(), (tile, whole), rect, ops, pixels);
            } else {
                for area in bands(held, picture.raw(), *grid, tile, area) {
                    write_area(picture.raw(), (tile, area), grid.place(tile, area), ops, pixels);
                }
            }
        });
        self.held.copy_from(picture.raw(), self.grid.place(tile, area));
        let state = self.state(tile);
        state.is_unknown = false;
        state.is_touched = true;
        state.has_rested = false;
    }

    /// The tiles of this frame with the hash of what the viewer must hold after it.
    fn touched(&mut self, picture: &Picture) -> Vec<(u16, u64)> {
        let mut touched = Vec::new();
        for tile in 0..self.grid.count() {
            let state = self.state(tile);
            if !std::mem::take(&mut state.is_touched) {
                continue;
            }
            // A tile that a scroll passed through, but that is not up to date yet.
            let is_behind = state.is_dirty;
            let hash = if is_behind {
                self.held.hash_swapped(self.grid.rect(tile))
            } else {
                picture.tile_hash(tile)
            };
            touched.push((tile, hash));
        }
        touched
    }
}

impl Encoder for TileEncoder {
    fn note(&mut self, update: &Update, now: Instant) {
        if let Some(copy) = update.copy {
            self.grid.touched(copy.to).for_each(|tile| self.note_change(tile, now));
            self.copies.push(copy);
            if self.copies.len() > COPIES_MAX {
                for copy in std::mem::take(&mut self.copies) {
                    self.grid.touched(copy.to).for_each(|tile| self.soil(tile));
                }
            }
        }
        for &(tile, _) in &update.areas {
            self.note_change(tile, now);
            self.soil(tile);
        }
    }

    fn encode(
        &mut self,
        picture: &Picture,
        budget: &Budget,
        out: &mut Vec<Bytes>,
    ) -> Option<EncodedFrame> {
        if picture.size() != self.held.size() {
            return None;
        }
        let frame = self.frame.wrapping_add(1);
        self.packer.start(frame, budget.captured_us);
        self.write_copies(budget.bytes);
        for tile in self.order(budget) {
            // At least one tile, or a small budget would stop the stream.
            if !self.packer.is_empty() && self.packer.bytes() >= budget.bytes {
                break;
            }
            self.write_tile(picture, tile, budget.bytes);
        }
        let is_complete = self.dirty == 0;
        // Tiles that are owed may have become right by themselves: the viewer still must hear it.
        if self.packer.is_empty() && !(self.owes_rest && is_complete) {
            return None;
        }
        self.frame = frame;
        self.owes_rest = !is_complete;
        let bytes = self.packer.finish(out);
        Some(EncodedFrame { frame, bytes, tiles: self.touched(picture), complete: is_complete })
    }

    fn repair(&mut self, tiles: &[u16]) {
        // What was saved of a wrong tile is wrong too.
        self.cache.clear();
        let count = self.grid.count();
        for &tile in tiles.iter().filter(|&&tile| tile < count) {
            self.soil(tile);
            self.state(tile).is_unknown = true;
        }
    }

    fn restart(&mut self, size: PictureSize) {
        self.grid = size.grid();
        self.held = Pixels::black(size);
        self.tiles = vec![NEW_TILE; self.grid.count().into()];
        self.dirty = self.tiles.len();
        self.copies.clear();
        self.owes_rest = true;
    }

    fn has_work(&self) -> bool {
        self.dirty > 0 || self.owes_rest || !self.copies.is_empty()
    }
}

fn write_slot(ops: &mut Vec<u8>, code: u8, tile: u16, slot: u16) {
    ops.push(code);
    ops.extend_from_slice(&tile.to_le_bytes());
    ops.extend_from_slice(&slot.to_le_bytes());
}

/// Whether the tile is of one colour, and as easily sent as loaded.
fn is_plain(pixels: &Pixels, rect: crate::geometry::Rect) -> bool {
    let first = pixels.row(rect, 0);
    let is_flat = first.chunks_exact(4).all(|pixel| pixel == &first[..4]);
    is_flat && pixels.rows(rect).all(|row| row == first)
}

/// The parts of an area that differ, cut where enough rows between them are equal.
fn bands(held: &Pixels, picture: &Pixels, grid: TileGrid, tile: u16, area: Area) -> Vec<Area> {
    let mut bands = Vec::new();
    let place = grid.place(tile, area);
    let mut add = |from: u8, to: u8| {
        let band = Area { y: area.y + from, height: to - from, ..area };
        let tight = held.difference(picture, grid.place(tile, band));
        bands.extend(tight.map(|tight| Area { x: band.x + tight.x, y: band.y + tight.y, ..tight }));
    };
    let (mut start, mut end) = (0, 0);
    for y in 0..area.height {
        let row = usize::from(y);
        if held.row(place, row) == picture.row(place, row) {
            continue;
        }
        if y - end >= GAP_ROWS {
            add(start, end);
            start = y;
        }
        end = y + 1;
    }
    add(start, end);
    bands
}

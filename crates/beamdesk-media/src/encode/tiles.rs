//! The lossless tile encoder: keeps a replica of what the viewer holds, and sends the difference.

use std::time::{Duration, Instant};

use beamdesk_proto::EncodedFrame;
use bytes::Bytes;

use super::area::write_area;
use super::cache::TileCache;
use super::copies::{Part, parts};
use super::packer::Packer;
use super::{Encoder, FrameHead, Portion};
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

/// What a whole tile takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TileSize {
    /// Operations and pixels as they are: what a viewer works through.
    pub raw: usize,
    /// On the wire.
    pub packed: usize,
}

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

/// How far a frame in the making has come.
#[derive(Debug, Default)]
pub struct Progress {
    portion: usize,
    tile: usize,
    /// Where the portion ends; `None`: not begun.
    end: Option<usize>,
}

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
    /// For a frame that goes ahead of one in the making; `None` until there was one.
    ahead: Option<Packer>,
    /// The frame in the making scrolls.
    has_copies: bool,
    /// What is put aside at the viewer with the next frame, before anything else in it.
    saves: Vec<(u16, u16)>,
    /// The last frame said that more will come.
    owes_rest: bool,
    /// Of the last frame, before it was packed.
    raw: usize,
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
            ahead: None,
            has_copies: false,
            saves: Vec::new(),
            owes_rest: false,
            raw: 0,
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

    /// Whether it may differ from the picture at the viewer.
    pub fn is_dirty(&self, tile: u16) -> bool {
        self.tiles.get(usize::from(tile)).is_some_and(|state| state.is_dirty)
    }

    /// Whether the viewer has put aside what the tile is now: it costs next to nothing.
    pub fn is_kept(&self, picture: &Picture, tile: u16) -> bool {
        self.cache.has(self.grid.rect(tile), picture.tile_hash(tile))
    }

    /// What the whole tile would take.
    pub fn size_of(&mut self, picture: &Picture, tile: u16) -> TileSize {
        let (rect, whole) = (self.grid.rect(tile), self.grid.area(tile));
        let (raw, packed) = self.packer.weigh(|ops, pixels| {
            write_area(picture.raw(), (tile, whole), rect, ops, pixels);
        });
        TileSize { raw, packed }
    }

    /// Bytes of operations and pixels of the last frame before they were packed.
    pub fn last_raw(&self) -> usize {
        self.raw
    }

    /// Remembers to put aside what the tile showed, if that had rested: video will paint over it.
    fn save_for_later(&mut self, tile: u16) {
        let TileState { is_unknown, has_rested, .. } = *self.state(tile);
        let rect = self.grid.rect(tile);
        if is_unknown || !has_rested || is_plain(&self.held, rect) {
            return;
        }
        let hash = self.held.hash_swapped(rect);
        self.saves.extend(self.cache.keep(&self.held, rect, hash).map(|slot| (tile, slot)));
    }

    fn write_saves(&mut self, budget: usize) {
        for (tile, slot) in std::mem::take(&mut self.saves) {
            self.packer.step(budget, |ops, _| write_slot(ops, op::SAVE, tile, slot));
        }
    }

    /// Sends the scrolls that wait, oldest first, as the source saw them; of each the parts that
    /// lead from and to what is known.
    fn write_copies(&mut self, budget: usize) {
        for copy in std::mem::take(&mut self.copies) {
            let is_known = |tile: u16| !self.tiles[usize::from(tile)].is_unknown;
            for part in parts(self.grid, copy, is_known) {
                match part {
                    Part::Moved(copy) => self.write_copy(copy, budget),
                    Part::Lost(rect) => self.grid.touched(rect).for_each(|tile| self.soil(tile)),
                }
            }
        }
    }

    fn write_copy(&mut self, copy: CopyRect, budget: usize) {
        // Moving what is not up to date makes more of it.
        let grid = self.grid;
        let is_stale = |tile: &u16| {
            let from = copy.origin(grid.rect(*tile));
            grid.touched(from).any(|tile| self.is_dirty(tile))
        };
        let stale: Vec<u16> = grid.touched(copy.to).filter(is_stale).collect();
        stale.into_iter().for_each(|tile| self.soil(tile));
        for tile in grid.touched(copy.to) {
            let state = self.state(tile);
            state.is_touched = true;
            state.has_rested = false;
        }
        self.has_copies = true;
        self.held.move_within(copy);
        self.packer.step(budget, |ops, _| {
            ops.push(op::COPY);
            let CopyRect { from_x, from_y, to } = copy;
            for number in [from_x, from_y, to.x, to.y, to.width, to.height] {
                ops.extend_from_slice(&number.to_le_bytes());
            }
        });
    }

    /// Makes the viewer's tile equal to the picture's, with or without what it has put aside.
    fn write_tile(&mut self, picture: &Picture, tile: u16, budget: usize, keeps: bool) {
        let rect = self.grid.rect(tile);
        let whole = self.grid.area(tile);
        let TileState { is_unknown, has_rested, .. } = *self.state(tile);
        let area = if is_unknown { Some(whole) } else { self.held.difference(picture.raw(), rect) };
        self.clean(tile);
        let Some(area) = area else { return };

        let is_large = area.pixels() >= whole.pixels() / KEEP_PART;
        let is_kept = keeps && has_rested && is_large && !is_unknown;
        let save = if is_kept && !is_plain(&self.held, rect) {
            let hash = self.held.hash_swapped(rect);
            self.cache.keep(&self.held, rect, hash)
        } else {
            None
        };
        let load = if keeps && area.pixels() >= LOAD_PIXELS_MIN {
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

    /// Begins a frame. Until it is finished, its tiles must stay in the picture as they are.
    pub fn begin(&mut self, head: FrameHead, portions: &[Portion<'_>]) -> Progress {
        self.packer.start(head);
        self.has_copies = false;
        let all = portions.iter().fold(0, |sum: usize, part| sum.saturating_add(part.bytes));
        self.write_saves(all);
        self.write_copies(all);
        Progress::default()
    }

    /// Goes on with the frame, by so many tiles. `false`: all that it may carry is in it.
    pub fn go_on(
        &mut self,
        picture: &Picture,
        portions: &[Portion<'_>],
        progress: &mut Progress,
        tiles_max: usize,
    ) -> bool {
        let mut left = tiles_max;
        while let Some(portion) = portions.get(progress.portion) {
            let end = self.packer.bytes().saturating_add(portion.bytes);
            let end = *progress.end.get_or_insert(end);
            for &tile in portion.tiles.get(progress.tile..).unwrap_or_default() {
                // At least one tile, or a small budget would stop the stream.
                if !self.packer.is_empty() && self.packer.bytes() >= end {
                    break;
                }
                if left == 0 {
                    return true;
                }
                progress.tile += 1;
                if self.is_dirty(tile) {
                    left -= 1;
                    self.write_tile(picture, tile, end, true);
                }
            }
            *progress = Progress { portion: progress.portion + 1, ..Progress::default() };
        }
        false
    }

    /// Ends the frame, as [`Encoder::encode`] does.
    pub fn finish(
        &mut self,
        picture: &Picture,
        head: FrameHead,
        out: &mut Vec<Bytes>,
    ) -> Option<EncodedFrame> {
        self.has_copies = false;
        let is_complete = self.dirty == 0;
        // Tiles that are owed may have become right by themselves: the viewer still must hear it.
        if self.packer.is_empty() && !(self.owes_rest && is_complete) {
            return None;
        }
        self.owes_rest = !is_complete;
        let bytes = self.packer.finish(out);
        self.raw = self.packer.raw();
        let (tiles, lossy) = (self.touched(picture), Vec::new());
        Some(EncodedFrame { frame: head.frame, bytes, tiles, lossy, complete: is_complete })
    }

    /// A frame of its own, to be sent before the one in the making: of these tiles those that have
    /// no part in that. `None`: none of them.
    pub fn encode_ahead(
        &mut self,
        picture: &Picture,
        head: FrameHead,
        tiles: &[u16],
        out: &mut Vec<Bytes>,
    ) -> Option<EncodedFrame> {
        // What is scrolled comes from where the viewer has it now.
        if self.has_copies || picture.size() != self.held.size() {
            return None;
        }
        let is_free = |tile: &u16| {
            self.tiles.get(usize::from(*tile)).is_some_and(|state| {
                // What is to be put aside of an unknown tile must be as it was.
                state.is_dirty && !state.is_touched && !state.is_unknown
            })
        };
        let tiles: Vec<u16> = tiles.iter().copied().filter(is_free).collect();
        let packer = self.ahead.take().unwrap_or_else(Packer::new);
        let making = std::mem::replace(&mut self.packer, packer);
        self.packer.start(head);
        for &tile in &tiles {
            // Saved and loaded would be out of step with the frame in the making.
            self.write_tile(picture, tile, usize::MAX, false);
        }
        let bytes = if self.packer.is_empty() { None } else { Some(self.packer.finish(out)) };
        self.raw = self.packer.raw();
        self.ahead = Some(std::mem::replace(&mut self.packer, making));
        let sent =
            tiles.into_iter().filter(|&tile| std::mem::take(&mut self.state(tile).is_touched));
        let tiles = sent.map(|tile| (tile, picture.tile_hash(tile))).collect();
        let frame = head.frame;
        bytes.map(|bytes| EncodedFrame { frame, bytes, tiles, lossy: Vec::new(), complete: false })
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
        head: FrameHead,
        portions: &[Portion<'_>],
        out: &mut Vec<Bytes>,
    ) -> Option<EncodedFrame> {
        if picture.size() != self.held.size() {
            return None;
        }
        let mut progress = self.begin(head, portions);
        self.go_on(picture, portions, &mut progress, usize::MAX);
        self.finish(picture, head, out)
    }

    fn repair(&mut self, tiles: &[u16]) {
        // What was saved of a wrong tile is wrong too.
        self.cache.clear();
        self.saves.clear();
        let count = self.grid.count();
        for &tile in tiles.iter().filter(|&&tile| tile < count) {
            self.soil(tile);
            self.state(tile).is_unknown = true;
        }
    }

    fn spoil(&mut self, tiles: &[u16]) {
        let count = self.grid.count();
        for &tile in tiles.iter().filter(|&&tile| tile < count) {
            self.save_for_later(tile);
            self.soil(tile);
            self.state(tile).is_unknown = true;
        }
    }
    fn restart(&mut self, size: PictureSize) {
        if !self.saves.is_empty() {
            // What should have been put aside is gone.
            self.saves.clear();
            self.cache.clear();
        }
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

//! The reference decoder: what a viewer does with `TILES`, written to be checked, not to be fast.

mod reader;

use std::collections::HashMap;

use beamdesk_proto::wire::{BODY_BYTES_MAX, flag};
use zstd::bulk::Decompressor;

use crate::geometry::{Area, PictureSize, Rect, TileGrid};
use crate::ops::{PREDICT_MED, PREDICT_NONE, op};
use crate::picture::root;
use crate::pixels::Pixels;
use crate::predict::Plane;
use crate::update::CopyRect;
use reader::Reader;

/// What a message can be wrong in. The decoder is of no more use after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the message ends too early")]
    Short,
    #[error("the message goes on after its end")]
    Long,
    #[error("the body does not unpack")]
    Packing,
    #[error("there is no such operation")]
    Operation,
    #[error("there is no such predictor")]
    Predictor,
    #[error("a palette has no such colour, or none at all")]
    Palette,
    #[error("the operation reaches out of the picture or the tile")]
    Bounds,
    #[error("nothing of this size was saved in the slot")]
    Slot,
}

/// A frame that is complete and may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub frame: u32,
    pub captured_us: u64,
    /// The tiles the frame touched in rising order, with their hashes as held: what an
    /// acknowledgement says.
    pub tiles: Vec<(u16, u64)>,
}

/// A viewer's picture and cache.
#[derive(Debug)]
pub struct Decoder {
    grid: TileGrid,
    /// Red, green, blue, 255.
    held: Pixels,
    hashes: Vec<u64>,
    touched: Vec<bool>,
    cache_slots: u16,
    cache: HashMap<u16, (Rect, Pixels)>,
}

impl Decoder {
    pub fn new(size: PictureSize, cache_slots: u16) -> Self {
        let mut decoder = Self {
            grid: size.grid(),
            held: Pixels::black(size),
            hashes: Vec::new(),
            touched: Vec::new(),
            cache_slots,
            cache: HashMap::new(),
        };
        decoder.resize(size);
        decoder
    }

    /// The picture is black again; the cache stays.
    pub fn resize(&mut self, size: PictureSize) {
        self.grid = size.grid();
        self.held = Pixels::black(size);
        self.touched = vec![false; self.grid.count().into()];
        self.hashes = (0..self.grid.count()).map(|tile| self.hash(tile)).collect();
    }

    pub fn size(&self) -> PictureSize {
        self.held.size()
    }

    /// Red, green, blue, 255; row by row without gaps.
    pub fn pixels(&self) -> &[u8] {
        self.held.bytes()
    }

    /// As of the last frame shown.
    pub fn tile_hash(&self, tile: u16) -> u64 {
        self.hashes[usize::from(tile)]
    }

    /// As of the last frame shown; what `exact` must say.
    pub fn root(&self) -> u64 {
        root(&self.hashes)
    }

    /// Spoils one pixel, for tests of repair.
    pub fn corrupt(&mut self, x: u16, y: u16) {
        let pixel = Rect { x, y, width: 1, height: 1 }.clipped(self.size());
        for byte in &mut self.held.row_mut(pixel, 0)[..3] {
            *byte ^= 1;
        }
    }

    /// Takes in the payload of one `TILES` message; gives the frame that ends with it.
    pub fn tiles(&mut self, flags: u8, payload: &[u8]) -> Result<Option<Shown>, DecodeError> {
        let mut reader = Reader::new(payload);
        let frame = reader.u32()?;
        let captured_us = reader.u64()?;
        let packed = reader.rest();
        let unpacked;
        let body = if flags & flag::ZSTD == 0 {
            packed
        } else {
            unpacked = unpack(packed)?;
            &unpacked
        };
        let mut reader = Reader::new(body);
        let ops_bytes = usize::try_from(reader.u32()?).map_err(|_| DecodeError::Short)?;
        let mut ops = Reader::new(reader.take(ops_bytes)?);
        let mut pixels = reader;
        while !ops.is_empty() {
            self.run(&mut ops, &mut pixels)?;
        }
        if !pixels.is_empty() {
            return Err(DecodeError::Long);
        }
        if flags & flag::LAST == 0 {
            return Ok(None);
        }
        Ok(Some(Shown { frame, captured_us, tiles: self.show() }))
    }

    fn show(&mut self) -> Vec<(u16, u64)> {
        let mut tiles = Vec::new();
        for tile in 0..self.grid.count() {
            if std::mem::take(&mut self.touched[usize::from(tile)]) {
                let hash = self.hash(tile);
                self.hashes[usize::from(tile)] = hash;
                tiles.push((tile, hash));
            }
        }
        tiles
    }

    fn hash(&self, tile: u16) -> u64 {
        self.held.hash_in_order(self.grid.rect(tile))
    }

    fn run(&mut self, ops: &mut Reader<'_>, pixels: &mut Reader<'_>) -> Result<(), DecodeError> {
        match ops.u8()? {
            op::SOLID => {
                let (place, _) = self.area(ops)?;
                let colour = ops.colour()?;
                for y in 0..place.height.into() {
                    for pixel in self.held.row_mut(place, y).chunks_exact_mut(4) {
                        pixel.copy_from_slice(&colour);
                    }
                }
            }
            op::PALETTE => self.palette(ops, pixels)?,
            op::GREY => {
                let (place, area) = self.area(ops)?;
                let grey = plane(ops.u8()?, area, pixels)?;
                self.paint(place, |x, y| {
                    let value = grey.row(y)[x];
                    [value, value, value]
                });
            }
            op::RGB => {
                let (place, area) = self.area(ops)?;
                let predictor = ops.u8()?;
                let green = plane(predictor, area, pixels)?;
                let red = plane(predictor, area, pixels)?;
                let blue = plane(predictor, area, pixels)?;
                self.paint(place, |x, y| {
                    let value = green.row(y)[x];
                    [red.row(y)[x].wrapping_add(value), value, blue.row(y)[x].wrapping_add(value)]
                });
            }
            op::COPY => {
                let (from_x, from_y) = (ops.u16()?, ops.u16()?);
                let (x, y) = (ops.u16()?, ops.u16()?);
                let (width, height) = (ops.u16()?, ops.u16()?);
                let copy = CopyRect { from_x, from_y, to: Rect { x, y, width, height } };
                if !self.is_inside(copy.from()) || !self.is_inside(copy.to) {
                    return Err(DecodeError::Bounds);
                }
                self.held.move_within(copy);
                for tile in self.grid.touched(copy.to) {
                    self.touched[usize::from(tile)] = true;
                }
            }
            op::SAVE => {
                let tile = self.tile(ops)?;
                let slot = ops.u16()?;
                if slot >= self.cache_slots {
                    return Err(DecodeError::Slot);
                }
                let rect = self.grid.rect(tile);
                let whole = Rect { x: 0, y: 0, ..rect };
                let mut saved = Pixels::black(PictureSize::clamped(64, 64));
                for y in 0..rect.height.into() {
                    saved.row_mut(whole, y).copy_from_slice(self.held.row(rect, y));
                }
                self.cache.insert(slot, (whole, saved));
            }
            op::LOAD => {
                let tile = self.tile(ops)?;
                let rect = self.grid.rect(tile);
                let (whole, saved) = self.cache.get(&ops.u16()?).ok_or(DecodeError::Slot)?;
                if (whole.width, whole.height) != (rect.width, rect.height) {
                    return Err(DecodeError::Slot);
                }
                for y in 0..rect.height.into() {
                    self.held.row_mut(rect, y).copy_from_slice(saved.row(*whole, y));
                }
                self.touched[usize::from(tile)] = true;
            }
            _ => return Err(DecodeError::Operation),
        }
        Ok(())
    }

    fn palette(
        &mut self,
        ops: &mut Reader<'_>,
        pixels: &mut Reader<'_>,
    ) -> Result<(), DecodeError> {
        let (place, area) = self.area(ops)?;
        let count = usize::from(ops.u8()?);
        let bits = match count {
            2 => 1,
            3..=4 => 2,
            5..=16 => 4,
            _ => return Err(DecodeError::Palette),
        };
        let mut colours = [[0; 4]; 16];
        for colour in &mut colours[..count] {
            *colour = ops.colour()?;
        }
        let per_byte = 8 / bits;
        let row_bytes = usize::from(area.width).div_ceil(per_byte);
        for y in 0..area.height.into() {
            let indices = pixels.take(row_bytes)?;
            for (x, pixel) in self.held.row_mut(place, y).chunks_exact_mut(4).enumerate() {
                let shift = 8 - bits * (x % per_byte + 1);
                let index = usize::from(indices[x / per_byte]) >> shift & ((1 << bits) - 1);
                let colour = colours[..count].get(index).ok_or(DecodeError::Palette)?;
                pixel.copy_from_slice(colour);
            }
        }
        Ok(())
    }

    fn paint(&mut self, place: Rect, colour: impl Fn(usize, usize) -> [u8; 3]) {
        for y in 0..place.height.into() {
            for (x, pixel) in self.held.row_mut(place, y).chunks_exact_mut(4).enumerate() {
                pixel[..3].copy_from_slice(&colour(x, y));
            }
        }
    }

    fn tile(&self, ops: &mut Reader<'_>) -> Result<u16, DecodeError> {
        let tile = ops.u16()?;
        if tile < self.grid.count() { Ok(tile) } else { Err(DecodeError::Bounds) }
    }

    /// Reads an area that will be drawn: where it lies, and the area.
    fn area(&mut self, ops: &mut Reader<'_>) -> Result<(Rect, Area), DecodeError> {
        let tile = self.tile(ops)?;
        let (x, y) = (ops.u8()?, ops.u8()?);
        let width = ops.u8()?.checked_add(1).ok_or(DecodeError::Bounds)?;
        let height = ops.u8()?.checked_add(1).ok_or(DecodeError::Bounds)?;
        let area = Area { x, y, width, height };
        let whole = self.grid.area(tile);
        let fits = |start: u8, length: u8, end: u8| {
            start.checked_add(length).is_some_and(|stop| stop <= end)
        };
        if !fits(x, width, whole.width) || !fits(y, height, whole.height) {
            return Err(DecodeError::Bounds);
        }
        self.touched[usize::from(tile)] = true;
        Ok((self.grid.place(tile, area), area))
    }

    fn is_inside(&self, rect: Rect) -> bool {
        let size = self.size();
        rect.columns().end <= size.width().into() && rect.rows().end <= size.height().into()
    }
}

fn plane(predictor: u8, area: Area, pixels: &mut Reader<'_>) -> Result<Plane, DecodeError> {
    match predictor {
        PREDICT_NONE => Ok(Plane::from_raw(area, pixels.take(area.pixels())?)),
        PREDICT_MED => Ok(Plane::from_med(area, pixels.take(area.pixels())?)),
        _ => Err(DecodeError::Predictor),
    }
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut decompressor = Decompressor::new().map_err(|_| DecodeError::Packing)?;
    decompressor.decompress(packed, BODY_BYTES_MAX).map_err(|_| DecodeError::Packing)
}

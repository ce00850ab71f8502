//! The reference decoder: what a viewer does with `SLICE`, written to be checked, not to be fast.
#![warn(clippy::indexing_slicing)]

use beamdesk_proto::wire::flag;
use bytes::Buf;
use xxhash_rust::xxh64::xxh64;
use zstd::bulk::Decompressor;

use super::values::{Predictor, join_row};
use super::{
    BAND_BYTES_MAX, PREFIX_BYTES, SLICE_PLACES, SLICE_VERSION, SLICES_BYTES_MAX, SlicePlace,
    SliceRect, SliceSize, op,
};

/// What a message can be wrong in. The decoder is of no more use after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SliceError {
    #[error("the message ends too early")]
    Short,
    #[error("the message goes on after its end")]
    Long,
    #[error("the bitstream has another version")]
    Version,
    #[error("there is no such operation")]
    Operation,
    #[error("there is no such place")]
    Place,
    #[error("a size, a rectangle or a contrast is out of bounds")]
    Bounds,
    #[error("the pictures are too large together")]
    Memory,
    #[error("no such picture is under way, or these rows are not its next")]
    Rows,
    #[error("there is no such predictor")]
    Predictor,
    #[error("the body does not unpack")]
    Packing,
}

/// What one message brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceSeen {
    /// The frame the message belongs to.
    pub frame: u32,
    /// The frame ends with it and is to be acknowledged.
    pub is_last: bool,
    /// A picture is whole: its place, its number, and the hash of what is held.
    pub whole: Option<(u8, u32, u64)>,
}

/// A viewer's pictures.
#[derive(Debug, Default)]
pub struct SliceDecoder {
    places: [Held; SLICE_PLACES],
}

#[derive(Debug, Default)]
struct Held {
    shown: Option<Image>,
    /// Takes the place of what is shown when it is whole.
    arriving: Option<Image>,
}

#[derive(Debug)]
struct Image {
    picture: u32,
    at: SlicePlace,
    size: SliceSize,
    hash: u64,
    values: Vec<u16>,
}

impl SliceDecoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// The picture on show: where and how, its size, its values row by row.
    pub fn shown(&self, place: u8) -> Option<(SlicePlace, SliceSize, &[u16])> {
        let held = self.places.get(usize::from(place))?;
        held.shown.as_ref().map(|image| (image.at, image.size, image.values.as_slice()))
    }

    /// Whether what is on show has the hash that the agent said.
    pub fn is_exact(&self, place: u8) -> bool {
        let held = self.places.get(usize::from(place));
        held.and_then(|held| held.shown.as_ref())
            .is_some_and(|image| image.hash == hash_of(&image.values))
    }

    /// Takes in the payload of one `SLICE` message.
    pub fn receive(&mut self, flags: u8, mut payload: &[u8]) -> Result<SliceSeen, SliceError> {
        if payload.len() < PREFIX_BYTES {
            return Err(SliceError::Short);
        }
        let frame = payload.get_u32_le();
        if payload.get_u8() != SLICE_VERSION {
            return Err(SliceError::Version);
        }
        let (op, place, zero) = (payload.get_u8(), payload.get_u8(), payload.get_u8());
        if zero != 0 {
            return Err(SliceError::Version);
        }
        if usize::from(place) >= SLICE_PLACES {
            return Err(SliceError::Place);
        }
        let whole = match op {
            op::SHOW => {
                self.show(place, payload)?;
                None
            }
            op::ROWS => self.rows(place, flags & flag::ZSTD != 0, payload)?,
            op::HIDE if payload.is_empty() => {
                *self.held(place)? = Held::default();
                None
            }
            op::HIDE => return Err(SliceError::Long),
            _ => return Err(SliceError::Operation),
        };
        Ok(SliceSeen { frame, is_last: flags & flag::LAST != 0, whole })
    }

    fn held(&mut self, place: u8) -> Result<&mut Held, SliceError> {
        self.places.get_mut(usize::from(place)).ok_or(SliceError::Place)
    }

    fn show(&mut self, place: u8, mut body: &[u8]) -> Result<(), SliceError> {
        let short = |_| SliceError::Short;
        let picture = body.try_get_u32_le().map_err(short)?;
        let rect = SliceRect {
            x: body.try_get_i16_le().map_err(short)?,
            y: body.try_get_i16_le().map_err(short)?,
            width: body.try_get_u16_le().map_err(short)?,
            height: body.try_get_u16_le().map_err(short)?,
        };
        let columns = body.try_get_u16_le().map_err(short)?;
        let rows = body.try_get_u16_le().map_err(short)?;
        let at = SlicePlace {
            rect,
            window: body.try_get_f64_le().map_err(short)?,
            level: body.try_get_f64_le().map_err(short)?,
            offset: body.try_get_i32_le().map_err(short)?,
        };
        let hash = body.try_get_u64_le().map_err(short)?;
        if !body.is_empty() {
            return Err(SliceError::Long);
        }
        let size = SliceSize::new(columns, rows).ok_or(SliceError::Bounds)?;
        if !at.is_valid() {
            return Err(SliceError::Bounds);
        }
        let others = self.bytes_without_arriving(place);
        let held = self.held(place)?;
        let known = [&mut held.arriving, &mut held.shown]
            .into_iter()
            .flatten()
            .find(|image| image.picture == picture);
        if let Some(image) = known {
            if image.size != size || image.hash != hash {
                return Err(SliceError::Bounds);
            }
            image.at = at;
            return Ok(());
        }
        if others + size.bytes() > SLICES_BYTES_MAX {
            return Err(SliceError::Memory);
        }
        // Grows with what comes, not with what was claimed.
        held.arriving = Some(Image { picture, at, size, hash, values: Vec::new() });
        Ok(())
    }

    /// What all pictures take or will take, but for the one under way at this place.
    fn bytes_without_arriving(&self, place: u8) -> usize {
        let mut bytes = 0;
        for (number, held) in self.places.iter().enumerate() {
            bytes += held.shown.as_ref().map_or(0, |image| image.size.bytes());
            if number != usize::from(place) {
                bytes += held.arriving.as_ref().map_or(0, |image| image.size.bytes());
            }
        }
        bytes
    }

    fn rows(
        &mut self,
        place: u8,
        is_packed: bool,
        mut body: &[u8],
    ) -> Result<Option<(u8, u32, u64)>, SliceError> {
        let short = |_| SliceError::Short;
        let picture = body.try_get_u32_le().map_err(short)?;
        let first = usize::from(body.try_get_u16_le().map_err(short)?);
        let count = usize::from(body.try_get_u16_le().map_err(short)?);
        let predictor = Predictor::from_number(body.try_get_u8().map_err(short)?);
        let predictor = predictor.ok_or(SliceError::Predictor)?;
        let held = self.held(place)?;
        let image = held.arriving.as_mut().ok_or(SliceError::Rows)?;
        let columns = usize::from(image.size.columns());
        let next = image.values.len() / columns;
        let is_next = image.picture == picture && first == next;
        if !is_next || count == 0 || count > usize::from(image.size.rows()) - next {
            return Err(SliceError::Rows);
        }
        let length = count * image.size.row_bytes();
        if length > BAND_BYTES_MAX {
            return Err(SliceError::Bounds);
        }
        let unpacked;
        let bytes = if is_packed {
            unpacked = unpack(body, length)?;
            unpacked.as_slice()
        } else {
            body
        };
        if bytes.len() != length {
            return Err(if bytes.len() < length { SliceError::Short } else { SliceError::Long });
        }
        let (high, low) = bytes.split_at(length / 2);
        let mut above = match image.values.len().checked_sub(columns) {
            Some(from) => image.values.split_off(from),
            None => vec![0; columns],
        };
        if next > 0 {
            image.values.extend_from_slice(&above);
        }
        let mut row = vec![0; columns];
        for (high, low) in high.chunks_exact(columns).zip(low.chunks_exact(columns)) {
            join_row(predictor, &above, high, low, &mut row);
            image.values.extend_from_slice(&row);
            std::mem::swap(&mut above, &mut row);
        }
        if next + count < usize::from(image.size.rows()) {
            return Ok(None);
        }
        let hash = hash_of(&image.values);
        held.shown = held.arriving.take();
        Ok(Some((place, picture, hash)))
    }
}

/// Both planes, packed as one zstd frame each.
fn unpack(body: &[u8], length: usize) -> Result<Vec<u8>, SliceError> {
    let mut decompressor = Decompressor::new().map_err(|_| SliceError::Packing)?;
    decompressor.decompress(body, length).map_err(|_| SliceError::Packing)
}

fn hash_of(values: &[u16]) -> u64 {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    xxh64(&bytes, 0)
}

//! Packs a picture once, for all viewers: bands of rows that each fit into one message.

use bytes::Bytes;
use xxhash_rust::xxh64::xxh64;
use zstd::bulk::Compressor;

use super::values::{Predictor, split_row};
use super::{BAND_BYTES_MAX, PAYLOAD_BYTES_MAX, PREFIX_BYTES, ROWS_BYTES, SliceSize};

/// Fastest level: noise does not get smaller by trying harder.
const ZSTD_LEVEL: i32 = 1;
/// Longest body of a band.
const BODY_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - PREFIX_BYTES - ROWS_BYTES;
/// Both predictors are tried for one band of so many; the better one is used for those between.
const TRY_EVERY: usize = 16;

/// Some rows, ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Band {
    pub(super) first: u16,
    pub(super) count: u16,
    pub(super) predictor: Predictor,
    pub(super) is_packed: bool,
    pub(super) body: Bytes,
}

/// A picture as it is sent.
#[derive(Debug)]
pub struct SliceImage {
    size: SliceSize,
    hash: u64,
    lowest: u16,
    highest: u16,
    bands: Vec<Band>,
}

impl SliceImage {
    /// From little-endian values, row by row without gaps; `None` if their number is not that of
    /// the size.
    pub fn encode(size: SliceSize, values: &[u8]) -> Option<Self> {
        if values.len() != size.bytes() {
            return None;
        }
        let mut encoder = Encoder::new(size);
        let mut bands = Vec::new();
        let mut rows = values;
        while !rows.is_empty() {
            let band = encoder.band(rows);
            rows = &rows[usize::from(band.count) * size.row_bytes()..];
            bands.push(band);
        }
        let Encoder { lowest, highest, .. } = encoder;
        Some(Self { size, hash: xxh64(values, 0), lowest, highest, bands })
    }

    pub fn size(&self) -> SliceSize {
        self.size
    }

    /// XXH64 of all values as given to [`Self::encode`]: what a viewer must say it holds.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Smallest and largest value.
    pub fn range(&self) -> (u16, u16) {
        (self.lowest, self.highest)
    }

    /// Number of its bands.
    pub fn bands(&self) -> usize {
        self.bands.len()
    }

    /// What all bands take on the wire, without the headers of messages.
    pub fn packed_bytes(&self) -> usize {
        self.bands.iter().map(|band| band.body.len() + ROWS_BYTES).sum()
    }

    pub(super) fn band(&self, number: usize) -> Option<&Band> {
        self.bands.get(number)
    }
}

struct Encoder {
    size: SliceSize,
    compressor: Compressor<'static>,
    next: u16,
    made: usize,
    better: Predictor,
    /// Packed over unpacked size of the band before.
    ratio: f64,
    /// The row above the next band.
    above: Vec<u16>,
    lowest: u16,
    highest: u16,
}

impl Encoder {
    fn new(size: SliceSize) -> Self {
        Self {
            size,
            compressor: Compressor::new(ZSTD_LEVEL).expect("zstd knows its own levels"),
            next: 0,
            made: 0,
            better: Predictor::Med,
            ratio: 1.0,
            above: vec![0; size.columns().into()],
            lowest: u16::MAX,
            highest: 0,
        }
    }

    /// The next band, from the rows that are left.
    fn band(&mut self, rows: &[u8]) -> Band {
        let row_bytes = self.size.row_bytes();
        let left = rows.len() / row_bytes;
        let mut count = self.rows_that_fit().min(left);
        let values: Vec<u16> = rows[..count * row_bytes]
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        loop {
            let part = &values[..count * usize::from(self.size.columns())];
            let (predictor, is_packed, body) = self.pack(part);
            if body.len() > BODY_BYTES_MAX && count > 1 {
                count /= 2;
                continue;
            }
            self.ratio = ratio(body.len(), count * row_bytes);
            self.advance(part);
            let count = u16::try_from(count).expect("no more than the picture has");
            let first = self.next;
            self.next += count;
            self.made += 1;
            return Band { first, count, predictor, is_packed, body: Bytes::from(body) };
        }
    }

    /// As many rows as should fit into one message, if they pack as the ones before.
    fn rows_that_fit(&self) -> usize {
        let row = self.size.row_bytes();
        let fit = scale(BODY_BYTES_MAX, 0.9 / self.ratio.max(0.001)) / row;
        fit.clamp(1, (BAND_BYTES_MAX / row).max(1))
    }

    fn pack(&mut self, values: &[u16]) -> (Predictor, bool, Vec<u8>) {
        let other = match self.better {
            Predictor::None => Predictor::Med,
            Predictor::Med => Predictor::None,
        };
        let (is_packed, body) = self.pack_with(self.better, values);
        if !self.made.is_multiple_of(TRY_EVERY) {
            return (self.better, is_packed, body);
        }
        let (other_is_packed, other_body) = self.pack_with(other, values);
        if other_body.len() < body.len() {
            self.better = other;
            (other, other_is_packed, other_body)
        } else {
            (self.better, is_packed, body)
        }
    }

    fn pack_with(&mut self, predictor: Predictor, values: &[u16]) -> (bool, Vec<u8>) {
        let columns = usize::from(self.size.columns());
        let mut bytes = vec![0; values.len() * 2];
        let (high, low) = bytes.split_at_mut(values.len());
        let mut above = self.above.as_slice();
        let planes = high.chunks_exact_mut(columns).zip(low.chunks_exact_mut(columns));
        for (row, (high, low)) in values.chunks_exact(columns).zip(planes) {
            split_row(predictor, above, row, high, low);
            above = row;
        }
        // A zstd frame for each plane: they have nothing in common, and noise in the one must not
        // spoil the tables of the other. Unpacked together they are one body again.
        let mut packed = Vec::with_capacity(bytes.len());
        for plane in bytes.chunks_exact(values.len()) {
            match self.compressor.compress(plane) {
                Ok(frame) => packed.extend_from_slice(&frame),
                Err(_) => return (false, bytes),
            }
        }
        if packed.len() < bytes.len() { (true, packed) } else { (false, bytes) }
    }

    fn advance(&mut self, values: &[u16]) {
        let from = values.len().saturating_sub(self.above.len());
        self.above.copy_from_slice(&values[from..]);
        for &value in values {
            self.lowest = self.lowest.min(value);
            self.highest = self.highest.max(value);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
fn ratio(packed: usize, unpacked: usize) -> f64 {
    packed as f64 / unpacked as f64
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of a size far below 2^52"
)]
fn scale(bytes: usize, by: f64) -> usize {
    (bytes as f64 * by) as usize
}

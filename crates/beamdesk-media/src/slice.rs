//! Pictures of 16-bit grey that programs hand over: how they are cut, packed and put on the wire.
//!
//! ```text
//! values ──SliceImage::encode──► bands of rows, packed ──SliceMessages──► viewer ──► SliceDecoder (reference)
//! ```
//! A picture is packed once and sent to each viewer, band by band. See docs/protocol.md, SLICE.

mod decode;
mod encode;
mod message;
mod values;

pub use decode::{SliceDecoder, SliceError, SliceSeen};
pub use encode::SliceImage;
pub use message::SliceMessages;

/// Version of the bitstream, in each message.
pub const SLICE_VERSION: u8 = 1;
/// Pictures on show at once, on one desktop.
pub const SLICE_PLACES: usize = 8;
/// Columns and rows, at most: the largest flat panels and sensors in use have less.
pub const SLICE_EDGE_MAX: u16 = 8192;
/// Bytes of values of all pictures together, those on their way included: two of the largest size
/// and room for others. Bounds the memory of both sides.
pub const SLICES_BYTES_MAX: usize = 384 << 20;
/// What one band may unpack to.
pub(crate) const BAND_BYTES_MAX: usize = 1 << 20;
/// Longest payload of a message: something urgent waits behind no more than this.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 32 << 10;
/// Frame, version, operation, place, zero.
pub(crate) const PREFIX_BYTES: usize = 8;
/// Of a `ROWS` message, behind the prefix: picture, first row, count, predictor.
pub(crate) const ROWS_BYTES: usize = 9;
/// Windows and levels beyond this say nothing about 16-bit values.
const CONTRAST_MAX: f64 = 1e6;
/// Values shown are those stored plus an offset, within this either way.
const OFFSET_MAX: i32 = 1 << 20;

pub(crate) mod op {
    pub(crate) const SHOW: u8 = 0;
    pub(crate) const ROWS: u8 = 1;
    pub(crate) const HIDE: u8 = 2;
}

/// Columns and rows of a picture, within bounds by construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceSize {
    columns: u16,
    rows: u16,
}

impl SliceSize {
    /// `None`: empty or too large.
    pub fn new(columns: u16, rows: u16) -> Option<Self> {
        let fits = (1..=SLICE_EDGE_MAX).contains(&columns) && (1..=SLICE_EDGE_MAX).contains(&rows);
        fits.then_some(Self { columns, rows })
    }

    pub fn columns(self) -> u16 {
        self.columns
    }

    pub fn rows(self) -> u16 {
        self.rows
    }

    /// Of all its values.
    pub fn bytes(self) -> usize {
        self.row_bytes() * usize::from(self.rows)
    }

    pub(crate) fn row_bytes(self) -> usize {
        usize::from(self.columns) * 2
    }
}

/// Where on the screen a picture is, in pixels; may reach out of the screen, as windows may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceRect {
    pub x: i16,
    pub y: i16,
    pub width: u16,
    pub height: u16,
}

/// How a picture is to be shown at first: the user may choose another contrast.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SlicePlace {
    pub rect: SliceRect,
    /// Window and level in the sense of DICOM PS3.3 C.11.2.1.2.1, on values with the offset.
    pub window: f64,
    pub level: f64,
    /// What to add to a stored value to have the one that the program means.
    pub offset: i32,
}

impl SlicePlace {
    /// Whether all of it is within bounds.
    pub fn is_valid(&self) -> bool {
        self.rect.width > 0
            && self.rect.height > 0
            && (1.0..=CONTRAST_MAX).contains(&self.window)
            && (-CONTRAST_MAX..=CONTRAST_MAX).contains(&self.level)
            && (-OFFSET_MAX..=OFFSET_MAX).contains(&self.offset)
    }
}

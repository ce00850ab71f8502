//! From pictures to messages for one viewer.

mod area;
mod cache;
mod packer;
mod tiles;

use std::time::Instant;

use beamdesk_proto::EncodedFrame;
use bytes::Bytes;

use crate::geometry::PictureSize;
use crate::picture::Picture;
use crate::update::Update;

pub use tiles::TileEncoder;

/// Packed over unpacked size, before anything was packed: ordinary content does better.
const ORDINARY_RATIO: f32 = 0.5;
/// Operations and pixels of a tile before they are packed, as a guess.
const ORDINARY_TILE_BYTES: usize = 4 << 10;

/// What one frame may cost, and what matters most in it.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Bytes the frame should stay within; it may go over by a part of one message.
    pub bytes: usize,
    /// Where the user looks, in pixels: sent first when not all fits.
    pub focus: Option<(u16, u16)>,
    /// The agent's clock at the capture, microseconds; goes into the frame as it is.
    pub captured_us: u64,
    pub now: Instant,
}

/// Turns the changes of one source into frames for one viewer. Each viewer has its own.
pub trait Encoder: Send {
    /// Takes note of what a capture changed. Every update of the source must be noted, in order.
    fn note(&mut self, update: &Update, now: Instant);

    /// Appends the messages of one frame, each whole with its header; `None` if there is nothing
    /// to send. All of them must be sent, in order.
    fn encode(
        &mut self,
        picture: &Picture,
        budget: &Budget,
        out: &mut Vec<Bytes>,
    ) -> Option<EncodedFrame>;

    /// The viewer does not hold these tiles as it should: they are sent again, whole.
    fn repair(&mut self, tiles: &[u16]);

    /// The viewer's picture is black and of this size, its cache is as it was.
    fn restart(&mut self, size: PictureSize);

    /// Whether there may be something to send.
    fn has_work(&self) -> bool;
}

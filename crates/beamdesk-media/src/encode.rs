//! From pictures to messages for one viewer.

mod area;
mod cache;
mod copies;
mod packer;
mod tiles;

use std::time::Instant;

use beamdesk_proto::EncodedFrame;
use bytes::Bytes;

use crate::geometry::PictureSize;
use crate::picture::Picture;
use crate::update::Update;

pub use tiles::{Progress, TileEncoder, TileSize};

/// Packed over unpacked size, before anything was packed: ordinary content does better.
const ORDINARY_RATIO: f32 = 0.5;

/// Number and time of a frame; they go into it as they are.
#[derive(Debug, Clone, Copy)]
pub struct FrameHead {
    pub frame: u32,
    /// The agent's clock at the capture, microseconds.
    pub captured_us: u64,
}

/// Tiles that a frame may carry, in the order in which they should go. Those that the viewer holds
/// as they are cost nothing.
#[derive(Debug, Clone, Copy)]
pub struct Portion<'a> {
    pub tiles: &'a [u16],
    /// Bytes these tiles should stay within; they may go over by a part of one message.
    pub bytes: usize,
}

/// Turns the changes of one source into frames for one viewer. Each viewer has its own.
pub trait Encoder: Send {
    /// Takes note of what a capture changed. Every update of the source must be noted, in order.
    fn note(&mut self, update: &Update, now: Instant);

    /// Appends the messages of one frame, each whole with its header; `None` if there is nothing
    /// to send. All of them must be sent, in order. At least one tile goes, if one is due.
    fn encode(
        &mut self,
        picture: &Picture,
        head: FrameHead,
        portions: &[Portion<'_>],
        out: &mut Vec<Bytes>,
    ) -> Option<EncodedFrame>;

    /// The viewer does not hold these tiles as it should: they are sent again, whole.
    fn repair(&mut self, tiles: &[u16]);

    /// Video paints over these tiles: whatever changes there, they are next sent whole.
    fn spoil(&mut self, tiles: &[u16]);

    /// The viewer's picture is black and of this size, its cache is as it was.
    fn restart(&mut self, size: PictureSize);

    /// Whether there may be something to send.
    fn has_work(&self) -> bool;
}

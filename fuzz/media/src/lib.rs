//! The decoders of `beamdesk-media` by themselves: the rest of that crate brings encoders in C, which take minutes to build.
#![allow(dead_code, reason = "what only encoders use")]

mod decode;
mod geometry;
mod ops;
mod picture;
mod pixels;
mod predict;
mod slice;
mod update;

pub use decode::{DecodeError, Decoder, Shown};
pub use geometry::PictureSize;
pub use slice::{SLICE_PLACES, SliceDecoder, SliceError, SliceMessages, SliceSeen};

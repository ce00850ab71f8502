//! Pixels of a desktop: capture, change detection, lossless tile encoding, and input.
//!
//! ```text
//! FrameSource --Update--> Encoder --messages--> viewer --> Decoder (reference)
//!   X11Source               TileEncoder
//!   TestPattern                                 viewer --> InputSink (X11Input)
//! ```

mod cursor;
mod decode;
mod detect;
mod encode;
mod error;
mod geometry;
mod input;
mod ops;
mod pattern;
mod picture;
mod pixels;
mod plan;
mod poll;
mod predict;
mod scroll;
mod slice;
mod source;
mod update;
mod video;
mod waker;
mod x11;

pub use cursor::CursorImage;
pub use decode::{DecodeError, Decoder, Shown};
pub use encode::{Encoder, FrameHead, Portion, Progress, TileEncoder, TileSize};
pub use error::CaptureError;
pub use geometry::{Area, PictureSize, Rect, TileGrid};
pub use input::{InputSink, LAYOUTS, Recorded, Recorder, X11Input, evdev_of};
pub use pattern::{Stepper, TestPattern};
pub use picture::Picture;
pub use plan::{Look, Means, Plan, Planner, Shot, TileCost, Tiles, VideoState};
pub use slice::{
    SLICE_EDGE_MAX, SLICE_PLACES, SLICE_VERSION, SLICES_BYTES_MAX, SliceDecoder, SliceError,
    SliceImage, SliceMessages, SlicePlace, SliceRect, SliceSeen, SliceSize,
};
pub use source::{Event, FrameSource};
pub use update::{CopyRect, Update};
pub use video::{
    Choice, Content, Decoded, Done, EncoderName, Encoders, EncodersConfig, H264Decoder, Job,
    Packet, PlaneFormat, Planes, VideoEncoder, VideoError, VideoWish, VideoWorker,
};
pub use waker::Waker;
pub use x11::X11Source;

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
mod poll;
mod predict;
mod scroll;
mod source;
mod update;
mod waker;
mod x11;

pub use cursor::CursorImage;
pub use decode::{DecodeError, Decoder, Shown};
pub use encode::{Budget, Encoder, TileEncoder};
pub use error::CaptureError;
pub use geometry::{Area, PictureSize, Rect, TileGrid};
pub use input::{InputSink, LAYOUTS, Recorded, Recorder, X11Input, evdev_of};
pub use pattern::{Stepper, TestPattern};
pub use picture::Picture;
pub use source::{Event, FrameSource};
pub use update::{CopyRect, Update};
pub use waker::Waker;
pub use x11::X11Source;

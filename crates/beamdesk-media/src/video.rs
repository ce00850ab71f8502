//! Video for what moves: planes of a region, encoders behind one trait, a thread for the work.

mod aom;
mod encoders;
mod h264_decoder;
mod nvenc;
mod openh264;
mod planes;
mod quantiser;
#[cfg(test)]
mod trial;
mod worker;
mod x264;

use beamdesk_proto::control::VideoCodec;
use thiserror::Error;

pub use encoders::{Choice, Content, EncoderName, Encoders, EncodersConfig};
pub use h264_decoder::{Decoded, H264Decoder};
pub use planes::Planes;
pub use worker::{Done, Job, VideoWorker};

/// How the pixels of a region lie before a video encoder. Always 8 bit, always full range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaneFormat {
    /// Y'CbCr BT.709, chroma halved both ways.
    I420,
    /// Y'CbCr BT.709.
    I444,
    /// Planes green, blue, red.
    Gbr,
}

/// What a frame should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoWish {
    /// Bytes it should stay near; the encoder turns its quantiser towards that. `usize::MAX`: as
    /// fine as the encoder can.
    pub bytes: usize,
    /// It must decode without any frame before it.
    pub is_key: bool,
}

/// One encoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// H.264 and HEVC: Annex B with parameter sets in front of each key frame. AV1: a temporal unit.
    pub bytes: Vec<u8>,
    pub is_key: bool,
    pub qp: u8,
}

#[derive(Debug, Error)]
pub enum VideoError {
    #[error("this machine has no encoder {name}: {why}")]
    Missing { name: &'static str, why: String },
    #[error("the encoder {name} failed: {why}")]
    Failed { name: &'static str, why: String },
    #[error("no encoder for {width}×{height}")]
    Size { width: u16, height: u16 },
}

/// Encodes pictures of one size, in order, each at once: no frame is held back.
pub trait VideoEncoder: Send {
    /// As in [`beamdesk_proto::control::Status::encoder`].
    fn name(&self) -> &'static str;

    fn codec(&self) -> VideoCodec;

    fn format(&self) -> PlaneFormat;

    /// An error means that this encoder is lost: another must take over.
    fn encode(&mut self, planes: &Planes, wish: VideoWish) -> Result<Packet, VideoError>;
}

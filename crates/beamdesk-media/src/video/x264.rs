//! H.264 by x264, which runs in a process of its own: `contrib/x264`.
//!
//! ```text
//! planes --write--> memory <--map-- beamdesk-x264      its standard input
//!                   socket <------> beamdesk-x264      its standard output: requests and answers
//! ```

mod process;

use std::ops::RangeInclusive;
use std::path::Path;

use beamdesk_proto::control::VideoCodec;

use super::planes::{Planes, even};
use super::quantiser::Quantiser;
use super::{Packet, PlaneFormat, VideoEncoder, VideoError, VideoWish};
use process::Process;

pub(crate) const NAME: &str = "x264";

/// As in the program: more is beyond every level of H.264.
const SIDE_MAX: u16 = 16_384;

/// Finer costs bytes that a settled tile needs less of; coarser is only blocks.
const QP: RangeInclusive<u8> = 16..=44;

/// As fine as the program can without being exact.
const FINEST: u8 = 10;

/// H.264, 8.5.8: the quantiser's step doubles each 6.
const QP_STEPS: u8 = 6;

/// The optional encoder: smaller frames of text than the built-in one, and frames without loss.
#[derive(Debug)]
pub(crate) struct X264 {
    codec: VideoCodec,
    format: PlaneFormat,
    width: u16,
    height: u16,
    process: Process,
    quantiser: Quantiser,
    /// Frames begin with a key frame, asked for or not.
    is_begun: bool,
}

impl X264 {
    /// Starts the program for regions of one size.
    pub(crate) fn open(
        program: &Path,
        codec: VideoCodec,
        width: u16,
        height: u16,
    ) -> Result<Self, VideoError> {
        let (mode, format) = match codec {
            VideoCodec::H264 => ("h264", PlaneFormat::I420),
            VideoCodec::H264Grey => ("h264_grey", PlaneFormat::I444),
            VideoCodec::H264Rgb => ("h264_rgb", PlaneFormat::Gbr),
            VideoCodec::Av1 | VideoCodec::Hevc | VideoCodec::Unknown => {
                return Err(VideoError::Missing { name: NAME, why: format!("not for {codec:?}") });
            }
        };
        if width == 0 || height == 0 || width >= SIDE_MAX || height >= SIDE_MAX {
            return Err(VideoError::Size { width, height });
        }
        let planes = Planes::new(format, width, height);
        let process = Process::start(program, mode, &planes)?;
        let quantiser = Quantiser::new(QP, QP_STEPS, even(width) * even(height));
        Ok(Self { codec, format, width, height, process, quantiser, is_begun: false })
    }

    /// What the frame is to be quantised with; what is without loss is not.
    fn quantiser(&self, wish: VideoWish) -> u8 {
        match self.format {
            PlaneFormat::I420 if wish.bytes == usize::MAX => FINEST,
            PlaneFormat::I420 => self.quantiser.qp(wish),
            PlaneFormat::I444 | PlaneFormat::Gbr => 0,
        }
    }
}

impl VideoEncoder for X264 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn codec(&self) -> VideoCodec {
        self.codec
    }

    fn format(&self) -> PlaneFormat {
        self.format
    }

    fn encode(&mut self, planes: &Planes, wish: VideoWish) -> Result<Packet, VideoError> {
        let shape = (planes.format(), planes.width(), planes.height());
        if shape != (self.format, self.width, self.height) {
            return Err(failed("planes of another shape"));
        }
        let wish = VideoWish { is_key: wish.is_key || !self.is_begun, ..wish };
        let packet = self.process.encode(planes, wish.is_key, self.quantiser(wish))?;
        if wish.is_key && !packet.is_key {
            return Err(failed("no key frame where one was asked for"));
        }
        self.is_begun = true;
        self.quantiser.learn(packet.qp, packet.bytes.len(), packet.is_key);
        Ok(packet)
    }
}

fn failed(why: impl Into<String>) -> VideoError {
    VideoError::Failed { name: NAME, why: why.into() }
}

#[cfg(test)]
mod tests;

//! H.264 and HEVC by the encoder that many NVIDIA cards have. The driver's libraries are looked for
//! when they are asked for; nothing is linked.
#![expect(unsafe_code, reason = "the driver's libraries are C")]

mod api;
mod driver;
mod session;

use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use beamdesk_proto::control::VideoCodec;

use super::planes::{Planes, even};
use super::quantiser::Quantiser;
use super::{Packet, PlaneFormat, VideoEncoder, VideoError, VideoWish};
use api::{Config, Words, colours};
use driver::Driver;
use session::{Session, Shape};

pub(crate) const NAME: &str = "nvenc";

/// Finer costs bytes that a settled tile needs less of; coarser is only blocks.
const QP: RangeInclusive<u8> = 16..=44;
/// As fine as it is worth.
const FINEST: u8 = 4;
/// H.264, 8.5.8: the quantiser's step doubles each 6.
const QP_STEPS: u8 = 6;
/// Slices are what threads decode, in the viewer.
const SLICES: u32 = 4;
/// What every card takes.
const WIDTH_MIN: u16 = 160;
const HEIGHT_MIN: u16 = 64;
/// What the first of these cards take; later ones take more HEVC.
const SIDE_MAX: u16 = 4096;

/// An encoder on a card: next to no work for the processor.
#[derive(Debug)]
pub(crate) struct Nvenc {
    codec: VideoCodec,
    width: u16,
    height: u16,
    session: Session,
    quantiser: Quantiser,
    qp: u8,
    is_begun: bool,
}

impl Nvenc {
    pub(crate) fn open(codec: VideoCodec, width: u16, height: u16) -> Result<Self, VideoError> {
        static DRIVER: OnceLock<Result<Arc<Driver>, String>> = OnceLock::new();
        let load = || Driver::load(driver::CUDA, driver::ENCODE).map(Arc::new);
        let driver = DRIVER.get_or_init(load).as_ref().map_err(missing)?;
        Self::open_with(driver, codec, width, height)
    }

    fn open_with(
        driver: &Arc<Driver>,
        codec: VideoCodec,
        width: u16,
        height: u16,
    ) -> Result<Self, VideoError> {
        let (guid, profile, words) = match codec {
            VideoCodec::H264 => (api::CODEC_H264, api::PROFILE_H264_HIGH, api::WORDS_H264),
            VideoCodec::Hevc => (api::CODEC_HEVC, api::PROFILE_HEVC_MAIN, api::WORDS_HEVC),
            VideoCodec::H264Grey | VideoCodec::H264Rgb | VideoCodec::Av1 | VideoCodec::Unknown => {
                return Err(missing(format!("not for {codec:?}")));
            }
        };
        let fits =
            (WIDTH_MIN..=SIDE_MAX).contains(&width) && (HEIGHT_MIN..=SIDE_MAX).contains(&height);
        if !fits {
            return Err(VideoError::Size { width, height });
        }
        let shape = Shape { codec: guid, width: number(even(width)), height: number(even(height)) };
        let quantiser = Quantiser::new(QP, QP_STEPS, even(width) * even(height));
        let qp = *QP.end();
        let mut why = String::new();
        for card in 0..driver.cards() {
            let set = |config: &mut Config| {
                config.profile = profile;
                set(config, words);
                set_qp(config, qp);
            };
            match Session::open(driver, card, shape, set) {
                Ok(session) => {
                    return Ok(Self {
                        codec,
                        width,
                        height,
                        session,
                        quantiser,
                        qp,
                        is_begun: false,
                    });
                }
                Err(error) => why = error,
            }
        }
        Err(missing(why))
    }

    fn turn(&mut self, qp: u8) -> Result<(), VideoError> {
        if self.qp != qp {
            self.session.change(|config| set_qp(config, qp)).map_err(failed)?;
            self.qp = qp;
        }
        Ok(())
    }
}

impl VideoEncoder for Nvenc {
    fn name(&self) -> &'static str {
        NAME
    }

    fn codec(&self) -> VideoCodec {
        self.codec
    }

    fn format(&self) -> PlaneFormat {
        PlaneFormat::I420
    }

    fn encode(&mut self, planes: &Planes, wish: VideoWish) -> Result<Packet, VideoError> {
        let shape = (planes.format(), planes.width(), planes.height());
        if shape != (PlaneFormat::I420, self.width, self.height) {
            return Err(failed("planes of another shape"));
        }
        let wish = VideoWish { is_key: wish.is_key || !self.is_begun, ..wish };
        let qp = if wish.bytes == usize::MAX { FINEST } else { self.quantiser.qp(wish) };
        self.turn(qp)?;
        let rows = even(self.height) * 3 / 2;
        let fill = |to: &mut [u8], pitch: usize| interleave(planes, to, pitch);
        let (bytes, is_key) = self.session.encode(rows, wish.is_key, fill).map_err(failed)?;
        if wish.is_key && !is_key {
            return Err(failed("no key frame where one was asked for"));
        }
        self.is_begun = true;
        self.quantiser.learn(qp, bytes.len(), is_key);
        Ok(Packet { bytes, is_key, qp })
    }
}

/// One reference, key frames when asked for, and what the picture's colours mean.
fn set(config: &mut Config, words: Words) {
    config.gop_length = api::INFINITE_GOP;
    config.frame_interval = 1;
    let codec = &mut config.codec;
    codec[words.bits] |= words.repeats_headers;
    codec[words.idr_period] = api::INFINITE_GOP;
    codec[words.references] = 1;
    codec[words.slice_mode] = api::SLICES_BY_NUMBER;
    codec[words.slices] = SLICES;
    // ITU-T H.273: primaries and matrix of BT.709, transfer of sRGB; a format that is not said.
    let colours = &mut codec[words.colours..];
    colours[colours::SIGNAL_TYPE_PRESENT] = 1;
    colours[colours::FORMAT] = 5;
    colours[colours::FULL_RANGE] = 1;
    colours[colours::DESCRIPTION_PRESENT] = 1;
    colours[colours::PRIMARIES] = 1;
    colours[colours::TRANSFER] = 13;
    colours[colours::MATRIX] = 1;
}

fn set_qp(config: &mut Config, qp: u8) {
    config.rate.mode = api::RC_CONSTQP;
    config.rate.qp_inter_p = qp.into();
    config.rate.qp_inter_b = qp.into();
    config.rate.qp_intra = qp.into();
}

/// As the card takes them: the first plane, then the other two, sample by sample.
fn interleave(planes: &Planes, to: &mut [u8], pitch: usize) {
    let (width, height) = (even(planes.width()), even(planes.height()));
    let (luma, stride) = planes.plane(0);
    let (rows, colour_rows) = to.split_at_mut(pitch * height);
    for (to, from) in rows.chunks_exact_mut(pitch).zip(luma.chunks_exact(stride)) {
        to[..width].copy_from_slice(&from[..width]);
    }
    let ((blue, stride), (red, _)) = (planes.plane(1), planes.plane(2));
    let pairs = blue.chunks_exact(stride).zip(red.chunks_exact(stride));
    for (to, (blue, red)) in colour_rows.chunks_exact_mut(pitch).zip(pairs) {
        let pairs = blue[..width / 2].iter().zip(&red[..width / 2]);
        for (to, (&blue, &red)) in to.chunks_exact_mut(2).zip(pairs) {
            to.copy_from_slice(&[blue, red]);
        }
    }
}

fn missing(why: impl Into<String>) -> VideoError {
    VideoError::Missing { name: NAME, why: why.into() }
}

fn failed(why: impl Into<String>) -> VideoError {
    VideoError::Failed { name: NAME, why: why.into() }
}

fn number(of: usize) -> u32 {
    u32::try_from(of).expect("sides of a picture fit 16 bit")
}

#[cfg(test)]
mod tests;

//! H.264 by openh264, built in: the encoder that is always there.

mod handle;

use std::ffi::c_int;
use std::ops::RangeInclusive;

use beamdesk_proto::control::VideoCodec;
use handle::Handle;
use openh264_sys2 as sys;

use crate::video::planes::even;
use crate::video::quantiser::Quantiser;
use crate::video::{Packet, PlaneFormat, Planes, VideoEncoder, VideoError, VideoWish};

pub(crate) const NAME: &str = "openh264";
/// Level 5.2 has no more macroblocks of 256 pixels.
const MACROBLOCKS_MAX: usize = 36_864;
const SIDE_MIN: u16 = 16;
/// Finer costs bytes that a settled tile needs less of; coarser is only blocks.
const QP: RangeInclusive<u8> = 16..=44;
/// For who wishes for the finest: each grey comes out as itself.
const QP_FINEST: u8 = 4;
/// H.264, 8.5.8: the quantiser's step doubles each 6.
const QP_STEPS: u8 = 6;
/// Slices are what threads encode, here and in the viewer.
const SLICES: u32 = 4;
/// Not more threads than slices.
const THREADS_MAX: usize = 4;
/// Only for what the bitstream says of itself and for clocks inside of the library.
const FRAME_RATE: f32 = 60.0;
const FRAME_MS: i64 = 16;
/// Bytes of a frame: from here on a first frame is coded for time, a later one, or for bytes.
const PLENTY_AT_START: usize = 32 * 1024;
const PLENTY: usize = 48 * 1024;
const SCARCE: usize = 24 * 1024;
/// Frames until a wish is thought to last: a change costs a key frame.
const DOUBTS_MAX: u16 = 60;
/// Bytes of a frame, in percent of its pixels, from which it is noise, and down to which it
/// remains so.
const NOISE_FROM: usize = 5;
const NOISE_TO: usize = 3;
/// H.264, 7.4.3, `disable_deblocking_filter_idc`: within slices, so that threads need not wait.
const FILTER_IN_SLICES: c_int = 2;
const FILTER_OFF: c_int = 1;

/// Camera usage, one reference, nothing held back, the quantiser its own affair.
#[derive(Debug)]
pub(crate) struct Openh264 {
    width: u16,
    height: u16,
    /// From the first frame on, which says how many bytes there are.
    running: Option<Running>,
    economy: Economy,
    quantiser: Quantiser,
}

impl Openh264 {
    pub(crate) fn open(width: u16, height: u16) -> Result<Self, VideoError> {
        let (columns, rows) = (even(width), even(height));
        let macroblocks = columns.div_ceil(16) * rows.div_ceil(16);
        if width.min(height) < SIDE_MIN || macroblocks > MACROBLOCKS_MAX {
            return Err(VideoError::Size { width, height });
        }
        let quantiser = Quantiser::new(QP, QP_STEPS, columns * rows);
        Ok(Self { width, height, running: None, economy: Economy::default(), quantiser })
    }
}

impl VideoEncoder for Openh264 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn codec(&self) -> VideoCodec {
        VideoCodec::H264
    }

    fn format(&self) -> PlaneFormat {
        PlaneFormat::I420
    }

    fn encode(&mut self, planes: &Planes, wish: VideoWish) -> Result<Packet, VideoError> {
        let size = (planes.width(), planes.height());
        if planes.format() != self.format() || size != (self.width, self.height) {
            return Err(failed("planes of another format or size"));
        }
        let thrifty = self.economy.is_thrifty(wish.bytes);
        let running = self.running.take().filter(|running| running.is_thrifty == thrifty);
        let mut running = match running {
            Some(running) => running,
            None => Running::start(side(even(self.width)), side(even(self.height)), thrifty)?,
        };
        let wish = VideoWish { is_key: wish.is_key || running.frames == 0, ..wish };
        let is_finest = wish.bytes == usize::MAX;
        let qp = if is_finest { QP_FINEST } else { self.quantiser.qp(wish) };
        let (bytes, is_key) = running.encode(planes, qp, wish.is_key)?;
        self.running = Some(running);
        self.quantiser.learn(qp, bytes.len(), is_key);
        Ok(Packet { bytes, is_key, qp })
    }
}

/// Whether bytes are dear or time is. CABAC makes noise a quarter smaller and costs half as much
/// again to encode and twice as much to decode, all of it by the byte; CAVLC is cheap.
#[derive(Debug, Default)]
struct Economy {
    is_thrifty: Option<bool>,
    /// For how many frames the wish has been for the other one.
    doubts: u16,
}

impl Economy {
    fn is_thrifty(&mut self, bytes: usize) -> bool {
        let is_thrifty = *self.is_thrifty.get_or_insert(bytes < PLENTY_AT_START);
        let is_doubtful = if is_thrifty { bytes >= PLENTY } else { bytes < SCARCE };
        self.doubts = if is_doubtful { self.doubts + 1 } else { 0 };
        if self.doubts < DOUBTS_MAX {
            return is_thrifty;
        }
        *self = Self { is_thrifty: Some(!is_thrifty), doubts: 0 };
        !is_thrifty
    }
}

/// The library at work, with one way of entropy coding.
#[derive(Debug)]
struct Running {
    handle: Handle,
    parameters: Box<sys::SEncParamExt>,
    is_thrifty: bool,
    frames: i64,
    pixels: usize,
}

impl Running {
    fn start(width: c_int, height: c_int, is_thrifty: bool) -> Result<Self, VideoError> {
        let handle = Handle::new()?;
        handle.be_quiet()?;
        let mut parameters = Box::new(handle.defaults()?);
        parameters.iEntropyCodingModeFlag = is_thrifty.into();
        describe(&mut parameters, width, height);
        handle.initialize(&parameters)?;
        let pixels = usize::try_from(width * height).unwrap_or(usize::MAX);
        Ok(Self { handle, parameters, is_thrifty, frames: 0, pixels })
    }

    fn encode(
        &mut self,
        planes: &Planes,
        qp: u8,
        is_key: bool,
    ) -> Result<(Vec<u8>, bool), VideoError> {
        let layer = &mut self.parameters.sSpatialLayers[0];
        if layer.iDLayerQp != c_int::from(qp) {
            layer.iDLayerQp = qp.into();
            self.handle.adjust(&mut self.parameters)?;
        }
        if is_key {
            self.handle.force_key()?;
        }
        let (bytes, is_key) = self.handle.encode(planes, self.frames * FRAME_MS)?;
        self.frames += 1;
        self.filter(bytes.len())?;
        Ok((bytes, is_key))
    }

    /// The filter against blocks helps shades and smears noise, at a tenth of the time.
    fn filter(&mut self, bytes: usize) -> Result<(), VideoError> {
        let wanted = match bytes * 100 / self.pixels {
            0..NOISE_TO => FILTER_IN_SLICES,
            NOISE_TO..NOISE_FROM => return Ok(()),
            NOISE_FROM.. => FILTER_OFF,
        };
        if self.parameters.iLoopFilterDisableIdc == wanted {
            return Ok(());
        }
        self.parameters.iLoopFilterDisableIdc = wanted;
        self.handle.adjust(&mut self.parameters)
    }
}

fn describe(all: &mut sys::SEncParamExt, width: c_int, height: c_int) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    all.iUsageType = sys::CAMERA_VIDEO_REAL_TIME;
    all.iPicWidth = width;
    all.iPicHeight = height;
    all.iRCMode = sys::RC_OFF_MODE;
    all.fMaxFrameRate = FRAME_RATE;
    all.iTemporalLayerNum = 1;
    all.iSpatialLayerNum = 1;
    all.iComplexityMode = sys::LOW_COMPLEXITY;
    all.uiIntraPeriod = 0;
    all.iNumRefFrame = 1;
    all.eSpsPpsIdStrategy = sys::CONSTANT_ID;
    all.bEnableFrameSkip = false;
    all.bEnableLongTermReference = false;
    all.iMultipleThreadIdc = u16::try_from(cores.min(THREADS_MAX)).unwrap_or(1);
    all.iLoopFilterDisableIdc = FILTER_IN_SLICES;
    all.bEnableDenoise = false;
    all.bEnableBackgroundDetection = false;
    all.bEnableAdaptiveQuant = false;
    all.bEnableFrameCroppingFlag = true;
    all.bEnableSceneChangeDetect = false;
    let layer = &mut all.sSpatialLayers[0];
    layer.iVideoWidth = width;
    layer.iVideoHeight = height;
    layer.fFrameRate = FRAME_RATE;
    layer.uiProfileIdc = sys::PRO_HIGH;
    layer.uiLevelIdc = sys::LEVEL_5_2;
    layer.sSliceArgument.uiSliceMode = sys::SM_FIXEDSLCNUM_SLICE;
    layer.sSliceArgument.uiSliceNum = SLICES;
    layer.bVideoSignalTypePresent = true;
    layer.uiVideoFormat = byte(sys::VF_UNDEF);
    layer.bFullRange = true;
    layer.bColorDescriptionPresent = true;
    layer.uiColorPrimaries = byte(sys::CP_BT709);
    layer.uiTransferCharacteristics = byte(sys::TRC_IEC61966_2_1);
    layer.uiColorMatrix = byte(sys::CM_BT709);
}

fn failed(why: impl Into<String>) -> VideoError {
    VideoError::Failed { name: NAME, why: why.into() }
}

fn side(pixels: usize) -> c_int {
    c_int::try_from(pixels).expect("sides of a picture fit 16 bit")
}

fn byte(value: c_int) -> u8 {
    u8::try_from(value).expect("numbers of the standard's tables")
}

#[cfg(test)]
mod tests;

//! AV1 by libaom, built in: realtime, with the tools for screens, which save the most on text.
#![expect(unsafe_code, reason = "libaom is a C library")]

use std::ffi::{CStr, c_int, c_uint, c_ulong};
use std::fmt;
use std::mem::MaybeUninit;
use std::ops::RangeInclusive;
use std::ptr::{null, null_mut};
use std::thread::available_parallelism;

use beamdesk_proto::control::VideoCodec;
use libaom_sys as sys;

use super::planes::{Planes, even};
use super::quantiser::Quantiser;
use super::{Packet, PlaneFormat, VideoEncoder, VideoError, VideoWish};

pub(crate) const NAME: &str = "libaom";

/// Of libaom's outer scale from 0 to 63. Finer costs bytes that a settled tile needs less of.
const QP: RangeInclusive<u8> = 12..=58;
/// As fine as it can be without being exact.
const FINEST: u8 = 1;
/// Steps of that scale that halve a frame, as measured on text and on noise.
const QP_STEPS: u8 = 10;
/// Rows of superblocks are what threads share; more wait for each other.
const THREADS_MAX: usize = 4;
/// A picture of this width is cut in two, so that a viewer can decode it with two threads.
const TWO_TILES_FROM: usize = 1024;
/// AV1 has pictures of up to 65536; no screen of ours is larger than this.
const SIDE_MAX: u16 = 8192;
/// Time as libaom counts it; the quantiser is ours, so nothing follows from it.
const FRAMES_PER_S: c_int = 60;

/// What is fast on screens. Tools that cost time and bring nothing at this speed are off.
const OPTIONS: &[(&CStr, &CStr)] = &[
    (c"cpu-used", c"10"),
    (c"row-mt", c"1"),
    (c"tune-content", c"screen"),
    (c"enable-palette", c"1"),
    (c"enable-intrabc", c"1"),
    (c"aq-mode", c"0"),
    (c"deltaq-mode", c"0"),
    (c"cdf-update-mode", c"1"),
    (c"coeff-cost-upd-freq", c"3"),
    (c"mode-cost-upd-freq", c"3"),
    (c"mv-cost-upd-freq", c"3"),
    (c"dv-cost-upd-freq", c"3"),
    (c"enable-order-hint", c"0"),
    (c"enable-obmc", c"0"),
    (c"enable-warped-motion", c"0"),
    (c"enable-global-motion", c"0"),
    (c"enable-ref-frame-mvs", c"0"),
    (c"enable-cfl-intra", c"0"),
    (c"enable-smooth-intra", c"0"),
    (c"enable-angle-delta", c"0"),
    (c"enable-filter-intra", c"0"),
    (c"enable-tpl-model", c"0"),
    // ITU-T H.273: primaries and matrix of BT.709, transfer of sRGB.
    (c"color-primaries", c"bt709"),
    (c"transfer-characteristics", c"srgb"),
    (c"matrix-coefficients", c"bt709"),
];

/// For few bytes on text and documents; slow on what is noisy.
#[derive(Debug)]
pub(crate) struct Aom {
    context: Context,
    width: u16,
    height: u16,
    quantiser: Quantiser,
    /// As libaom has it; it takes a while to set.
    qp: Option<u8>,
    frames: i64,
}

impl Aom {
    pub(crate) fn open(width: u16, height: u16) -> Result<Self, VideoError> {
        if width == 0 || height == 0 || width > SIDE_MAX || height > SIDE_MAX {
            return Err(VideoError::Size { width, height });
        }
        let context = Context::open(even(width), even(height))?;
        let quantiser = Quantiser::new(QP, QP_STEPS, even(width) * even(height));
        Ok(Self { context, width, height, quantiser, qp: None, frames: 0 })
    }

    fn set_qp(&mut self, qp: u8) -> Result<(), VideoError> {
        if self.qp != Some(qp) {
            self.context.control(sys::AV1E_SET_QUANTIZER_ONE_PASS, qp.into())?;
            self.qp = Some(qp);
        }
        Ok(())
    }
}

impl VideoEncoder for Aom {
    fn name(&self) -> &'static str {
        NAME
    }

    fn codec(&self) -> VideoCodec {
        VideoCodec::Av1
    }

    fn format(&self) -> PlaneFormat {
        PlaneFormat::I420
    }

    fn encode(&mut self, planes: &Planes, wish: VideoWish) -> Result<Packet, VideoError> {
        let shape = (planes.format(), planes.width(), planes.height());
        if shape != (PlaneFormat::I420, self.width, self.height) {
            return Err(failed("planes of another shape"));
        }
        let wish = VideoWish { is_key: wish.is_key || self.frames == 0, ..wish };
        let qp = if wish.bytes == usize::MAX { FINEST } else { self.quantiser.qp(wish) };
        self.set_qp(qp)?;
        let (bytes, is_key) = self.context.encode(planes, self.frames, wish.is_key)?;
        self.frames += 1;
        if wish.is_key && !is_key {
            return Err(failed("no key frame where one was asked for"));
        }
        self.quantiser.learn(qp, bytes.len(), is_key);
        Ok(Packet { bytes, is_key, qp })
    }
}

/// One encoder of the library. In a box, for the library may point into it.
struct Context(Box<sys::aom_codec_ctx_t>);

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Context").field(&self.0.priv_).finish()
    }
}

// SAFETY: the library keeps nothing by thread, and one thread at a time calls it, since all calls
// need `&mut` of this.
unsafe impl Send for Context {}

impl Context {
    fn open(width: usize, height: usize) -> Result<Self, VideoError> {
        let settings = settings(width, height)?;
        let mut context = Box::new(MaybeUninit::<sys::aom_codec_ctx_t>::zeroed());
        let interface = interface();
        // SAFETY: it fills the context, and copies the settings.
        let code = unsafe {
            sys::aom_codec_enc_init_ver(
                context.as_mut_ptr(),
                interface,
                &raw const settings,
                0,
                sys::AOM_ENCODER_ABI_VERSION.cast_signed(),
            )
        };
        ok(code, "starting")?;
        // SAFETY: filled, as the code says; when it fails it destroys what it made.
        let mut context = Self(unsafe { context.assume_init() });
        for (name, value) in OPTIONS {
            context.option(name, value)?;
        }
        let columns = if width < TWO_TILES_FROM { c"0" } else { c"1" };
        context.option(c"tile-columns", columns)?;
        context.control(sys::AV1E_SET_COLOR_RANGE, sys::AOM_CR_FULL_RANGE.cast_signed())?;
        Ok(context)
    }

    fn option(&mut self, name: &CStr, value: &CStr) -> Result<(), VideoError> {
        // SAFETY: two strings that end with a zero, which it reads.
        let code =
            unsafe { sys::aom_codec_set_option(&raw mut *self.0, name.as_ptr(), value.as_ptr()) };
        ok(code, &name.to_string_lossy())
    }

    /// For controls that take an `int`.
    fn control(&mut self, control: c_uint, value: c_int) -> Result<(), VideoError> {
        // SAFETY: the callers name controls that take one `int`.
        let code =
            unsafe { sys::aom_codec_control(&raw mut *self.0, control.cast_signed(), value) };
        ok(code, "a control")
    }

    fn encode(
        &mut self,
        planes: &Planes,
        time: i64,
        is_key: bool,
    ) -> Result<(Vec<u8>, bool), VideoError> {
        let image = image(planes)?;
        let flags = if is_key { sys::AOM_EFLAG_FORCE_KF } else { 0 };
        let duration: c_ulong = 1;
        // SAFETY: the image's planes live during the call, and it keeps copies only.
        let code = unsafe {
            sys::aom_codec_encode(&raw mut *self.0, &raw const image, time, duration, flags.into())
        };
        ok(code, "encoding")?;
        self.gather()
    }

    /// Takes the temporal unit out of the library's memory, which the next frame overwrites.
    fn gather(&mut self) -> Result<(Vec<u8>, bool), VideoError> {
        let mut bytes = Vec::new();
        let mut is_key = false;
        let mut at = null();
        loop {
            // SAFETY: `at` starts as null and is the library's own from then on.
            let packet = unsafe { sys::aom_codec_get_cx_data(&raw mut *self.0, &raw mut at) };
            // SAFETY: null, or a packet that is good until the next call.
            let Some(packet) = (unsafe { packet.as_ref() }) else { break };
            if packet.kind != sys::AOM_CODEC_CX_FRAME_PKT {
                continue;
            }
            // SAFETY: of this kind, so it is this member.
            let frame = unsafe { packet.data.frame };
            if frame.buf.is_null() {
                continue;
            }
            // SAFETY: the library's memory, of that size, until the next call.
            let part = unsafe { std::slice::from_raw_parts(frame.buf.cast::<u8>(), frame.sz) };
            bytes.extend_from_slice(part);
            is_key |= frame.flags & sys::AOM_FRAME_IS_KEY != 0;
        }
        if bytes.is_empty() { Err(failed("a frame of nothing")) } else { Ok((bytes, is_key)) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: started, and not used again.
        let code = unsafe { sys::aom_codec_destroy(&raw mut *self.0) };
        if let Err(error) = ok(code, "ending") {
            tracing::warn!(%error, "Could not end a video encoder");
        }
    }
}

/// The library's AV1 encoder.
fn interface() -> *const sys::aom_codec_iface {
    // SAFETY: gives the address of a constant.
    unsafe { sys::aom_codec_av1_cx() }
}

fn settings(width: usize, height: usize) -> Result<sys::aom_codec_enc_cfg_t, VideoError> {
    let mut settings = MaybeUninit::<sys::aom_codec_enc_cfg_t>::zeroed();
    let (interface, usage) = (interface(), sys::AOM_USAGE_REALTIME);
    // SAFETY: it fills one structure.
    let code =
        unsafe { sys::aom_codec_enc_config_default(interface, settings.as_mut_ptr(), usage) };
    ok(code, "asking for defaults")?;
    // SAFETY: filled, as the code says.
    let mut settings = unsafe { settings.assume_init() };
    let threads = available_parallelism().map_or(1, |cores| cores.get().min(THREADS_MAX));
    settings.g_w = number(width);
    settings.g_h = number(height);
    settings.g_threads = number(threads);
    settings.g_timebase = sys::aom_rational { num: 1, den: FRAMES_PER_S };
    settings.g_lag_in_frames = 0;
    settings.g_error_resilient = 0;
    settings.g_pass = sys::AOM_RC_ONE_PASS;
    // The quantiser of each frame is set by itself; this keeps the library from turning it.
    settings.rc_end_usage = sys::AOM_CBR;
    settings.rc_dropframe_thresh = 0;
    settings.rc_resize_mode = 0;
    settings.rc_superres_mode = sys::AOM_SUPERRES_NONE;
    settings.kf_mode = sys::AOM_KF_DISABLED;
    Ok(settings)
}

fn image(planes: &Planes) -> Result<sys::aom_image_t, VideoError> {
    let (width, height) = (even(planes.width()), even(planes.height()));
    let mut image = MaybeUninit::<sys::aom_image_t>::zeroed();
    let (first, _) = planes.plane(0);
    // SAFETY: it fills the structure, and only calculates with the pointer.
    let filled = unsafe {
        sys::aom_img_wrap(
            image.as_mut_ptr(),
            sys::AOM_IMG_FMT_I420,
            number(width),
            number(height),
            1,
            first.as_ptr().cast_mut(),
        )
    };
    if filled.is_null() {
        return Err(failed("no image of this size"));
    }
    // SAFETY: filled, as it was not null.
    let mut image = unsafe { image.assume_init() };
    image.range = sys::AOM_CR_FULL_RANGE;
    image.cp = sys::AOM_CICP_CP_BT_709;
    image.tc = sys::AOM_CICP_TC_SRGB;
    image.mc = sys::AOM_CICP_MC_BT_709;
    for index in 0..3 {
        let (bytes, stride) = planes.plane(index);
        // The library takes them as writable and, without denoising, only reads.
        image.planes[index] = bytes.as_ptr().cast_mut();
        image.stride[index] = number(stride).cast_signed();
    }
    image.img_data = null_mut();
    Ok(image)
}

fn ok(code: sys::aom_codec_err_t, doing: &str) -> Result<(), VideoError> {
    if code == sys::AOM_CODEC_OK {
        return Ok(());
    }
    // SAFETY: has no condition.
    let why = unsafe { sys::aom_codec_err_to_string(code) };
    // SAFETY: one of the library's own constant strings, for any code.
    let why = unsafe { CStr::from_ptr(why) };
    Err(failed(format!("{doing}: {}", why.to_string_lossy())))
}

fn failed(why: impl Into<String>) -> VideoError {
    VideoError::Failed { name: NAME, why: why.into() }
}

fn number(of: usize) -> c_uint {
    c_uint::try_from(of).expect("sides of a picture fit 16 bit")
}

#[cfg(test)]
mod tests;

//! An encoder of the library, and every call into it.
#![expect(unsafe_code, reason = "openh264 is a C++ library")]

use std::ffi::{c_int, c_void};
use std::ptr::{from_mut, null_mut};

use openh264_sys2 as sys;

use super::{failed, side};
use crate::video::planes::even;
use crate::video::{Planes, VideoError};

/// One encoder of the library.
#[derive(Debug)]
pub(super) struct Handle(*mut sys::ISVCEncoder);

// SAFETY: the library keeps nothing by thread; one thread at a time calls it, since all calls that
// change something need `&mut` of the encoder that owns this.
unsafe impl Send for Handle {}

impl Handle {
    pub(super) fn new() -> Result<Self, VideoError> {
        let mut encoder = null_mut();
        // SAFETY: it writes one pointer.
        let code = unsafe { sys::source::APILoader::WelsCreateSVCEncoder(&raw mut encoder) };
        if encoder.is_null() {
            return Err(failed(format!("no encoder, code {code}")));
        }
        let handle = Self(encoder);
        ok(code, "creating")?;
        Ok(handle)
    }

    fn table(&self) -> &sys::ISVCEncoderVtbl {
        // SAFETY: the pointer is the library's own, not null, and lives as long as this.
        let table = unsafe { *self.0 };
        // SAFETY: the first field of the object is its table of functions.
        unsafe { &*table }
    }

    /// Its warnings go to the standard error otherwise.
    pub(super) fn be_quiet(&self) -> Result<(), VideoError> {
        let mut level: c_int = 0;
        self.set(sys::ENCODER_OPTION_TRACE_LEVEL, from_mut(&mut level).cast())
    }

    pub(super) fn defaults(&self) -> Result<sys::SEncParamExt, VideoError> {
        let mut parameters = sys::SEncParamExt::default();
        let defaults = self.table().GetDefaultParams.ok_or_else(no_function)?;
        // SAFETY: it writes one structure.
        ok(unsafe { defaults(self.0, &raw mut parameters) }, "asking for defaults")?;
        Ok(parameters)
    }

    pub(super) fn initialize(&self, parameters: &sys::SEncParamExt) -> Result<(), VideoError> {
        let initialize = self.table().InitializeExt.ok_or_else(no_function)?;
        // SAFETY: it copies the structure.
        ok(unsafe { initialize(self.0, parameters) }, "starting")
    }

    /// Quantiser and filter: with all else as it was the library neither starts anew nor makes a
    /// key frame.
    pub(super) fn adjust(&self, parameters: &mut sys::SEncParamExt) -> Result<(), VideoError> {
        self.set(sys::ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, from_mut(parameters).cast())
    }

    /// The value must be of the option's type.
    fn set(&self, option: sys::ENCODER_OPTION, value: *mut c_void) -> Result<(), VideoError> {
        let set = self.table().SetOption.ok_or_else(no_function)?;
        // SAFETY: the callers above give a value of the type that the option has.
        ok(unsafe { set(self.0, option, value) }, "an option")
    }

    pub(super) fn force_key(&self) -> Result<(), VideoError> {
        let force = self.table().ForceIntraFrame.ok_or_else(no_function)?;
        // SAFETY: the encoder was started.
        ok(unsafe { force(self.0, true) }, "a key frame")
    }

    pub(super) fn encode(
        &self,
        planes: &Planes,
        time_ms: i64,
    ) -> Result<(Vec<u8>, bool), VideoError> {
        let mut source = sys::SSourcePicture {
            iColorFormat: sys::videoFormatI420,
            iPicWidth: side(even(planes.width())),
            iPicHeight: side(even(planes.height())),
            uiTimeStamp: time_ms,
            ..Default::default()
        };
        for index in 0..3 {
            let (bytes, stride) = planes.plane(index);
            source.iStride[index] = side(stride);
            // The library takes them as writable and only reads.
            source.pData[index] = bytes.as_ptr().cast_mut();
        }
        let mut coded = Box::new(sys::SFrameBSInfo::default());
        let encode = self.table().EncodeFrame.ok_or_else(no_function)?;
        // SAFETY: three planes of the size and strides that are said, alive during the call.
        let code = unsafe { encode(self.0, &raw const source, &raw mut *coded) };
        ok(code, "encoding")?;
        let bytes = gather(&coded);
        if bytes.is_empty() {
            return Err(failed("a frame of nothing"));
        }
        Ok((bytes, coded.eFrameType == sys::videoFrameTypeIDR))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made by its counterpart, and not used again. It also ends what was started.
        unsafe { sys::source::APILoader::WelsDestroySVCEncoder(self.0) }
    }
}

/// Takes the bitstream out of the library's memory, which the next frame overwrites.
fn gather(coded: &sys::SFrameBSInfo) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(usize::try_from(coded.iFrameSizeInBytes).unwrap_or(0));
    let layers = usize::try_from(coded.iLayerNum).unwrap_or(0).min(coded.sLayerInfo.len());
    for layer in &coded.sLayerInfo[..layers] {
        let units = usize::try_from(layer.iNalCount).unwrap_or(0);
        if units == 0 || layer.pNalLengthInByte.is_null() || layer.pBsBuf.is_null() {
            continue;
        }
        // SAFETY: the library has one length for each of its units.
        let lengths = unsafe { std::slice::from_raw_parts(layer.pNalLengthInByte, units) };
        let length = lengths.iter().map(|&length| usize::try_from(length).unwrap_or(0)).sum();
        // SAFETY: units lie one behind the other.
        bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(layer.pBsBuf, length) });
    }
    bytes
}

fn ok(code: c_int, doing: &str) -> Result<(), VideoError> {
    if code == sys::cmResultSuccess { Ok(()) } else { Err(failed(format!("{doing}, code {code}"))) }
}

fn no_function() -> VideoError {
    failed("the library lacks a function")
}

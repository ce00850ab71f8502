//! A reference decoder of H.264 4:2:0, by which tests and benches see what a viewer would see.
#![expect(unsafe_code, reason = "openh264 is a C++ library")]

use std::ffi::{c_int, c_long};
use std::ptr::{from_mut, null_mut};

use openh264_sys2 as sys;
use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix, yuv420_to_bgra};

use crate::video::VideoError;

const NAME: &str = "reference decoder";

/// Decodes one picture after the other, as they were encoded.
#[derive(Debug)]
pub struct H264Decoder {
    handle: Handle,
}

/// A decoded picture, 4:2:0, as it came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    pub width: usize,
    pub height: usize,
    /// Without gaps between rows; the second and third plane are halved both ways.
    pub planes: [Vec<u8>; 3],
}

impl H264Decoder {
    pub fn new() -> Result<Self, VideoError> {
        let handle = Handle::new()?;
        handle.initialize()?;
        Ok(Self { handle })
    }

    /// One whole picture in, one out: whoever holds pictures back is no use for a desktop.
    pub fn decode(&mut self, bitstream: &[u8]) -> Result<Decoded, VideoError> {
        let length = c_int::try_from(bitstream.len()).map_err(|_| failed("too long"))?;
        let mut planes = [null_mut::<u8>(); 3];
        let mut info = sys::SBufferInfo::default();
        let decode = self.handle.table().DecodeFrameNoDelay.ok_or_else(no_function)?;
        let (into, about) = (planes.as_mut_ptr(), &raw mut info);
        // SAFETY: it reads `length` bytes and writes three pointers and one structure.
        let mut state = unsafe { decode(self.handle.0, bitstream.as_ptr(), length, into, about) };
        if state == sys::dsErrorFree && info.iBufferStatus != 1 {
            // High profile: it waits for what might have to be shown before, of which there is none.
            let flush = self.handle.table().FlushFrame.ok_or_else(no_function)?;
            // SAFETY: as above.
            state = unsafe { flush(self.handle.0, into, about) };
        }
        if state != sys::dsErrorFree || info.iBufferStatus != 1 {
            return Err(failed(format!("state {state}, {} pictures", info.iBufferStatus)));
        }
        // SAFETY: a picture is there, and pictures are described by this variant only.
        let about = unsafe { info.UsrData.sSystemBuffer };
        let (width, height) = (positive(about.iWidth)?, positive(about.iHeight)?);
        let strides = [about.iStride[0], about.iStride[1], about.iStride[1]];
        let mut copies = [Vec::new(), Vec::new(), Vec::new()];
        for (index, copy) in copies.iter_mut().enumerate() {
            let halves = if index == 0 { 1 } else { 2 };
            let (columns, rows) = (width / halves, height / halves);
            let (plane, stride) = (planes[index], positive(strides[index])?);
            if plane.is_null() || columns > stride {
                return Err(failed("a picture without a plane"));
            }
            let length = stride * (rows - 1) + columns;
            // SAFETY: the library's picture has these rows, and keeps until the next call.
            let all = unsafe { std::slice::from_raw_parts(plane, length) };
            all.chunks(stride).for_each(|row| copy.extend_from_slice(&row[..columns]));
        }
        Ok(Decoded { width, height, planes: copies })
    }
}

impl Decoded {
    /// Blue, green, red, 255, row by row: full range, BT.709.
    pub fn to_bgrx(&self) -> Vec<u8> {
        let number = |side: usize| u32::try_from(side).expect("sides of a picture");
        let image = YuvPlanarImage {
            y_plane: &self.planes[0],
            y_stride: number(self.width),
            u_plane: &self.planes[1],
            u_stride: number(self.width / 2),
            v_plane: &self.planes[2],
            v_stride: number(self.width / 2),
            width: number(self.width),
            height: number(self.height),
        };
        let mut bgrx = vec![0; self.width * self.height * 4];
        let (range, matrix) = (YuvRange::Full, YuvStandardMatrix::Bt709);
        yuv420_to_bgra(&image, &mut bgrx, number(self.width * 4), range, matrix)
            .expect("planes are as large as they were made");
        bgrx
    }
}

#[derive(Debug)]
struct Handle(*mut sys::ISVCDecoder);

// SAFETY: the library keeps nothing by thread, and pictures are decoded through `&mut` only.
unsafe impl Send for Handle {}

impl Handle {
    fn new() -> Result<Self, VideoError> {
        let mut decoder = null_mut();
        // SAFETY: it writes one pointer.
        let code = unsafe { sys::source::APILoader::WelsCreateDecoder(&raw mut decoder) };
        if decoder.is_null() {
            return Err(failed(format!("no decoder, code {code}")));
        }
        Ok(Self(decoder))
    }

    fn table(&self) -> &sys::ISVCDecoderVtbl {
        // SAFETY: the pointer is the library's own, not null, and lives as long as this.
        let table = unsafe { *self.0 };
        // SAFETY: the first field of the object is its table of functions.
        unsafe { &*table }
    }

    fn initialize(&self) -> Result<(), VideoError> {
        let mut level: c_int = 0;
        let set = self.table().SetOption.ok_or_else(no_function)?;
        let value = from_mut(&mut level).cast();
        // SAFETY: the option is an integer.
        ok(unsafe { set(self.0, sys::DECODER_OPTION_TRACE_LEVEL, value) })?;
        let mut parameters = sys::SDecodingParam::default();
        parameters.sVideoProperty.eVideoBsType = sys::VIDEO_BITSTREAM_AVC;
        parameters.eEcActiveIdc = sys::ERROR_CON_DISABLE;
        let initialize = self.table().Initialize.ok_or_else(no_function)?;
        // SAFETY: it copies the structure.
        ok(unsafe { initialize(self.0, &raw const parameters) })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(end) = self.table().Uninitialize {
            // SAFETY: not used again but to be freed. Its code says nothing that could be done.
            let _: c_long = unsafe { end(self.0) };
        }
        // SAFETY: made by its counterpart, and not used again.
        unsafe { sys::source::APILoader::WelsDestroyDecoder(self.0) }
    }
}

fn ok(code: c_long) -> Result<(), VideoError> {
    if code == 0 { Ok(()) } else { Err(failed(format!("starting, code {code}"))) }
}

fn positive(number: c_int) -> Result<usize, VideoError> {
    usize::try_from(number).ok().filter(|&n| n > 0).ok_or_else(|| failed("a picture without size"))
}

fn failed(why: impl Into<String>) -> VideoError {
    VideoError::Failed { name: NAME, why: why.into() }
}

fn no_function() -> VideoError {
    failed("the library lacks a function")
}

//! What is used of NVIDIA's interfaces: structures as they lie in memory, numbers, functions.
//!
//! Version 11.1 of the encoder's interface, which drivers since 470 have and newer ones keep. Names
//! in capitals are those of its header, `nvEncodeAPI.h`; the tests hold all this against it.

use std::ffi::{c_char, c_int, c_void};
use std::mem::{offset_of, size_of};

/// Major version, and minor version in the top byte.
pub(super) const VERSION: u32 = 11 | 1 << 24;
/// The same as the driver tells it.
pub(super) const VERSION_NEEDED: u32 = 11 << 4 | 1;

pub(super) type Status = c_int;
pub(super) const SUCCESS: Status = 0;
pub(super) const NO_ENCODE_DEVICE: Status = 1;
pub(super) const UNSUPPORTED_DEVICE: Status = 2;

pub(super) const DEVICE_TYPE_CUDA: u32 = 1;
pub(super) const BUFFER_FORMAT_NV12: u32 = 1;
pub(super) const TUNING_ULTRA_LOW_LATENCY: u32 = 3;
pub(super) const RC_CONSTQP: u32 = 0;
pub(super) const INFINITE_GOP: u32 = u32::MAX;
pub(super) const PIC_STRUCT_FRAME: u32 = 1;
pub(super) const PIC_TYPE_IDR: u32 = 3;
pub(super) const PIC_FLAG_FORCEIDR: u32 = 2;
pub(super) const PIC_FLAG_OUTPUT_SPSPPS: u32 = 4;
pub(super) const SLICES_BY_NUMBER: u32 = 3;

/// `NVENCAPI_STRUCT_VERSION`.
const fn version(of: u32) -> u32 {
    VERSION | of << 16 | 0x7 << 28
}

/// The same for structures that have grown.
const fn grown_version(of: u32) -> u32 {
    version(of) | 1 << 31
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Guid(u32, u16, u16, [u8; 8]);

pub(super) const CODEC_H264: Guid =
    Guid(0x6bc8_2762, 0x4e63, 0x4ca4, [0xaa, 0x85, 0x1e, 0x50, 0xf3, 0x21, 0xf6, 0xbf]);
pub(super) const CODEC_HEVC: Guid =
    Guid(0x790c_dc88, 0x4522, 0x4d7b, [0x94, 0x25, 0xbd, 0xa9, 0x97, 0x5f, 0x76, 0x03]);
pub(super) const PROFILE_H264_HIGH: Guid =
    Guid(0xe7cb_c309, 0x4f7a, 0x4b89, [0xaf, 0x2a, 0xd5, 0x37, 0xc9, 0x2b, 0xe3, 0x10]);
pub(super) const PROFILE_HEVC_MAIN: Guid =
    Guid(0xb514_c39a, 0xb55b, 0x40fa, [0x87, 0x8f, 0xf1, 0x25, 0x3b, 0x4d, 0xfd, 0xec]);
pub(super) const PRESET_P3: Guid =
    Guid(0x3685_0110, 0x3a07, 0x441f, [0x94, 0xd5, 0x36, 0x70, 0x63, 0x1f, 0x91, 0xf6]);

/// A structure that begins with its version and may be all zeros else.
///
/// # Safety
///
/// It must be `repr(C)`, begin with a `u32`, and be valid when all its bytes are zero.
pub(super) unsafe trait Versioned: Sized {
    const VERSION: u32;

    fn new() -> Self {
        let mut new = std::mem::MaybeUninit::<Self>::zeroed();
        // SAFETY: it begins with this, as implementors promise.
        unsafe { new.as_mut_ptr().cast::<u32>().write(Self::VERSION) };
        // SAFETY: valid with zeros, as implementors promise.
        unsafe { new.assume_init() }
    }
}

/// Declares a structure, its version, size, and where some of its fields lie.
macro_rules! structure {
    ($(#[$about:meta])* $name:ident, $version:expr, $size:literal, [$($at:ident = $offset:literal),*],
     { $($(#[$field_about:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$about])*
        #[repr(C, align(8))]
        #[derive(Debug, Clone, Copy)]
        pub(super) struct $name {
            pub(super) version: u32,
            $($(#[$field_about])* pub(super) $field: $type,)*
        }

        // SAFETY: numbers, arrays of numbers, pointers and optional functions only.
        unsafe impl Versioned for $name {
            const VERSION: u32 = $version;
        }

        const _: () = {
            assert!(size_of::<$name>() == $size);
            $(assert!(offset_of!($name, $at) == $offset);)*
        };
    };
}

structure!(OpenSession, version(1), 1552, [device = 8, api_version = 24], {
    device_type: u32,
    device: *mut c_void,
    reserved: *mut c_void,
    api_version: u32,
    reserved1: [u32; 253],
    reserved2: [*mut c_void; 64],
});

/// `NV_ENC_RC_PARAMS`, part of [`Config`].
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) version: u32,
    pub(super) mode: u32,
    pub(super) qp_inter_p: u32,
    pub(super) qp_inter_b: u32,
    pub(super) qp_intra: u32,
    pub(super) more: [u32; 27],
}

structure!(Config, grown_version(7), 3584, [gop_length = 20, rate = 40, codec = 168], {
    profile: Guid,
    gop_length: u32,
    frame_interval: i32,
    more: [u32; 3],
    rate: Rate,
    /// `NV_ENC_CONFIG_H264` or `NV_ENC_CONFIG_HEVC`, in words.
    codec: [u32; 448],
    reserved: [u32; 406],
});

structure!(PresetConfig, grown_version(4), 5128, [config = 8], {
    config: Config,
    reserved: [u32; 384],
});

structure!(Initialize, grown_version(5), 1808, [width = 36, config = 88, tuning = 136], {
    codec: Guid,
    preset: Guid,
    width: u32,
    height: u32,
    aspect_width: u32,
    aspect_height: u32,
    frame_rate: u32,
    frame_rate_divisor: u32,
    is_async: u32,
    decides_types: u32,
    more: [u32; 3],
    private: *mut c_void,
    config: *mut Config,
    width_max: u32,
    height_max: u32,
    hints: [u32; 8],
    tuning: u32,
    format: u32,
    reserved: [u32; 287],
    reserved2: [*mut c_void; 64],
});

structure!(Reconfigure, grown_version(1), 1824, [initialize = 8, bits = 1816], {
    initialize: Initialize,
    bits: u32,
});

structure!(CreateInput, version(1), 776, [format = 16, buffer = 24], {
    width: u32,
    height: u32,
    heap: u32,
    format: u32,
    reserved: u32,
    buffer: *mut c_void,
    system: *mut c_void,
    reserved1: [u32; 57],
    reserved2: [*mut c_void; 63],
});

structure!(CreateBitstream, version(1), 776, [buffer = 16], {
    size: u32,
    heap: u32,
    reserved: u32,
    buffer: *mut c_void,
    pointer: *mut c_void,
    reserved1: [u32; 58],
    reserved2: [*mut c_void; 64],
});

structure!(LockInput, version(1), 1544, [buffer = 8, data = 16, pitch = 24], {
    bits: u32,
    buffer: *mut c_void,
    data: *mut c_void,
    pitch: u32,
    reserved1: [u32; 251],
    reserved2: [*mut c_void; 64],
});

structure!(LockBitstream, version(1), 1544, [buffer = 8, size = 36, data = 56, kind = 64], {
    bits: u32,
    buffer: *mut c_void,
    slice_offsets: *mut u32,
    frame: u32,
    status: u32,
    slices: u32,
    size: u32,
    time: u64,
    duration: u64,
    data: *mut c_void,
    kind: u32,
    structure: u32,
    mean_qp: u32,
    more: [u32; 239],
    reserved2: [*mut c_void; 64],
});

structure!(PictureParams, grown_version(4), 3344, [flags = 16, input = 40, format = 64, codec = 80], {
    width: u32,
    height: u32,
    pitch: u32,
    flags: u32,
    frame: u32,
    time: u64,
    duration: u64,
    input: *mut c_void,
    output: *mut c_void,
    event: *mut c_void,
    format: u32,
    structure: u32,
    kind: u32,
    codec: [u64; 192],
    more: [u64; 216],
});

/// A function of one session and one structure.
type Call<T> = Option<unsafe extern "C" fn(*mut c_void, *mut T) -> Status>;
/// A function of one session and one buffer or nothing.
type CallOn = Option<unsafe extern "C" fn(*mut c_void, *mut c_void) -> Status>;

structure!(Functions, version(2), 2552,
    [initialize = 96, encode = 136, destroy_encoder = 224, open_session = 240, reconfigure = 264,
     last_error = 304, preset_config = 320], {
    reserved: u32,
    unused: usize,
    codec_count: Call<u32>,
    unused2: [usize; 2],
    codecs: Option<unsafe extern "C" fn(*mut c_void, *mut Guid, u32, *mut u32) -> Status>,
    unused3: [usize; 6],
    initialize: Call<Initialize>,
    create_input: Call<CreateInput>,
    destroy_input: CallOn,
    create_bitstream: Call<CreateBitstream>,
    destroy_bitstream: CallOn,
    encode: Call<PictureParams>,
    lock_bitstream: Call<LockBitstream>,
    unlock_bitstream: CallOn,
    lock_input: Call<LockInput>,
    unlock_input: CallOn,
    unused4: [usize; 6],
    destroy_encoder: Option<unsafe extern "C" fn(*mut c_void) -> Status>,
    unused5: usize,
    open_session: Option<unsafe extern "C" fn(*mut OpenSession, *mut *mut c_void) -> Status>,
    unused6: [usize; 2],
    reconfigure: Call<Reconfigure>,
    unused7: [usize; 4],
    last_error: Option<unsafe extern "C" fn(*mut c_void) -> *const c_char>,
    unused8: usize,
    preset_config:
        Option<unsafe extern "C" fn(*mut c_void, Guid, Guid, u32, *mut PresetConfig) -> Status>,
    unused9: [usize; 278],
});

/// Words of `NV_ENC_CONFIG_H264` or `NV_ENC_CONFIG_HEVC`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    /// Its bit fields, and the bit by which parameter sets come with each key frame.
    pub(super) bits: usize,
    pub(super) repeats_headers: u32,
    pub(super) idr_period: usize,
    pub(super) references: usize,
    pub(super) slice_mode: usize,
    pub(super) slices: usize,
    /// `NV_ENC_CONFIG_H264_VUI_PARAMETERS`, the same in both.
    pub(super) colours: usize,
}

pub(super) const WORDS_H264: Words = Words {
    bits: 0,
    repeats_headers: 1 << 12,
    idr_period: 2,
    references: 15,
    slice_mode: 16,
    slices: 17,
    colours: 18,
};

pub(super) const WORDS_HEVC: Words = Words {
    bits: 4,
    repeats_headers: 1 << 7,
    idr_period: 5,
    references: 8,
    slice_mode: 13,
    slices: 14,
    colours: 16,
};

/// Words from [`Words::colours`] on.
pub(super) mod colours {
    pub(in super::super) const SIGNAL_TYPE_PRESENT: usize = 2;
    pub(in super::super) const FORMAT: usize = 3;
    pub(in super::super) const FULL_RANGE: usize = 4;
    pub(in super::super) const DESCRIPTION_PRESENT: usize = 5;
    pub(in super::super) const PRIMARIES: usize = 6;
    pub(in super::super) const TRANSFER: usize = 7;
    pub(in super::super) const MATRIX: usize = 8;
}

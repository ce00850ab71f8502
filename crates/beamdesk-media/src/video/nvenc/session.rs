//! One encoder of a card: opened, set up, fed, closed.

use std::ffi::{CStr, c_void};
use std::ptr::null_mut;
use std::sync::Arc;

use super::api::{
    BUFFER_FORMAT_NV12, Config, CreateBitstream, CreateInput, DEVICE_TYPE_CUDA, Guid, Initialize,
    LockBitstream, LockInput, NO_ENCODE_DEVICE, OpenSession, PIC_FLAG_FORCEIDR,
    PIC_FLAG_OUTPUT_SPSPPS, PIC_STRUCT_FRAME, PIC_TYPE_IDR, PRESET_P3, PictureParams, PresetConfig,
    Reconfigure, SUCCESS, Status, TUNING_ULTRA_LOW_LATENCY, UNSUPPORTED_DEVICE, VERSION, Versioned,
};
use super::driver::{Driver, done};

/// Codecs that a card may have; there are three.
const CODECS_MAX: usize = 16;
/// Nothing follows from it, for the quantiser is set by itself.
const FRAME_RATE: u32 = 60;

type Result<T> = std::result::Result<T, String>;

/// Calls one of the driver's functions with this session.
macro_rules! call {
    ($session:expr, $function:ident $(, $argument:expr)*) => {{
        let session = &$session;
        match session.driver.functions.$function {
            // SAFETY: the session is open, and the argument is what the function takes: a structure
            // of the version that it says, or a buffer of this session.
            Some(function) => session.done(unsafe { function(session.handle $(, $argument)*) }),
            None => Err(concat!("the driver lacks ", stringify!($function)).to_owned()),
        }
    }};
}

#[derive(Debug)]
pub(super) struct Session {
    driver: Arc<Driver>,
    card: usize,
    handle: *mut c_void,
    input: *mut c_void,
    output: *mut c_void,
    /// As it was started, for changes; its pointers are set anew each time.
    initialize: Box<Initialize>,
    config: Box<Config>,
    frames: u32,
}

// SAFETY: no thread owns any of it, and one thread at a time uses it, by `&mut`.
unsafe impl Send for Session {}

/// What a session is to encode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub(super) codec: Guid,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Session {
    /// `set` changes the defaults.
    pub(super) fn open(
        driver: &Arc<Driver>,
        card: usize,
        shape: Shape,
        set: impl FnOnce(&mut Config),
    ) -> Result<Self> {
        driver.with(card, || {
            let mut session = Self {
                handle: open(driver, card)?,
                driver: Arc::clone(driver),
                card,
                input: null_mut(),
                output: null_mut(),
                initialize: Box::new(Initialize::new()),
                config: Box::new(Config::new()),
                frames: 0,
            };
            session.expect_codec(shape.codec)?;
            session.start(shape, set)?;
            session.make_buffers(shape)?;
            Ok(session)
        })
    }

    fn expect_codec(&self, codec: Guid) -> Result<()> {
        let mut codecs = [codec; CODECS_MAX];
        let (mut count, room) = (0_u32, u32::try_from(CODECS_MAX).unwrap_or(0));
        call!(self, codecs, codecs.as_mut_ptr(), room, &raw mut count)?;
        let count = usize::try_from(count).unwrap_or(0).min(CODECS_MAX);
        if codecs[..count].contains(&codec) {
            Ok(())
        } else {
            Err("the card does not encode this format".to_owned())
        }
    }

    fn start(&mut self, shape: Shape, set: impl FnOnce(&mut Config)) -> Result<()> {
        let mut preset = Box::new(PresetConfig::new());
        preset.config.version = Config::VERSION;
        let tuning = TUNING_ULTRA_LOW_LATENCY;
        call!(self, preset_config, shape.codec, PRESET_P3, tuning, &raw mut *preset)?;
        *self.config = preset.config;
        self.config.version = Config::VERSION;
        set(&mut self.config);
        *self.initialize = Initialize {
            codec: shape.codec,
            preset: PRESET_P3,
            tuning,
            width: shape.width,
            height: shape.height,
            aspect_width: shape.width,
            aspect_height: shape.height,
            frame_rate: FRAME_RATE,
            frame_rate_divisor: 1,
            decides_types: 1,
            config: &raw mut *self.config,
            ..Initialize::new()
        };
        let initialize = &raw mut *self.initialize;
        call!(self, initialize, initialize)
    }

    fn make_buffers(&mut self, shape: Shape) -> Result<()> {
        let mut input = Box::new(CreateInput {
            width: shape.width,
            height: shape.height,
            format: BUFFER_FORMAT_NV12,
            ..CreateInput::new()
        });
        call!(self, create_input, &raw mut *input)?;
        self.input = input.buffer;
        let mut output = Box::new(CreateBitstream::new());
        call!(self, create_bitstream, &raw mut *output)?;
        self.output = output.buffer;
        Ok(())
    }

    /// For the frames that follow, without a new start.
    pub(super) fn change(&mut self, set: impl FnOnce(&mut Config)) -> Result<()> {
        set(&mut self.config);
        self.initialize.config = &raw mut *self.config;
        let mut change =
            Box::new(Reconfigure { initialize: *self.initialize, ..Reconfigure::new() });
        let driver = Arc::clone(&self.driver);
        driver.with(self.card, || call!(self, reconfigure, &raw mut *change))
    }

    /// Gives the bitstream of a picture and whether it is a key frame. `fill` gets the rows of the
    /// picture, and after them those of the colours, each so many bytes long.
    pub(super) fn encode(
        &mut self,
        rows: usize,
        is_key: bool,
        fill: impl FnOnce(&mut [u8], usize),
    ) -> Result<(Vec<u8>, bool)> {
        let driver = Arc::clone(&self.driver);
        driver.with(self.card, || {
            let pitch = self.fill(rows, fill)?;
            self.submit(pitch, is_key)?;
            self.frames = self.frames.wrapping_add(1);
            self.take()
        })
    }

    fn fill(&mut self, rows: usize, fill: impl FnOnce(&mut [u8], usize)) -> Result<u32> {
        let mut lock = Box::new(LockInput { buffer: self.input, ..LockInput::new() });
        call!(self, lock_input, &raw mut *lock)?;
        let pitch = usize::try_from(lock.pitch).unwrap_or(0);
        let is_there = !lock.data.is_null() && lock.pitch >= self.initialize.width;
        if is_there {
            // SAFETY: locked, so it is memory for this many rows of NV12, ours until it is unlocked.
            fill(unsafe { std::slice::from_raw_parts_mut(lock.data.cast(), pitch * rows) }, pitch);
        }
        call!(self, unlock_input, self.input)?;
        if is_there { Ok(lock.pitch) } else { Err("no memory for the picture".to_owned()) }
    }

    fn submit(&mut self, pitch: u32, is_key: bool) -> Result<()> {
        let mut picture = Box::new(PictureParams {
            width: self.initialize.width,
            height: self.initialize.height,
            pitch,
            flags: if is_key { PIC_FLAG_FORCEIDR | PIC_FLAG_OUTPUT_SPSPPS } else { 0 },
            frame: self.frames,
            time: self.frames.into(),
            input: self.input,
            output: self.output,
            format: BUFFER_FORMAT_NV12,
            structure: PIC_STRUCT_FRAME,
            ..PictureParams::new()
        });
        // "More input needed" is a failure too: nothing may be held back.
        call!(self, encode, &raw mut *picture)
    }

    fn take(&mut self) -> Result<(Vec<u8>, bool)> {
        let mut lock = Box::new(LockBitstream { buffer: self.output, ..LockBitstream::new() });
        call!(self, lock_bitstream, &raw mut *lock)?;
        let size = usize::try_from(lock.size).unwrap_or(0);
        let bytes = if lock.data.is_null() {
            Vec::new()
        } else {
            // SAFETY: locked, so it is so many bytes until it is unlocked.
            unsafe { std::slice::from_raw_parts(lock.data.cast::<u8>(), size) }.to_vec()
        };
        call!(self, unlock_bitstream, self.output)?;
        if bytes.is_empty() {
            return Err("a frame of nothing".to_owned());
        }
        Ok((bytes, lock.kind == PIC_TYPE_IDR))
    }

    fn done(&self, status: Status) -> Result<()> {
        if status == SUCCESS {
            return Ok(());
        }
        let said = self.driver.functions.last_error.and_then(|last_error| {
            // SAFETY: the session is open; it gives null or a string of its own.
            let text = unsafe { last_error(self.handle) };
            // SAFETY: not null, so it is a string that ends with a zero.
            (!text.is_null())
                .then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
        });
        match said {
            Some(said) if !said.is_empty() => Err(format!("code {status}: {said}")),
            Some(_) | None => Err(format!("code {status}")),
        }
    }

    fn close(&mut self) -> Result<()> {
        let driver = Arc::clone(&self.driver);
        driver.with(self.card, || {
            // All of them, even when one fails.
            let is_there = |buffer: *mut c_void| !buffer.is_null();
            let input =
                if is_there(self.input) { call!(self, destroy_input, self.input) } else { Ok(()) };
            let output = if is_there(self.output) {
                call!(self, destroy_bitstream, self.output)
            } else {
                Ok(())
            };
            input.and(output).and(call!(self, destroy_encoder))
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(error, "Could not end a video encoder");
        }
    }
}

fn open(driver: &Driver, card: usize) -> Result<*mut c_void> {
    let Some(open_session) = driver.functions.open_session else {
        return Err("the driver lacks open_session".to_owned());
    };
    let mut open = Box::new(OpenSession {
        device_type: DEVICE_TYPE_CUDA,
        device: driver.context(card),
        api_version: VERSION,
        ..OpenSession::new()
    });
    let mut handle = null_mut();
    // SAFETY: reads one structure of the version that it says, and writes one pointer.
    match unsafe { open_session(&raw mut *open, &raw mut handle) } {
        NO_ENCODE_DEVICE | UNSUPPORTED_DEVICE => Err("the card has no encoder".to_owned()),
        status => done(status, "no session: too many at once, or no right to it").and_then(|()| {
            if handle.is_null() { Err("no session".to_owned()) } else { Ok(handle) }
        }),
    }
}

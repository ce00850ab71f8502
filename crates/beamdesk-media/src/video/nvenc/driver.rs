//! The two libraries of NVIDIA's driver, found when they are asked for.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::null_mut;

use super::api::{Functions, SUCCESS, Status, VERSION_NEEDED, Versioned};

/// Of the libraries; both come with the driver, the second often in a package of its own.
pub(super) const CUDA: &CStr = c"libcuda.so.1";
pub(super) const ENCODE: &CStr = c"libnvidia-encode.so.1";

/// More cards than this are not tried.
const CARDS_MAX: c_int = 8;

type Result<T> = std::result::Result<T, String>;
type Context = *mut c_void;

/// Both libraries, loaded for good: the driver has threads of its own.
#[derive(Debug)]
pub(super) struct Driver {
    pub(super) functions: Functions,
    cuda: Cuda,
    /// One for each card, shared by all encoders of this process.
    contexts: Vec<Context>,
}

// SAFETY: functions and contexts may be used by any thread, which is what contexts are for.
unsafe impl Send for Driver {}
// SAFETY: as above; nothing in it changes.
unsafe impl Sync for Driver {}

#[derive(Debug, Clone, Copy)]
struct Cuda {
    push: unsafe extern "C" fn(Context) -> Status,
    pop: unsafe extern "C" fn(*mut Context) -> Status,
}

impl Driver {
    pub(super) fn load(cuda: &CStr, encode: &CStr) -> Result<Self> {
        let cuda = Library::open(cuda)?;
        let encode = Library::open(encode)?;
        Ok(Self {
            functions: functions(&encode)?,
            contexts: contexts(&cuda)?,
            cuda: Cuda {
                // SAFETY: this name has this type.
                push: unsafe { cuda.function(c"cuCtxPushCurrent_v2")? },
                // SAFETY: this name has this type.
                pop: unsafe { cuda.function(c"cuCtxPopCurrent_v2")? },
            },
        })
    }

    pub(super) fn cards(&self) -> usize {
        self.contexts.len()
    }

    pub(super) fn context(&self, card: usize) -> Context {
        self.contexts[card]
    }

    /// Does something while this thread works with a card.
    pub(super) fn with<T>(&self, card: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
        // SAFETY: a context that lives as long as the process.
        done(unsafe { (self.cuda.push)(self.contexts[card]) }, "the card is lost")?;
        let result = work();
        let mut popped = null_mut();
        // SAFETY: takes off what was pushed above.
        done(unsafe { (self.cuda.pop)(&raw mut popped) }, "the card is lost")?;
        result
    }
}

/// The contexts that the process has of each card.
fn contexts(cuda: &Library) -> Result<Vec<Context>> {
    type Init = unsafe extern "C" fn(c_uint) -> Status;
    type Count = unsafe extern "C" fn(*mut c_int) -> Status;
    type Device = unsafe extern "C" fn(*mut c_int, c_int) -> Status;
    type Retain = unsafe extern "C" fn(*mut Context, c_int) -> Status;
    // SAFETY: this name has this type.
    let init: Init = unsafe { cuda.function(c"cuInit")? };
    // SAFETY: this name has this type.
    let device_count: Count = unsafe { cuda.function(c"cuDeviceGetCount")? };
    // SAFETY: this name has this type.
    let device: Device = unsafe { cuda.function(c"cuDeviceGet")? };
    // SAFETY: this name has this type.
    let retain: Retain = unsafe { cuda.function(c"cuDevicePrimaryCtxRetain")? };
    // SAFETY: has no condition.
    done(unsafe { init(0) }, "the driver does not start")?;
    let mut count = 0;
    // SAFETY: writes one number.
    done(unsafe { device_count(&raw mut count) }, "the driver does not count cards")?;
    let mut contexts = Vec::new();
    for index in 0..count.min(CARDS_MAX) {
        let (mut number, mut context) = (0, null_mut());
        // SAFETY: writes one number.
        done(unsafe { device(&raw mut number, index) }, "a card is not there")?;
        // SAFETY: writes one pointer.
        let status = unsafe { retain(&raw mut context, number) };
        // One card may be taken by somebody else for himself.
        if status == SUCCESS && !context.is_null() {
            contexts.push(context);
        }
    }
    if contexts.is_empty() { Err("no card can be used".to_owned()) } else { Ok(contexts) }
}

fn functions(encode: &Library) -> Result<Functions> {
    type Newest = unsafe extern "C" fn(*mut u32) -> Status;
    type Create = unsafe extern "C" fn(*mut Functions) -> Status;
    // SAFETY: this name has this type.
    let newest: Newest = unsafe { encode.function(c"NvEncodeAPIGetMaxSupportedVersion")? };
    // SAFETY: this name has this type.
    let create: Create = unsafe { encode.function(c"NvEncodeAPICreateInstance")? };
    let mut version = 0;
    // SAFETY: writes one number.
    done(unsafe { newest(&raw mut version) }, "the driver does not tell its version")?;
    if version < VERSION_NEEDED {
        let (major, minor) = (version >> 4, version & 15);
        return Err(format!("the driver is too old: {major}.{minor}"));
    }
    let mut functions = Functions::new();
    // SAFETY: fills one structure, of the version that it says.
    done(unsafe { create(&raw mut functions) }, "the driver gives no functions")?;
    Ok(functions)
}

pub(super) fn done(status: Status, failure: &str) -> Result<()> {
    if status == SUCCESS { Ok(()) } else { Err(format!("{failure}, code {status}")) }
}

/// A library that stays loaded.
struct Library(*mut c_void);

impl Library {
    fn open(name: &CStr) -> Result<Self> {
        // SAFETY: runs the start of a library that belongs to the driver.
        let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        if handle.is_null() {
            return Err(loader_says().unwrap_or_else(|| format!("no {}", name.to_string_lossy())));
        }
        Ok(Self(handle))
    }

    /// # Safety
    ///
    /// `T` must be the type of the function with this name.
    unsafe fn function<T: Copy>(&self, name: &CStr) -> Result<T> {
        const { assert!(size_of::<T>() == size_of::<*mut c_void>()) };
        // SAFETY: a library that is loaded.
        let symbol = unsafe { libc::dlsym(self.0, name.as_ptr()) };
        if symbol.is_null() {
            return Err(format!("the driver lacks {}", name.to_string_lossy()));
        }
        // SAFETY: both are one pointer, and of this type as the caller promises.
        Ok(unsafe { std::mem::transmute_copy(&symbol) })
    }
}

fn loader_says() -> Option<String> {
    // SAFETY: gives a string of the loader's, good until this thread's next call, or null.
    let text: *const c_char = unsafe { libc::dlerror() };
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, so it is such a string.
    let text: CString = unsafe { CStr::from_ptr(text) }.to_owned();
    Some(text.to_string_lossy().into_owned())
}

/// A function without arguments.
#[cfg(test)]
pub(super) fn call_for_tests(library: &CStr, name: &CStr) -> c_int {
    type Ask = unsafe extern "C" fn() -> c_int;
    // SAFETY: the tests name a function of this type.
    let ask: Ask = unsafe { Library::open(library).unwrap().function(name).unwrap() };
    // SAFETY: has no condition.
    unsafe { ask() }
}

//! Memory shared with the X server, into which it copies pixels.
#![expect(unsafe_code, reason = "memory that another process writes to has no safe form")]

use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use x11rb::connection::Connection;
use x11rb::protocol::shm::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;
use x11rb::utils::RawFdContainer;

use crate::error::CaptureError;

/// A sealed piece of memory, mapped for reading here and known to the X server.
#[derive(Debug)]
pub(super) struct Segment {
    id: u32,
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to this value alone, and nothing in it is tied to a thread.
unsafe impl Send for Segment {}

impl Segment {
    pub(super) fn attach(connection: &RustConnection, length: usize) -> Result<Self, CaptureError> {
        let system = || CaptureError::system("shared memory");
        let fd = memory(length).map_err(system())?;
        // SAFETY: asks for a new mapping at an address of the kernel's choice, so that no memory in
        // use is touched. It outlives the descriptor, and only `drop` ends it.
        let start = unsafe {
            mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, fd.as_fd(), 0)
        };
        let start = start.map_err(system())?;
        let start = NonNull::new(start.cast()).expect("a mapping is never at address 0");
        // From here on `drop` unmaps, whatever the X server says.
        let segment = Self { id: connection.generate_id()?, start, length };
        connection
            .shm_attach_fd(segment.id, RawFdContainer::from(fd), false)?
            .check()
            .map_err(CaptureError::refused("shared memory"))?;
        Ok(segment)
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Copies bytes out.
    ///
    /// # Panics
    ///
    /// If they are not all within the segment.
    #[inline]
    pub(super) fn read(&self, offset: usize, to: &mut [u8]) {
        let end = offset.checked_add(to.len());
        assert!(end.is_some_and(|end| end <= self.length), "outside of the shared memory");
        // SAFETY: not past the end of the mapping, as checked above.
        let from = unsafe { self.start.add(offset) };
        // SAFETY: both are valid for so many bytes: `from` as above, for the seals keep the memory
        // from shrinking under the mapping; `to` by its type. They cannot overlap, for `to` is
        // borrowed alone and no reference to the mapping exists. The X server writes only to answer
        // our own requests, and we read only between an answer and the next request.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), to.as_mut_ptr(), to.len()) };
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, of this length, and nothing refers to it any more.
        let result = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
        if let Err(error) = result {
            tracing::warn!(%error, "Could not unmap shared memory");
        }
    }
}

/// Memory whose size nobody can change any more.
fn memory(length: usize) -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create("beamdesk-picture", flags)?;
    ftruncate(&fd, u64::try_from(length).unwrap_or(u64::MAX))?;
    fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

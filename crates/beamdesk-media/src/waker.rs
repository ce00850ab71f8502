//! Ends a wait of a [`FrameSource`](crate::FrameSource) from another thread.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use crate::error::CaptureError;

/// Ends the wait under way, or the next one, at once; several wakes may count as one.
#[derive(Debug, Clone)]
pub struct Waker {
    event: Arc<OwnedFd>,
}

impl Waker {
    pub(crate) fn new() -> Result<Self, CaptureError> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(CaptureError::system("an eventfd"))?;
        Ok(Self { event: Arc::new(event) })
    }

    pub fn wake(&self) {
        // Fails only when the counter is full, and then the wait ends anyway.
        match rustix::io::write(&self.event, &1_u64.to_ne_bytes()) {
            Ok(_) | Err(_) => {}
        }
    }

    /// Whether somebody woke us since the last call.
    pub(crate) fn take(&self) -> Result<bool, CaptureError> {
        match rustix::io::read(&self.event, &mut [0; 8]) {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Err(error) => Err(CaptureError::system("reading an eventfd")(error)),
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

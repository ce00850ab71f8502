//! Sleeps until a descriptor can be read or a deadline has passed.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::CaptureError;

/// The clock of waits; everything else is told the time.
#[expect(clippy::disallowed_methods, reason = "the edge where waits meet the system's clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// True if one of them can be read; may also return early.
pub(crate) fn readable(
    fds: [BorrowedFd<'_>; 2],
    deadline: Option<Instant>,
) -> Result<bool, CaptureError> {
    let timeout = deadline.map(|deadline| {
        let left = deadline.saturating_duration_since(now());
        Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        }
    });
    let mut fds = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    match poll(&mut fds, timeout.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(CaptureError::system("waiting for the display")(error)),
    }
}

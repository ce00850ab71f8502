//! Signals to processes that may end at any moment, without ever hitting a stranger.

use std::{fs, io, os::fd::OwnedFd, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};

/// A handle on one process, or nothing if it has ended.
#[derive(Debug)]
pub(super) struct Process {
    fd: OwnedFd,
}

impl Process {
    /// `still_it` is asked after the process is held, so that a recycled id is seen.
    pub(super) fn hold(
        pid: Pid,
        still_it: impl FnOnce() -> io::Result<bool>,
    ) -> io::Result<Option<Self>> {
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => Ok(still_it()?.then_some(Self { fd })),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for its end. `false`: it still runs.
    pub(super) async fn ends_within(self, wait: Duration) -> io::Result<bool> {
        let wait = Timespec::try_from(wait).map_err(io::Error::other)?;
        let waiting = move || {
            // Readable means ended: pidfd_open(2).
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            retry_on_intr(|| poll(&mut fds, Some(&wait))).map(|count| count > 0)
        };
        Ok(tokio::task::spawn_blocking(waiting).await.map_err(io::Error::other)??)
    }
}

/// The first child of the sandbox's init: the agent. Later children of init are orphans of others.
pub(super) fn agent_of(init: Pid) -> io::Result<Option<Pid>> {
    let mut first: Option<(i32, Pid)> = None;
    for entry in fs::read_dir("/proc")? {
        let Ok(raw) = entry?.file_name().to_string_lossy().parse::<i32>() else { continue };
        let Some(pid) = Pid::from_raw(raw) else { continue };
        let Some((parent, inside)) = parent_and_inside(pid) else { continue };
        if parent == init.as_raw_nonzero().get() && first.is_none_or(|(lowest, _)| inside < lowest)
        {
            first = Some((inside, pid));
        }
    }
    Ok(first.map(|(_, pid)| pid))
}

/// A process's parent, and its own id in the innermost namespace. `None`: it has ended.
fn parent_and_inside(pid: Pid) -> Option<(i32, i32)> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let parent = field("PPid:")?.trim().parse().ok()?;
    let inside = field("NSpid:")?.split_whitespace().last()?.parse().ok()?;
    Some((parent, inside))
}

/// Whether `pid` is a child of `init` now.
pub(super) fn is_child_of(pid: Pid, init: Pid) -> bool {
    parent_and_inside(pid).is_some_and(|(parent, _)| parent == init.as_raw_nonzero().get())
}

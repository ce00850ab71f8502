//! Where viewers come in: a socket given by the sandbox, or one of our own.
#![expect(unsafe_code, reason = "a file descriptor given at start has no safe way to be taken")]

use std::{
    net::{SocketAddr, TcpListener},
    os::fd::{FromRawFd as _, OwnedFd, RawFd},
};

use rustix::{io::FdFlags, net::sockopt};

use crate::AgentError;

/// First of the descriptors handed over at start, as systemd's sd_listen_fds(3) has it.
const LISTEN_FD: RawFd = 3;

/// Takes the listening socket that whoever started this process left at descriptor 3.
///
/// To be called once, before anything else opens a file.
pub fn inherited() -> Result<TcpListener, AgentError> {
    // Something must be there before it can be owned: fcntl of a closed descriptor is an error.
    if !std::path::Path::new("/proc/self/fd/3").exists() {
        return Err(AgentError::NotListening);
    }
    // SAFETY: descriptor 3 is open, and by contract with the sandbox it is ours alone.
    let fd = unsafe { OwnedFd::from_raw_fd(LISTEN_FD) };
    if !sockopt::socket_acceptconn(&fd).unwrap_or(false) {
        return Err(AgentError::NotListening);
    }
    // The session's programs must not hold the door.
    rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)
        .map_err(|errno| AgentError::system("cannot keep the socket to ourselves")(errno.into()))?;
    Ok(TcpListener::from(fd))
}

pub fn bound(address: SocketAddr) -> Result<TcpListener, AgentError> {
    TcpListener::bind(address).map_err(AgentError::system("cannot listen"))
}

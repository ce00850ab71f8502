//! Starts a program as another user, in a group of its own, tied to its parent's life.
//!
//! What runs between `fork` and `exec` here may only make system calls: nothing is allocated.
#![expect(unsafe_code, reason = "fork, mount and setuid have no safe form")]

use std::{
    ffi::{CStr, CString},
    fs,
    io::{self, Write},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    ptr,
};

use rustix::{
    fs::{Mode, OFlags},
    io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd},
    process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit},
};
use tokio::process::Command;

/// How a program is started.
#[derive(Debug)]
pub(super) struct Launch {
    /// User and group to become; `None`: stay.
    pub(super) uid: Option<u32>,
    /// Further groups to be in, where a user is become: those of the desktop's cards.
    pub(super) groups: Vec<libc::gid_t>,
    /// `cgroup.procs` of the groups to join.
    pub(super) doors: Vec<fs::File>,
    pub(super) stage: Stage,
    /// Becomes descriptor 3.
    pub(super) listener: Option<OwnedFd>,
    /// Stays open under its own number.
    pub(super) status: Option<OwnedFd>,
}

/// Host paths that the program must be able to reach although its user may not.
///
/// As root, each is bound below a private `/tmp` in a mount namespace of the program's own, which
/// goes when the program does. Otherwise they are reached where they are.
#[derive(Debug, Default)]
pub(super) struct Stage {
    private: bool,
    props: Vec<Prop>,
}

#[derive(Debug)]
struct Prop {
    from: CString,
    to: CString,
    is_folder: bool,
    /// Opened in the child: a mount can only be bound within its own namespace.
    opened: Option<OwnedFd>,
}

impl Stage {
    pub(super) fn new(private: bool) -> Self {
        Self { private, props: Vec::new() }
    }

    /// Where the program will find `path`.
    pub(super) fn put(&mut self, path: &Path) -> io::Result<PathBuf> {
        if !self.private {
            return Ok(path.to_owned());
        }
        let is_folder = fs::metadata(path)?.is_dir();
        let place = format!("/tmp/{}", self.props.len());
        let from = CString::new(path.canonicalize()?.as_os_str().as_bytes())?;
        let to = CString::new(place.as_str())?;
        self.props.push(Prop { from, to, is_folder, opened: None });
        Ok(PathBuf::from(place))
    }
}

/// A command that starts `program` as told. It dies when the calling thread does.
pub(super) fn command(program: &Path, launch: Launch) -> io::Result<Command> {
    // Descriptor 3 is taken here, so that the one by which the standard library reports a failed
    // `exec` cannot be 3 and be overwritten.
    let reserved = fs::File::open("/dev/null")?;
    let listener = launch.listener.map(move_up).transpose()?;
    let (uid, doors, mut stage, status) = (launch.uid, launch.doors, launch.stage, launch.status);
    let groups = launch.groups;
    let parent = rustix::process::getpid();
    let mut command = Command::new(program);
    let before_exec = move || {
        let _held = &reserved;
        for door in &doors {
            rustix::io::write(door, b"0")?;
        }
        if stage.private {
            set_stage(&mut stage)?;
        }
        if let Some(uid) = uid {
            become_user(uid, &groups)?;
        }
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
        rustix::process::umask(Mode::from_raw_mode(0o022));
        // After the change of user, which clears it.
        set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() != Some(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        if let Some(status) = &status {
            fcntl_setfd(status, FdFlags::empty())?;
        }
        if let Some(listener) = &listener {
            duplicate(listener.as_raw_fd(), LISTENER_FD)?;
        }
        Ok(())
    };
    // SAFETY: the closure only makes system calls on values made before the fork; it neither
    // allocates nor takes locks.
    unsafe { command.pre_exec(before_exec) };
    Ok(command)
}

/// Gives a descriptor a number that cannot stand in the listener's way.
pub(super) fn move_up(fd: OwnedFd) -> io::Result<OwnedFd> {
    Ok(fcntl_dupfd_cloexec(fd, HIGH_FD)?)
}

/// Gives the program a session of its own, so that a signal to our terminal does not reach it.
pub(super) fn in_own_session(command: &mut Command) {
    let before_exec = || {
        rustix::process::setsid()?;
        Ok(())
    };
    // SAFETY: the closure makes one system call.
    unsafe { command.pre_exec(before_exec) };
}

fn set_stage(stage: &mut Stage) -> io::Result<()> {
    // SAFETY: no pointers; changes the mount namespace of this single-threaded child only.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    // What we mount must not reach the host; what the host unmounts should reach us.
    mount(c"none", c"/", None, libc::MS_REC | libc::MS_SLAVE, None)?;
    // All is opened before the new `/tmp` may hide it.
    for prop in &mut stage.props {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        prop.opened = Some(rustix::fs::open(&prop.from, flags, Mode::empty())?);
    }
    let options = c"mode=0755,size=64k";
    mount(c"tmpfs", c"/tmp", Some(c"tmpfs"), libc::MS_NOSUID | libc::MS_NODEV, Some(options))?;
    for prop in &stage.props {
        if prop.is_folder {
            rustix::fs::mkdir(&prop.to, Mode::from_raw_mode(0o755))?;
        } else {
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::open(&prop.to, flags, Mode::from_raw_mode(0o644))?;
        }
        let Some(opened) = &prop.opened else { continue };
        let mut buffer = [0; FD_PATH_BYTES];
        let from = fd_path(opened.as_raw_fd(), &mut buffer)?;
        mount(from, &prop.to, None, libc::MS_BIND | libc::MS_REC, None)?;
    }
    Ok(())
}

/// `/proc/self/fd/N`, made without allocating.
fn fd_path(fd: RawFd, buffer: &mut [u8; FD_PATH_BYTES]) -> io::Result<&CStr> {
    // Keeps the last byte zero.
    write!(&mut buffer[..FD_PATH_BYTES - 1], "/proc/self/fd/{fd}")?;
    CStr::from_bytes_until_nul(buffer).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn mount(
    source: &CStr,
    target: &CStr,
    kind: Option<&CStr>,
    flags: libc::c_ulong,
    options: Option<&CStr>,
) -> io::Result<()> {
    let kind = kind.map_or(ptr::null(), CStr::as_ptr);
    let options = options.map_or(ptr::null(), |text| text.as_ptr().cast());
    // SAFETY: all pointers are null or to texts that end in zero and outlive the call.
    check(unsafe { libc::mount(source.as_ptr(), target.as_ptr(), kind, flags, options) })
}

/// User, group and no other groups than these, for good.
fn become_user(uid: u32, groups: &[libc::gid_t]) -> io::Result<()> {
    // SAFETY: reads as many numbers as there are.
    check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::setresgid(uid, uid, uid) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::setresuid(uid, uid, uid) })
}

fn duplicate(from: RawFd, to: RawFd) -> io::Result<()> {
    // SAFETY: only numbers; descriptor `to` is the reserved one or a stranger's, in a child that
    // is about to become another program.
    match unsafe { libc::dup2(from, to) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn check(returned: libc::c_int) -> io::Result<()> {
    if returned == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const LISTENER_FD: RawFd = 3;
/// The path's 14 bytes, a number of at most 11, and zero.
const FD_PATH_BYTES: usize = 26;
const HIGH_FD: RawFd = 10;

//! The program in `contrib/x264` and the talk with it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use super::{NAME, failed};
use crate::poll;
use crate::video::planes::{Planes, even};
use crate::video::{Packet, VideoError};

/// A start takes 10 ms; this is for a machine that is short of everything.
const START_TIME: Duration = Duration::from_secs(5);

/// A frame takes 10 to 60 ms; after this long, something else must show the picture.
const FRAME_TIME: Duration = Duration::from_secs(2);

/// Slices that are worth their bits at the sizes of a screen.
const THREADS_MAX: usize = 4;

/// Headers of a stream and of its slices; what is without loss may come out larger than it was.
const HEADERS_MAX: usize = 64 * 1024;

/// A reason longer than this is none that the program would give.
const REASON_MAX: usize = 200;

const REQUEST: [u8; 4] = *b"BXrq";
const ANSWER: [u8; 4] = *b"BXan";
const ANSWER_BYTES: usize = 16;
const KEY: u32 = 1;
const FAULT: u32 = 2;

/// A running program; ends with this value.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    socket: UnixStream,
    /// One picture, which the program has mapped.
    picture: File,
    /// More than that is no picture.
    answer_max: usize,
    /// After a failure there is no telling what the next bytes mean.
    is_lost: bool,
}

impl Process {
    /// Gives back when the program is ready for planes of the same shape as these.
    pub(super) fn start(program: &Path, mode: &str, planes: &Planes) -> Result<Self, VideoError> {
        let missing = |error: io::Error| VideoError::Missing { name: NAME, why: error.to_string() };
        let length: usize = (0..3).map(|index| planes.plane(index).0.len()).sum();
        let picture = memory(length).map_err(missing)?;
        let (socket, theirs) = UnixStream::pair().map_err(missing)?;
        let (stride, chroma_stride) = (planes.plane(0).1, planes.plane(1).1);
        let threads = available_parallelism().map_or(1, |cores| cores.get().min(THREADS_MAX));
        let numbers = [even(planes.width()), even(planes.height()), stride, chroma_stride, threads];
        let child = Command::new(program)
            .arg(mode)
            .args(numbers.map(|number| number.to_string()))
            .env_clear()
            .current_dir("/")
            .stdin(picture.try_clone().map_err(missing)?)
            .stdout(OwnedFd::from(theirs))
            .stderr(Stdio::null())
            .spawn()
            .map_err(missing)?;
        let answer_max = 2 * length + HEADERS_MAX;
        let mut process = Self { child, socket, picture, answer_max, is_lost: false };
        process.answer(poll::now() + START_TIME)?;
        Ok(process)
    }

    pub(super) fn encode(
        &mut self,
        planes: &Planes,
        is_key: bool,
        quantiser: u8,
    ) -> Result<Packet, VideoError> {
        if self.is_lost {
            return Err(failed("lost before"));
        }
        let packet = self
            .request(planes, is_key, quantiser)
            .map_err(|error| failed(error.to_string()))
            .and_then(|()| self.answer(poll::now() + FRAME_TIME))
            .and_then(|packet| {
                if packet.bytes.is_empty() {
                    Err(failed("a frame without bytes"))
                } else {
                    Ok(packet)
                }
            });
        self.is_lost = packet.is_err();
        packet
    }

    fn request(&mut self, planes: &Planes, is_key: bool, quantiser: u8) -> io::Result<()> {
        let mut offset = 0;
        for index in 0..3 {
            let (bytes, _) = planes.plane(index);
            self.picture.write_all_at(bytes, offset)?;
            offset += u64::try_from(bytes.len()).map_err(io::Error::other)?;
        }
        let mut request = REQUEST.to_vec();
        request.extend(if is_key { KEY } else { 0 }.to_le_bytes());
        request.extend(u32::from(quantiser).to_le_bytes());
        // So few bytes fit the socket's buffer, which is empty between frames.
        self.socket.write_all(&request)
    }

    fn answer(&mut self, deadline: Instant) -> Result<Packet, VideoError> {
        let mut head = [0; ANSWER_BYTES];
        self.read(&mut head, deadline)?;
        let number =
            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (flags, quantiser, length) = (number(4), number(8), number(12));
        let length = usize::try_from(length).map_err(|error| failed(error.to_string()))?;
        let is_fault = flags & FAULT != 0;
        let most = if is_fault { REASON_MAX } else { self.answer_max };
        if !head.starts_with(&ANSWER) || length > most {
            return Err(failed("an answer that is none"));
        }
        let mut bytes = vec![0; length];
        self.read(&mut bytes, deadline)?;
        if is_fault {
            return Err(failed(String::from_utf8_lossy(&bytes)));
        }
        let qp = u8::try_from(quantiser).map_err(|error| failed(error.to_string()))?;
        Ok(Packet { bytes, is_key: flags & KEY != 0, qp })
    }

    /// All of it, however it is cut up, or an error at the deadline.
    fn read(&mut self, mut to: &mut [u8], deadline: Instant) -> Result<(), VideoError> {
        while !to.is_empty() {
            let left = deadline.saturating_duration_since(poll::now());
            if left.is_zero() {
                return Err(failed("no answer in time"));
            }
            self.socket.set_read_timeout(Some(left)).map_err(|error| failed(error.to_string()))?;
            match self.socket.read(to) {
                Ok(0) => return Err(failed("it has ended")),
                Ok(count) => to = &mut to[count..],
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(failed(error.to_string())),
            }
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn child(&mut self) -> &mut Child {
        &mut self.child
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whether it listens or not: it holds nothing but what it was given.
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            tracing::warn!(%error, "Could not end the x264 process");
        }
    }
}

/// The deadline is looked at before each read.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// Memory whose size nobody can change any more.
fn memory(length: usize) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create("beamdesk-video", flags)?;
    ftruncate(&fd, u64::try_from(length).map_err(io::Error::other)?)?;
    fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(File::from(fd))
}

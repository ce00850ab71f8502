//! A thread for a viewer's video: it encodes while the engine goes on with what is newer.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use beamdesk_proto::control::VideoCodec;

use crate::geometry::Rect;
use crate::picture::Picture;
use crate::poll;
use crate::video::encoders::{Choice, Encoders};
use crate::video::{Packet, Planes, VideoEncoder, VideoError, VideoWish};
use crate::waker::Waker;

const NAME: &str = "video worker";
/// One is in work, none waits: what waited would be old.
const IN_WORK: usize = 1;

/// What one frame of video shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Another one than before, or another size of the region, starts a new encoder.
    pub choice: Choice,
    pub region: Rect,
    /// Goes through to [`Done`], as do `captured_us` and `tag`.
    pub mask: Vec<u8>,
    pub wish: VideoWish,
    pub captured_us: u64,
    pub tag: u64,
}

/// A frame that is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub job: Job,
    pub packet: Packet,
    pub codec: VideoCodec,
    /// Of the encoder.
    pub name: &'static str,
    /// From the engine's picture to planes, in the engine's thread.
    pub convert: Duration,
    pub encode: Duration,
}

/// Owns the encoder of one viewer. Its thread starts with the first job and ends when this is
/// dropped, after the frame in work.
#[derive(Debug)]
pub struct VideoWorker {
    encoders: Arc<Encoders>,
    waker: Waker,
    thread: Option<Thread>,
    /// Where the last frame's planes were, for the next one.
    spare: Option<Planes>,
    in_work: bool,
}

impl VideoWorker {
    /// `waker` is woken each time that a frame is there to [`take`](Self::take).
    pub fn start(encoders: Arc<Encoders>, waker: Waker) -> Self {
        Self { encoders, waker, thread: None, spare: None, in_work: false }
    }

    /// Whether it takes a job: none is in work, and the last one's frame was taken.
    pub fn is_idle(&self) -> bool {
        !self.in_work
    }

    /// Takes in the picture's region, and encodes it beside the caller. `false`: not idle, and
    /// nothing was done. A failure comes out of [`take`](Self::take).
    pub fn submit(&mut self, picture: &Picture, job: Job) -> bool {
        if self.in_work {
            return false;
        }
        self.in_work = true;
        let before = poll::now();
        let mut planes = self.planes(&job);
        planes.fill(picture, job.region);
        let convert = poll::now().saturating_duration_since(before);
        let thread = self.thread.take().or_else(|| self.spawn());
        let work = Work { planes, job, convert };
        // Without a thread nobody else would say that there is a result.
        match &thread {
            Some(thread) if thread.work.try_send(work).is_ok() => {}
            Some(_) | None => self.waker.wake(),
        }
        self.thread = thread;
        true
    }

    /// The frame in work, if it is finished. After an error its encoder is gone: the next job
    /// starts a new one.
    pub fn take(&mut self) -> Option<Result<Done, VideoError>> {
        if !self.in_work {
            return None;
        }
        let result = match self.thread.as_ref().map(|thread| thread.results.try_recv()) {
            Some(Err(TryRecvError::Empty)) => return None,
            Some(Ok((planes, result))) => {
                self.spare = Some(planes);
                result
            }
            Some(Err(TryRecvError::Disconnected)) => {
                self.thread = None;
                Err(failed("its thread ended"))
            }
            None => Err(failed("no thread")),
        };
        self.in_work = false;
        Some(result)
    }

    fn planes(&mut self, job: &Job) -> Planes {
        let (format, rect) = (job.choice.format(), job.region);
        let fits = |planes: &Planes| {
            planes.format() == format
                && (planes.width(), planes.height()) == (rect.width, rect.height)
        };
        let spare = self.spare.take().filter(fits);
        spare.unwrap_or_else(|| Planes::new(format, rect.width, rect.height))
    }

    fn spawn(&self) -> Option<Thread> {
        let (work, jobs) = sync_channel(IN_WORK);
        let (finished, results) = sync_channel(IN_WORK);
        let bench = Bench { encoders: Arc::clone(&self.encoders), current: None };
        let waker = WakeAtEnd(self.waker.clone());
        let run = move || {
            // Dropped in the other order: who is woken finds encoder and channel gone.
            let waker = waker;
            let finished = finished;
            let mut bench = bench;
            while let Ok(work) = jobs.recv() {
                if finished.send(bench.encode(work)).is_err() {
                    break;
                }
                waker.0.wake();
            }
        };
        let builder = std::thread::Builder::new().name("video".to_owned());
        // Not joined: a drop of the viewer must not wait for a frame that nobody wants.
        builder.spawn(run).ok().map(|_| Thread { work, results })
    }
}

#[derive(Debug)]
struct Thread {
    work: SyncSender<Work>,
    results: Receiver<(Planes, Result<Done, VideoError>)>,
}

#[derive(Debug)]
struct Work {
    planes: Planes,
    job: Job,
    convert: Duration,
}

/// Wakes also when the thread panics.
struct WakeAtEnd(Waker);

impl Drop for WakeAtEnd {
    fn drop(&mut self) {
        self.0.wake();
    }
}

/// The thread's side: the encoder and what it was opened for.
struct Bench {
    encoders: Arc<Encoders>,
    current: Option<(Choice, u16, u16, Box<dyn VideoEncoder>)>,
}

impl Bench {
    fn encode(&mut self, work: Work) -> (Planes, Result<Done, VideoError>) {
        let Work { planes, job, convert } = work;
        let before = poll::now();
        let result = self.packet(&planes, &job).map(|(packet, codec, name)| {
            let encode = poll::now().saturating_duration_since(before);
            Done { job, packet, codec, name, convert, encode }
        });
        if result.is_err() {
            self.current = None;
        }
        (planes, result)
    }

    fn packet(
        &mut self,
        planes: &Planes,
        job: &Job,
    ) -> Result<(Packet, VideoCodec, &'static str), VideoError> {
        let (choice, width, height) = (job.choice, job.region.width, job.region.height);
        let mut current = match self.current.take() {
            Some(current) if (current.0, current.1, current.2) == (choice, width, height) => {
                current
            }
            // The old one goes first: some cards have few at a time.
            Some(_) | None => (choice, width, height, self.encoders.open(choice, width, height)?),
        };
        let encoder = &mut current.3;
        let packet = encoder.encode(planes, job.wish)?;
        let (codec, name) = (encoder.codec(), encoder.name());
        self.current = Some(current);
        Ok((packet, codec, name))
    }
}

fn failed(why: &str) -> VideoError {
    VideoError::Failed { name: NAME, why: why.to_owned() }
}

#[cfg(test)]
mod tests;

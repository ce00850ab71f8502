//! The worker with encoders that do as they are told, and with a real one.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::geometry::PictureSize;
use crate::video::{EncoderName, PlaneFormat};

const PATIENCE: Duration = Duration::from_secs(20);
const BROKEN: Choice = Choice::new(EncoderName::Nvenc, VideoCodec::H264);
const PANICS: Choice = Choice::new(EncoderName::Nvenc, VideoCodec::Hevc);
const FAILS_AFTER: u8 = 2;

/// Gives the first byte of the first plane; ends after some frames as its choice says.
struct Fake {
    choice: Choice,
    frames: u8,
}

impl VideoEncoder for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn codec(&self) -> VideoCodec {
        self.choice.codec
    }

    fn format(&self) -> PlaneFormat {
        self.choice.format()
    }

    fn encode(&mut self, planes: &Planes, _: VideoWish) -> Result<Packet, VideoError> {
        self.frames += 1;
        if self.frames > FAILS_AFTER {
            assert!(self.choice != PANICS, "as it should");
            if self.choice == BROKEN {
                return Err(failed("the card is gone"));
            }
        }
        let is_key = self.frames == 1;
        Ok(Packet { bytes: vec![planes.plane(0).0[0]], is_key, qp: self.frames })
    }
}

struct Desk {
    worker: VideoWorker,
    waker: Waker,
    opened: Arc<AtomicUsize>,
    encoders: std::sync::Weak<Encoders>,
    tag: u64,
}

impl Desk {
    fn new() -> Self {
        let opened = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&opened);
        let encoders = Arc::new(Encoders::given(vec![BROKEN, PANICS], move |choice, _, _| {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(Fake { choice, frames: 0 }))
        }));
        let waker = Waker::new().unwrap();
        let weak = Arc::downgrade(&encoders);
        let worker = VideoWorker::start(encoders, waker.clone());
        Self { worker, waker, opened, encoders: weak, tag: 0 }
    }

    fn submit(&mut self, choice: Choice, width: u16) -> bool {
        self.tag += 1;
        let picture = Picture::black(PictureSize::new(256, 128).unwrap());
        let job = Job {
            choice,
            region: Rect { x: 0, y: 0, width, height: 64 },
            mask: vec![1],
            wish: VideoWish { bytes: 1000, is_key: false },
            captured_us: 7,
            tag: self.tag,
        };
        self.worker.submit(&picture, job)
    }

    /// Waits for the worker's waker, as an engine does.
    fn take(&mut self) -> Result<Done, VideoError> {
        let deadline = poll::now() + PATIENCE;
        while poll::now() < deadline {
            if let Some(result) = self.worker.take() {
                return result;
            }
            poll::readable([self.waker.fd(), self.waker.fd()], Some(deadline)).unwrap();
            self.waker.take().unwrap();
        }
        panic!("nobody woke us");
    }

    fn frame(&mut self, choice: Choice, width: u16) -> Result<Done, VideoError> {
        assert!(self.worker.is_idle());
        assert!(self.submit(choice, width));
        self.take()
    }
}

#[test]
fn a_frame_comes_back_with_its_job() {
    let mut desk = Desk::new();
    assert!(desk.worker.take().is_none());
    let done = desk.frame(Choice::OPENH264, 128).unwrap();
    assert_eq!((done.job.tag, done.job.mask.as_slice(), done.job.captured_us), (1, &[1][..], 7));
    assert!(done.packet.is_key);
    assert!(desk.worker.is_idle() && desk.worker.take().is_none());
}

#[test]
fn a_second_job_is_refused_until_the_first_was_taken() {
    let mut desk = Desk::new();
    assert!(desk.submit(Choice::OPENH264, 128));
    assert!(!desk.submit(Choice::OPENH264, 128));
    assert!(!desk.worker.is_idle());
    assert_eq!(desk.take().unwrap().job.tag, 1);
    assert_eq!(desk.frame(Choice::OPENH264, 128).unwrap().job.tag, 3);
}

#[test]
fn another_size_or_choice_opens_another_encoder_and_nothing_else_does() {
    let mut desk = Desk::new();
    let widths = [128, 128, 192, 192, 128];
    let keys = widths.map(|width| desk.frame(Choice::OPENH264, width).unwrap().packet.is_key);
    assert_eq!(keys, [true, false, true, false, true]);
    assert!(desk.frame(BROKEN, 128).unwrap().packet.is_key);
    assert_eq!(desk.opened.load(Ordering::Relaxed), 4);
}

#[test]
fn a_lost_encoder_is_an_error_and_the_next_job_starts_a_new_one() {
    let mut desk = Desk::new();
    for _ in 0..FAILS_AFTER {
        desk.frame(BROKEN, 128).unwrap();
    }
    assert!(matches!(desk.frame(BROKEN, 128), Err(VideoError::Failed { .. })));
    assert!(desk.frame(Choice::OPENH264, 128).unwrap().packet.is_key);
    assert!(desk.frame(BROKEN, 128).unwrap().packet.is_key);
}

#[test]
fn an_encoder_that_panics_is_an_error_and_the_next_job_goes_on() {
    let mut desk = Desk::new();
    for _ in 0..FAILS_AFTER {
        desk.frame(PANICS, 128).unwrap();
    }
    assert!(matches!(desk.frame(PANICS, 128), Err(VideoError::Failed { .. })));
    assert!(desk.frame(Choice::OPENH264, 128).unwrap().packet.is_key);
}

#[test]
fn the_thread_ends_with_its_owner() {
    let mut desk = Desk::new();
    desk.frame(Choice::OPENH264, 128).unwrap();
    let Desk { worker, waker, encoders, .. } = desk;
    drop(worker);
    let deadline = poll::now() + PATIENCE;
    while encoders.upgrade().is_some() && poll::now() < deadline {
        poll::readable([waker.fd(), waker.fd()], Some(deadline)).unwrap();
        waker.take().unwrap();
    }
    assert!(encoders.upgrade().is_none(), "the thread still holds them");
}

#[test]
fn real_video_runs_through_sizes_as_a_window_is_dragged() {
    let encoders = Arc::new(Encoders::probe(crate::video::EncodersConfig::default()));
    let waker = Waker::new().unwrap();
    let worker = VideoWorker::start(encoders, waker.clone());
    let opened = Arc::default();
    let mut desk = Desk { worker, waker, opened, encoders: std::sync::Weak::new(), tag: 0 };
    for width in [64, 65, 127, 128, 191, 256] {
        let done = desk.frame(Choice::OPENH264, width).unwrap();
        assert!(done.packet.is_key && done.name == "openh264");
        assert!(!desk.frame(Choice::OPENH264, width).unwrap().packet.is_key);
    }
}

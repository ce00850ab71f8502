//! A source without a display: a picture that changes in a fixed order, the same in every run.

mod draw;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cursor::CursorImage;
use crate::detect::Detector;
use crate::error::CaptureError;
use crate::geometry::PictureSize;
use crate::picture::Picture;
use crate::pixels::Pixels;
use crate::poll;
use crate::source::{Event, FrameSource};
use crate::update::Update;
use crate::waker::Waker;

/// A picture that changes step by step: by [`Stepper::step`], and by itself if so asked. The
/// picture after a number of steps, at one size, is always the same.
#[derive(Debug)]
pub struct TestPattern {
    screen: Pixels,
    detector: Detector,
    steps_drawn: u64,
    stepper: Stepper,
    waker: Waker,
    period: Option<Duration>,
    next: Option<Instant>,
    is_muted: bool,
    sweeps: bool,
}

/// Makes the pattern change, from any thread.
#[derive(Debug, Clone)]
pub struct Stepper {
    steps: Arc<AtomicU64>,
    waker: Waker,
}

impl Stepper {
    pub fn step(&self) {
        self.steps.fetch_add(1, Ordering::AcqRel);
        self.waker.wake();
    }

    fn steps(&self) -> u64 {
        self.steps.load(Ordering::Acquire)
    }
}

impl TestPattern {
    pub fn new(size: PictureSize) -> Result<Self, CaptureError> {
        let stepper = Stepper { steps: Arc::default(), waker: Waker::new()? };
        Ok(Self {
            screen: draw::start(size),
            detector: Detector::new(size),
            steps_drawn: 0,
            stepper,
            waker: Waker::new()?,
            period: None,
            next: None,
            is_muted: false,
            sweeps: true,
        })
    }

    /// Also makes a step by itself each `period`.
    #[must_use]
    pub fn every(mut self, period: Duration) -> Self {
        self.period = Some(period);
        self
    }

    pub fn stepper(&self) -> Stepper {
        self.stepper.clone()
    }

    fn is_changed(&self) -> bool {
        self.sweeps || self.stepper.steps() > self.steps_drawn
    }
}

impl FrameSource for TestPattern {
    fn size(&self) -> PictureSize {
        self.screen.size()
    }

    fn size_max(&self) -> PictureSize {
        PictureSize::clamped(u32::MAX, u32::MAX)
    }

    fn resize(&mut self, size: PictureSize) -> Result<PictureSize, CaptureError> {
        self.screen = draw::start(size);
        for step in 0..self.steps_drawn {
            draw::step(&mut self.screen, step);
        }
        self.detector = Detector::new(size);
        self.sweeps = true;
        Ok(size)
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Result<Event, CaptureError> {
        loop {
            if self.waker.take()? {
                return Ok(Event::Woken);
            }
            self.stepper.waker.take()?;
            let now = poll::now();
            if let Some(period) = self.period
                && self.next.is_none_or(|next| next <= now)
            {
                self.stepper.steps.fetch_add(1, Ordering::AcqRel);
                self.next = Some(now + period);
            }
            if self.is_changed() && !self.is_muted {
                return Ok(Event::Changed);
            }
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(Event::TimedOut);
            }
            let until = [deadline, self.next].into_iter().flatten().min();
            poll::readable([self.waker.fd(), self.stepper.waker.fd()], until)?;
        }
    }

    fn mute(&mut self, muted: bool) {
        self.is_muted = muted;
    }

    fn capture(&mut self) -> Result<Option<Update>, CaptureError> {
        self.sweeps = false;
        let steps = self.stepper.steps();
        while self.steps_drawn < steps {
            draw::step(&mut self.screen, self.steps_drawn);
            self.steps_drawn += 1;
        }
        let screen = &self.screen;
        let tiles = 0..screen.size().grid().count();
        Ok(self.detector.take_in(tiles, |rect, y, row| {
            row.copy_from_slice(screen.row(rect, y));
        }))
    }

    fn sweep(&mut self) {
        self.sweeps = true;
    }

    fn picture(&self) -> &Picture {
        self.detector.picture()
    }

    fn cursor(&mut self) -> Result<CursorImage, CaptureError> {
        Ok(CursorImage::from_premultiplied((8, 8), (0, 0), &[0xff00_8080; 64]))
    }
}

//! A source without a display: a picture that changes in a fixed order, the same in every run.

mod draw;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cursor::CursorImage;
use crate::detect::Detector;
use crate::error::CaptureError;
use crate::geometry::{PictureSize, Rect};
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
    movie: Option<Movie>,
    is_muted: bool,
    sweeps: bool,
}

/// Beside a movie, other things are drawn with one step of so many.
const MIXED_EVERY: u64 = 7;

/// A picture in the picture that is new with each step.
#[derive(Debug, Clone, Copy)]
struct Movie {
    place: Rect,
    /// Steps that draw it.
    steps: u64,
}

/// Makes the pattern change, from any thread.
#[derive(Debug, Clone)]
pub struct Stepper {
    steps: Arc<AtomicU64>,
    movie_ended: Arc<AtomicBool>,
    waker: Waker,
}

impl Stepper {
    pub fn step(&self) {
        self.steps.fetch_add(1, Ordering::AcqRel);
        self.waker.wake();
    }

    /// Ends the movie: from here on it is as if there had been no more.
    pub fn end_movie(&self) {
        self.movie_ended.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn steps(&self) -> u64 {
        self.steps.load(Ordering::Acquire)
    }
}

impl TestPattern {
    pub fn new(size: PictureSize) -> Result<Self, CaptureError> {
        let stepper =
            Stepper { steps: Arc::default(), movie_ended: Arc::default(), waker: Waker::new()? };
        Ok(Self {
            screen: draw::start(size),
            detector: Detector::new(size),
            steps_drawn: 0,
            stepper,
            waker: Waker::new()?,
            period: None,
            next: None,
            movie: None,
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

    /// Steps draw a noisy movie into this rectangle, and other things seldom, until
    /// [`Stepper::end_movie`]; a period given with [`Self::every`] ends with it.
    #[must_use]
    pub fn movie(mut self, place: Rect) -> Self {
        self.movie = Some(Movie { place, steps: u64::MAX });
        self
    }

    pub fn stepper(&self) -> Stepper {
        self.stepper.clone()
    }

    fn movie_is_over(&mut self) -> bool {
        let Some(movie) = &mut self.movie else { return false };
        if movie.steps == u64::MAX && self.stepper.movie_ended.load(Ordering::Acquire) {
            movie.steps = self.stepper.steps();
        }
        movie.steps != u64::MAX
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
            draw(&mut self.screen, self.movie, step);
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
            let is_over = self.movie_is_over();
            if let Some(period) = self.period.filter(|_| !is_over)
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
            let next = self.next.filter(|_| !is_over);
            let until = [deadline, next].into_iter().flatten().min();
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
            draw(&mut self.screen, self.movie, self.steps_drawn);
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

fn draw(screen: &mut Pixels, movie: Option<Movie>, step: u64) {
    match movie {
        Some(movie) if step < movie.steps => {
            if step % MIXED_EVERY == MIXED_EVERY - 1 {
                draw::step(screen, step);
            }
            draw::movie(screen, movie.place, step);
        }
        Some(_) | None => draw::step(screen, step),
    }
}

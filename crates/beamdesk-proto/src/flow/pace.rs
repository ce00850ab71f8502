//! Frames a second: a bucket that forgives lateness, so that one late frame delays none after it.

use std::time::{Duration, Instant};

/// As the generic cell rate algorithm has it (ITU-T I.371): frames come at most `interval` apart in
/// the mean, and `slack` early at most.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the next frame would come if all came in time.
    next: Option<Instant>,
    slack: Duration,
}

impl Pace {
    pub(super) fn new(slack: Duration) -> Self {
        Self { next: None, slack }
    }

    /// No frame before this.
    pub(super) fn until(&self) -> Option<Instant> {
        self.next.and_then(|next| next.checked_sub(self.slack))
    }

    pub(super) fn is_early(&self, now: Instant) -> bool {
        self.until().is_some_and(|until| now < until)
    }

    /// A frame begins.
    pub(super) fn spend(&mut self, now: Instant, interval: Duration) {
        self.next = Some(self.next.map_or(now, |next| next.max(now)) + interval);
    }
}

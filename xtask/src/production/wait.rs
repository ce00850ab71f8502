//! Waiting for other programs, with a deadline.
#![expect(clippy::disallowed_methods, reason = "other programs tell nobody when they are ready")]

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

const PERIOD: Duration = Duration::from_millis(50);

/// Since the start of something.
#[derive(Clone, Copy)]
pub(super) struct Since(Instant);

impl Since {
    pub(super) fn now() -> Self {
        Self(Instant::now())
    }

    pub(super) fn seconds(self) -> u64 {
        self.0.elapsed().as_secs()
    }
}

/// Asks `probe` again and again until it has something, at most `limit`.
pub(super) fn until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if Instant::now() > end {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        sleep(PERIOD);
    }
}

/// Asks for so long whether all is still well.
pub(super) fn throughout(span: Duration, mut check: impl FnMut() -> Result<()>) -> Result<()> {
    let end = Instant::now() + span;
    while Instant::now() < end {
        check()?;
        sleep(PERIOD);
    }
    Ok(())
}

pub(super) fn pause(span: Duration) {
    sleep(span);
}

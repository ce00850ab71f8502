//! Waiting for what other programs do, with a deadline; and telling the person who waits.
#![expect(clippy::disallowed_methods, reason = "other programs tell nobody when they are ready")]
#![expect(clippy::print_stderr, reason = "tells the person who waits")]

use std::{
    net::{SocketAddr, TcpStream},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

const PERIOD: Duration = Duration::from_millis(100);
/// On loopback a port answers at once or is shut.
const CONNECT: Duration = Duration::from_secs(1);

/// How long it has taken so far.
pub(super) struct Progress(Instant);

impl Progress {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    pub(super) fn say(&self, text: &str) {
        eprintln!("{:7.1} s  {text}", self.0.elapsed().as_secs_f64());
    }
}

/// Asks `probe` again and again until it says yes, at most `limit`.
pub(super) fn until(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let end = Instant::now() + limit;
    while !probe()? {
        if Instant::now() > end {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        sleep(PERIOD);
    }
    Ok(())
}

/// Whether something listens on that port of this machine.
pub(super) fn answers(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), CONNECT).is_ok()
}

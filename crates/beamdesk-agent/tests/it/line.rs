//! A line of a rate and a way between an engine and a viewer.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf},
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::task::TaskTracker;

/// What the ends hold: as little as a socket of a slow line.
const PIPE_BYTES: usize = 16 << 10;
/// Bytes go in pieces of one packet.
const PIECE_BYTES: usize = 1448;

pub(crate) struct Line {
    /// Bytes a second, towards the viewer. The other way carries little and has room.
    pub(crate) rate: u32,
    /// There and back.
    pub(crate) way: Duration,
}

/// What came over it since it was asked last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Carried {
    pub(crate) bytes: usize,
    /// The longest time that a byte waited for its turn.
    pub(crate) longest_wait: Duration,
}

#[derive(Clone, Default)]
pub(crate) struct Meter(Arc<Mutex<Carried>>);

impl Meter {
    pub(crate) fn take(&self) -> Carried {
        std::mem::take(&mut self.carried())
    }

    fn carried(&self) -> MutexGuard<'_, Carried> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// The viewer's end. The line ends with it, or with the engine's.
    pub(crate) fn from(self, engine: DuplexStream, tasks: &TaskTracker) -> (DuplexStream, Meter) {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let meter = Meter::default();
        let (from_engine, to_engine) = tokio::io::split(engine);
        let (from_viewer, to_viewer) = tokio::io::split(ours);
        carry(from_engine, to_viewer, (Some(self.rate), self.way / 2), meter.clone(), tasks);
        carry(from_viewer, to_engine, (None, self.way / 2), Meter::default(), tasks);
        (theirs, meter)
    }
}

/// Each piece takes its turn at the rate, and arrives a time later.
fn carry(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    (rate, way): (Option<u32>, Duration),
    meter: Meter,
    tasks: &TaskTracker,
) {
    let (under_way, mut arriving) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tasks.spawn(async move {
        let mut free = Instant::now();
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(count @ 1..) = from.read(&mut piece).await {
            let now = Instant::now();
            let turn = free.max(now);
            let time = rate.map_or(Duration::ZERO, |rate| {
                Duration::from_secs(1) * u32::try_from(count).unwrap() / rate
            });
            free = turn + time;
            let mut carried = meter.carried();
            carried.bytes += count;
            carried.longest_wait = carried.longest_wait.max(turn - now);
            drop(carried);
            if under_way.send((free + way, piece[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    tasks.spawn(async move {
        while let Some((arrives, bytes)) = arriving.recv().await {
            sleep_until(arrives).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The end comes through, too.
        let _ = to.shutdown().await;
    });
}

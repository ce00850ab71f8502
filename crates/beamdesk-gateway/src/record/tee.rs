//! Between the relay and the writer: a queue that never makes the relay wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use beamdesk_types::RecordingEnd;
use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

/// A whole picture of noise at 4K, which comes at once, and some more.
const QUEUE_BYTES_MAX: usize = 40 << 20;
/// What a queued message costs besides its bytes.
const MESSAGE_BYTES: usize = 64;

#[derive(Debug)]
pub(super) enum Item {
    Message { at_us: u64, bytes: Bytes },
    End { at_us: u64, reason: RecordingEnd },
}

pub(super) type Queue = mpsc::UnboundedReceiver<Item>;

/// One recording that goes on: what relay, writer and shelf share of it.
#[derive(Debug)]
pub(crate) struct Live {
    started: Instant,
    /// Bounded by `queued`.
    queue: mpsc::UnboundedSender<Item>,
    queued: AtomicUsize,
    is_ending: AtomicBool,
    bytes: AtomicU64,
    at_us: AtomicU64,
    end: watch::Sender<Option<RecordingEnd>>,
}

/// The relay's end: what is pushed is recorded; dropped, the recording ends.
#[derive(Debug)]
pub(crate) struct Tee {
    live: Arc<Live>,
    end: watch::Receiver<Option<RecordingEnd>>,
}

impl Live {
    pub(super) fn start() -> (Arc<Self>, Tee, Queue) {
        let (queue, items) = mpsc::unbounded_channel();
        let (end, ended) = watch::channel(None);
        let live = Arc::new(Self {
            started: Instant::now(),
            queue,
            queued: AtomicUsize::new(0),
            is_ending: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            at_us: AtomicU64::new(0),
            end,
        });
        let tee = Tee { live: Arc::clone(&live), end: ended };
        (live, tee, items)
    }

    /// Ends the recording after what was pushed until now. The first reason counts.
    pub(super) fn ask_end(&self, reason: RecordingEnd) {
        if !self.is_ending.swap(true, Ordering::Relaxed) {
            // Without a writer it has ended already.
            let _ = self.queue.send(Item::End { at_us: self.now_us(), reason });
        }
    }

    /// The writer took this message off the queue.
    pub(super) fn taken(&self, bytes: usize) {
        self.queued.fetch_sub(bytes + MESSAGE_BYTES, Ordering::Relaxed);
    }

    /// The file has so many bytes now, up to this time.
    pub(super) fn wrote(&self, bytes: u64, at_us: u64) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.at_us.store(at_us, Ordering::Relaxed);
    }

    /// Bytes in the file, and milliseconds.
    pub(super) fn progress(&self) -> (u64, u64) {
        let ms = Duration::from_micros(self.at_us.load(Ordering::Relaxed)).as_millis();
        (self.bytes.load(Ordering::Relaxed), u64::try_from(ms).unwrap_or(u64::MAX))
    }

    /// Tells the relay that it is over.
    pub(super) fn said(&self, end: RecordingEnd) {
        self.is_ending.store(true, Ordering::Relaxed);
        self.end.send_replace(Some(end));
    }

    pub(super) fn now_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn push(&self, bytes: Bytes) {
        if self.is_ending.load(Ordering::Relaxed) {
            return;
        }
        let cost = bytes.len() + MESSAGE_BYTES;
        if self.queued.fetch_add(cost, Ordering::Relaxed) + cost > QUEUE_BYTES_MAX {
            self.queued.fetch_sub(cost, Ordering::Relaxed);
            return self.ask_end(RecordingEnd::Slow);
        }
        let _ = self.queue.send(Item::Message { at_us: self.now_us(), bytes });
    }
}

impl Tee {
    /// Records one whole message. Never waits: when the disk does not keep up, the recording ends.
    pub(crate) fn push(&self, message: &Bytes) {
        self.live.push(message.clone());
    }

    /// When it has ended by itself: nothing is recorded any more. Never, where nothing is recorded.
    pub(crate) async fn over(tee: &mut Option<Self>) {
        match tee {
            // The sender lives in `live`.
            Some(tee) => drop(tee.end.wait_for(Option::is_some).await),
            None => std::future::pending().await,
        }
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.live.ask_end(RecordingEnd::Ended);
    }
}

#[cfg(test)]
mod tests {
    use beamdesk_types::RecordingEnd;
    use bytes::Bytes;

    use super::{Item, Live, MESSAGE_BYTES, QUEUE_BYTES_MAX};

    #[tokio::test]
    async fn a_disk_that_does_not_keep_up_ends_the_recording_after_what_was_taken() {
        const EACH: usize = 1 << 20;
        let (live, tee, mut queue) = Live::start();
        let message = Bytes::from(vec![0; EACH]);
        for _ in 0..1000 {
            tee.push(&message);
        }
        let mut taken = 0;
        let end = loop {
            match queue.recv().await.unwrap() {
                Item::Message { bytes, .. } => taken += bytes.len() + MESSAGE_BYTES,
                Item::End { reason, .. } => break reason,
            }
        };
        assert_eq!(end, RecordingEnd::Slow);
        assert!(taken <= QUEUE_BYTES_MAX && taken > QUEUE_BYTES_MAX - 2 * EACH, "{taken}");
        drop(tee);
        live.ask_end(RecordingEnd::Full);
        assert!(queue.try_recv().is_err(), "it has one end");
    }

    #[tokio::test]
    async fn tiny_messages_count_too() {
        let (_live, tee, mut queue) = Live::start();
        let message = Bytes::from_static(b"12345678");
        for _ in 0..QUEUE_BYTES_MAX / MESSAGE_BYTES {
            tee.push(&message);
        }
        let mut count = 0;
        while let Item::Message { .. } = queue.recv().await.unwrap() {
            count += 1;
        }
        assert_eq!(count, QUEUE_BYTES_MAX / (MESSAGE_BYTES + message.len()));
    }

    #[tokio::test]
    async fn a_writer_that_keeps_up_takes_any_amount() {
        let (live, tee, mut queue) = Live::start();
        let message = Bytes::from(vec![0; QUEUE_BYTES_MAX / 2]);
        for _ in 0..10 {
            tee.push(&message);
            let Some(Item::Message { bytes, .. }) = queue.recv().await else {
                panic!("it goes on")
            };
            live.taken(bytes.len());
        }
        drop(tee);
        let end = queue.recv().await.unwrap();
        assert!(matches!(end, Item::End { reason: RecordingEnd::Ended, .. }), "{end:?}");
    }
}

//! How links reach the engine.

use std::time::Duration;

use beamdesk_media::{PictureSize, Waker};
use beamdesk_proto::wire::Message;
use bytes::Bytes;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use crate::local::Change;

/// Commands waiting for the engine; links wait when it is full.
pub(super) const COMMANDS_MAX: usize = 256;
/// Messages waiting for a link. Flow control bounds their bytes; a viewer for which even so many
/// small ones wait is too far behind.
const MESSAGES_MAX: usize = 1024;
/// Time for the engine to see that its display is gone.
const GRACE: Duration = Duration::from_secs(1);

/// Names one viewer's connection for as long as the engine runs.
pub type ViewerId = u64;

/// What links tell the engine.
#[derive(Debug)]
pub enum Command {
    Attach {
        viewer: ViewerId,
        messages: mpsc::Sender<Bytes>,
    },
    Received {
        viewer: ViewerId,
        message: Message,
    },
    Detach {
        viewer: ViewerId,
    },
    /// Of a program of the desktop.
    Local {
        client: u64,
        change: Change,
    },
}

/// What the engine shows of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub size: PictureSize,
    pub viewers: usize,
}

/// For links: reaches the engine. Cheap to clone; the engine ends when all are gone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) seen: watch::Receiver<Seen>,
    /// After `commands`, so that the engine wakes to find them gone.
    pub(super) waker: WakesOnDrop,
}

#[derive(Debug, Clone)]
pub(super) struct WakesOnDrop(pub(super) Waker);

impl Drop for WakesOnDrop {
    fn drop(&mut self) {
        self.0.wake();
    }
}

impl Handle {
    /// Waits when the engine is behind. `false`: the engine has ended.
    pub async fn tell(&self, command: Command) -> bool {
        let told = self.commands.send(command).await.is_ok();
        self.waker.0.wake();
        told
    }

    pub fn seen(&self) -> Seen {
        *self.seen.borrow()
    }

    /// Waits a moment for the engine to see for itself that its display is gone.
    pub async fn ends_within_grace(&self) -> bool {
        timeout(GRACE, self.ended()).await.is_ok()
    }

    /// Waits for the engine's end.
    pub async fn ended(&self) {
        let mut seen = self.seen.clone();
        while seen.changed().await.is_ok() {}
    }

    /// The queue of messages for one viewer's link.
    pub fn queue() -> (mpsc::Sender<Bytes>, mpsc::Receiver<Bytes>) {
        mpsc::channel(MESSAGES_MAX)
    }
}

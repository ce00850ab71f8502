//! For programs of the desktop: a socket by which they hand over 16-bit pictures and mark what matters.
//!
//! ```text
//!  program ──Unix socket──► client (a task each) ──Change──► engine: Board ──► Outbox of each viewer
//!            requests          packs pictures                 what is shown      what it was sent
//! ```
//! What a program put on show goes with its connection. See docs/imaging.md.

mod board;
mod client;
mod outbox;
mod protocol;

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use beamdesk_media::{SLICE_PLACES, SLICES_BYTES_MAX};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use crate::{AgentError, engine::Handle};

use client::Room;

pub use board::{Board, Change, State};
pub use client::Slice;
pub use outbox::{Confirmed, Outbox};

/// Name of the socket in the session's run folder.
pub const SOCKET: &str = "beamdesk.sock";
/// Programs connected at once: each may have one picture and one mark.
pub const CLIENTS_MAX: usize = SLICE_PLACES;
/// After a failed accept (out of descriptors): a moment for others to close some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Permits for memory are counted in this many bytes.
const ROOM_UNIT: usize = 1 << 10;

/// The listening socket.
#[derive(Debug)]
pub struct Local {
    listener: UnixListener,
    room: Room,
}

impl Local {
    /// Listens at a path in a folder that only we can enter.
    pub fn bind(path: &Path) -> Result<Self, AgentError> {
        let listener = UnixListener::bind(path)
            .map_err(AgentError::system("cannot listen for programs of the desktop"))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(AgentError::system("cannot protect the socket for programs"))?;
        Ok(Self { listener, room: Room::new(SLICES_BYTES_MAX) })
    }

    /// With other than the usual memory for pictures.
    #[must_use]
    pub fn with_room(self, bytes: usize) -> Self {
        Self { room: Room::new(bytes), ..self }
    }

    /// Serves programs until `stop` or until the engine ends.
    pub async fn run(self, engine: Handle, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        let tasks = TaskTracker::new();
        let mut next = 0;
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                () = engine.ended() => break,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    warn!(error = %error, "Could not accept a program, will try again");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if !is_ours(&stream) {
                warn!("A program of another user was turned away");
                continue;
            }
            next += 1;
            let (client, stop) = (next, stop.clone());
            let (engine, room, places) = (engine.clone(), self.room.clone(), Arc::clone(&places));
            tasks.spawn(async move {
                let served = tokio::select! {
                    () = stop.cancelled() => Ok(()),
                    () = engine.ended() => Ok(()),
                    served = client::serve(stream, client, &engine, places, &room) => served,
                };
                if let Err(error) = served {
                    debug!(
                        client,
                        error = &error as &dyn std::error::Error,
                        "Program's link ended"
                    );
                }
                client::gone(client, &engine).await;
            });
        }
        tasks.close();
        tasks.wait().await;
    }
}

/// Of the same user: the folder keeps others out, and this does so even where it does not.
fn is_ours(stream: &UnixStream) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == ours)
}

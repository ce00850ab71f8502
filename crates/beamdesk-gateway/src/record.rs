//! Recordings: the messages of one viewer, from the first on, teed to a file.
//!
//! ```text
//!  relay ── push ──▶ queue, bounded ──▶ writer, a thread ──▶ ID.open ── portal told ──▶ ID.rec
//!    ▲                   │ full                 │ disk full, too long
//!    └── sign goes off ──┴──── end mark ◀───────┘          the stream goes on
//! ```

mod format;
mod plays;
mod shelf;
mod sync;
mod tee;
mod writer;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use beamdesk_types::{Grant, RecordingBegin, RecordingEnd, RecordingId};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use self::{format::Head, tee::Live};
pub(crate) use self::{
    plays::{Plays, Standing},
    shelf::{Opened, Shelf},
    sync::run,
    tee::Tee,
};
use crate::portal::{Portal, PortalError};

/// Where recordings go, and how much of them.
#[derive(Debug, Clone)]
pub struct Recordings {
    /// Made when missing; nobody else reads it.
    pub folder: PathBuf,
    /// Of one recording, which ends there.
    pub bytes_max: u64,
    /// Of all together. When it is reached no more are made; nothing is removed for them.
    pub total_bytes_max: u64,
    /// Older ones are removed.
    pub age_max: Duration,
}

/// Why there is no recording; the stream goes on without it.
#[derive(Debug, thiserror::Error)]
enum BeginError {
    #[error("there is no room for another recording")]
    Full,
    #[error(transparent)]
    Portal(#[from] PortalError),
    #[error("the file could not be made")]
    File(#[from] io::Error),
}

/// Begins to record a stream; `None`: it cannot be.
pub(crate) async fn begin(
    shelf: &Arc<Shelf>,
    portal: &Portal,
    grant: &Grant,
    tasks: &TaskTracker,
) -> Option<Tee> {
    match try_begin(shelf, portal, grant, tasks).await {
        Ok(tee) => Some(tee),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            warn!(%error, cause, "Could not record a stream");
            None
        }
    }
}

async fn try_begin(
    shelf: &Arc<Shelf>,
    portal: &Portal,
    grant: &Grant,
    tasks: &TaskTracker,
) -> Result<Tee, BeginError> {
    let recording = RecordingId::fresh();
    let asked = RecordingBegin { recording, stream: grant.stream };
    let begun = portal.begin_recording(&asked).await?;
    if !shelf.has_room() {
        // Who looks for it in the portal finds why it is not there.
        shelf.refused(recording, begun.started, RecordingEnd::Full);
        return Err(BeginError::Full);
    }
    let head = Head::of(recording, grant, begun.started);
    let (live, tee, queue) = Live::start();
    // The portal knows of it: from here on it has an end, whatever happens.
    shelf.add(recording, begun.started, Arc::clone(&live));
    let making = Arc::clone(shelf);
    let made = tasks.spawn_blocking(move || making.create(recording, &head)).await;
    let file = match made.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
        Ok(file) => file,
        Err(error) => {
            shelf.ended(recording, RecordingEnd::Failed, 0, 0);
            return Err(error.into());
        }
    };
    let shelf = Arc::clone(shelf);
    tasks.spawn_blocking(move || {
        let end = writer::run(file, queue, &live, &shelf);
        let (bytes, duration) = live.progress();
        shelf.ended(recording, end, bytes, duration);
        live.said(end);
        info!(recording.id = %recording, ?end, bytes, "Recording ended");
    });
    info!(recording.id = %recording, "Recording started");
    Ok(tee)
}

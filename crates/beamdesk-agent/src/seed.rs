//! The seed of a server: read at its first boot, and removed once it was used.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use beamdesk_types::AgentSeed;
use tracing::{info, warn};

use crate::AgentError;

/// An authority or two, a secret and a few words.
const SEED_BYTES_MAX: u64 = 64 << 10;

/// `None`: there is none, as at every boot but the first.
pub(crate) fn read(path: &Path) -> Result<Option<AgentSeed>, AgentError> {
    let failed = |source| AgentError::File { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        // Used all the same: it was good for one identity, and who was first shows soon.
        warn!(path = %path.display(), "Others on this machine can read the seed; it should be 0600");
    }
    let mut bytes = Vec::new();
    file.take(SEED_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    let wrong = |what: String| AgentError::Seed { path: path.to_owned(), what };
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > SEED_BYTES_MAX {
        return Err(wrong(format!("is longer than {SEED_BYTES_MAX} bytes")));
    }
    let seed: AgentSeed = serde_json::from_slice(&bytes).map_err(|error| {
        // Only the place: serde's text may quote the secret.
        let (line, column) = (error.line(), error.column());
        wrong(format!("is not a seed: line {line} column {column}"))
    })?;
    if seed.portals.is_empty() {
        return Err(wrong("names no portal".to_owned()));
    }
    Ok(Some(seed))
}

/// Overwrites and removes it. What cannot be removed, as on a config drive, is worth nothing either.
pub(crate) fn remove(path: &Path) {
    match scrub(path) {
        Ok(()) => info!(path = %path.display(), "Removed the seed"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            warn!(%error, path = %path.display(), "Could not remove the seed; its secret is used up");
        }
    }
}

fn scrub(path: &Path) -> io::Result<()> {
    let length = fs::metadata(path)?.len().min(SEED_BYTES_MAX);
    let overwritten = OpenOptions::new().write(true).open(path).and_then(|mut file| {
        file.write_all(&vec![0; usize::try_from(length).unwrap_or_default()])?;
        file.sync_all()
    });
    fs::remove_file(path)?;
    overwritten
}

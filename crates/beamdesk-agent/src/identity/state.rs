//! What an agent keeps on disk between boots: its key and the newest certificate for it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use beamdesk_types::{AgentConfig, DesktopId, Secret, SessionConfig};
use serde::{Deserialize, Serialize};

use crate::AgentError;

const IDENTITY: &str = "identity.json";
/// Two certificates, a key and a few words are some 3 KiB.
const BYTES_MAX: u64 = 256 << 10;

/// The folder, for its owner alone.
#[derive(Debug, Clone)]
pub(super) struct State {
    path: PathBuf,
}

/// All that the agent needs at its next boot.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) desktop: DesktopId,
    /// Of the certificate; before there is one, of the seed.
    pub(super) generation: u32,
    pub(super) portals: Vec<String>,
    pub(super) authority: String,
    /// Made on this machine, and never leaves it.
    pub(super) key: Secret,
    /// `None`: not enrolled yet.
    pub(super) certificate: Option<String>,
    pub(super) session: SessionConfig,
}

impl Kept {
    /// What to serve with; `None` before the agent has enrolled.
    pub(super) fn config(&self) -> Option<AgentConfig> {
        Some(AgentConfig {
            desktop: self.desktop,
            generation: self.generation,
            certificate: self.certificate.clone()?,
            key: self.key.clone(),
            authority: self.authority.clone(),
            session: self.session.clone(),
        })
    }
}

impl State {
    /// Makes the folder where it is not there.
    pub(super) fn open(folder: &Path) -> Result<Self, AgentError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| AgentError::File { path: folder.to_owned(), source })?;
        Ok(Self { path: folder.join(IDENTITY) })
    }

    /// `None`: nothing is kept yet.
    pub(super) fn read(&self) -> Result<Option<Kept>, AgentError> {
        let path = || self.path.clone();
        let read = read_private(&self.path);
        let read = read.map_err(|source| AgentError::File { path: path(), source })?;
        // Only the place: serde's text may quote the key.
        let corrupt = |error: serde_json::Error| AgentError::Identity {
            path: path(),
            what: format!("line {} column {}", error.line(), error.column()),
        };
        read.map(|bytes| serde_json::from_slice(&bytes).map_err(corrupt)).transpose()
    }

    /// Whole or not at all, also when the power fails.
    pub(super) fn keep(&self, kept: &Kept) -> Result<(), AgentError> {
        let bytes = serde_json::to_vec(kept).map_err(io::Error::other);
        bytes
            .and_then(|bytes| replace(&self.path, &bytes))
            .map_err(|source| AgentError::File { path: self.path.clone(), source })
    }
}

fn read_private(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        let why = "others may read or write it; make it private with chmod 600";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    // One that a crash left may have been made by somebody else.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use beamdesk_types::{DesktopId, Secret, SessionConfig};

    use super::{Kept, State};

    fn kept() -> Kept {
        Kept {
            desktop: DesktopId::fresh(),
            generation: 1,
            portals: vec!["https://portal.example".to_owned()],
            authority: "a".to_owned(),
            key: Secret::new("k".to_owned()),
            certificate: None,
            session: SessionConfig {
                name: "n".to_owned(),
                language: "en".to_owned(),
                width: 800,
                height: 600,
            },
        }
    }

    #[test]
    fn what_is_kept_is_for_its_owner_alone_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("deep/er")).unwrap();
        assert!(state.read().unwrap().is_none());
        state.keep(&kept()).unwrap();
        state.keep(&Kept { certificate: Some("c".to_owned()), ..kept() }).unwrap();
        let read = state.read().unwrap().unwrap();
        assert_eq!((read.key.expose(), read.certificate.as_deref()), ("k", Some("c")));
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(state.path.clone()), 0o600);
        assert_eq!(mode(state.path.parent().unwrap().to_owned()), 0o700);
        let names = fs::read_dir(state.path.parent().unwrap()).unwrap().count();
        assert_eq!(names, 1, "nothing temporary is left");
    }

    #[test]
    fn what_others_may_read_or_nobody_understands_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        state.keep(&kept()).unwrap();
        fs::set_permissions(&state.path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(state.read().unwrap_err().to_string().contains("identity.json"));
        fs::set_permissions(&state.path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&state.path, "{\"key\": \"k0k0k0\", ").unwrap();
        let refused = format!("{:?}", state.read().unwrap_err());
        assert!(refused.contains("line 1") && !refused.contains("k0k0k0"), "{refused}");
    }
}

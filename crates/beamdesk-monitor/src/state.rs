//! What a monitor keeps on disk: its identity, and the generation of its last report.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use beamdesk_types::EnrolAnswer;

use crate::MonitorError;

const IDENTITY: &str = "identity.json";
const GENERATION: &str = "generation";
const MACHINE: &str = "machine-id";
/// The kernel gives another UUID each time it is read.
const RANDOM_UUID: &str = "/proc/sys/kernel/random/uuid";
/// Three certificates and a key are some 4 KiB.
const BYTES_MAX: u64 = 1 << 20;

/// The monitor's own folder.
#[derive(Debug, Clone)]
pub(crate) struct State {
    folder: PathBuf,
}

impl State {
    /// Makes the folder, for its owner alone, where it is not there.
    pub(crate) fn open(folder: &Path) -> Result<Self, MonitorError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| MonitorError::File { path: folder.to_owned(), source })?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// `None`: not let in yet.
    pub(crate) fn identity(&self) -> Result<Option<EnrolAnswer>, MonitorError> {
        let path = self.folder.join(IDENTITY);
        let Some(bytes) = read_private(&path)
            .map_err(|source| MonitorError::File { path: path.clone(), source })?
        else {
            return Ok(None);
        };
        let corrupt =
            |_| MonitorError::Identity(format!("in {} is not understood", path.display()));
        serde_json::from_slice(&bytes).map(Some).map_err(corrupt)
    }

    pub(crate) fn keep_identity(&self, identity: &EnrolAnswer) -> Result<(), MonitorError> {
        let path = self.folder.join(IDENTITY);
        let kept = serde_json::to_vec(identity).map_err(io::Error::other);
        kept.and_then(|bytes| replace(&path, &bytes, true))
            .map_err(|source| MonitorError::File { path, source })
    }

    /// An id for a machine that has none: made once.
    pub(crate) fn machine(&self) -> Result<String, MonitorError> {
        let path = self.folder.join(MACHINE);
        if let Ok(id) = fs::read_to_string(&path)
            && is_uuid(id.trim())
        {
            return Ok(id.trim().to_owned());
        }
        let made = fs::read_to_string(RANDOM_UUID).map(|id| id.trim().to_owned());
        made.and_then(|id| replace(&path, id.as_bytes(), true).map(|()| id))
            .map_err(|source| MonitorError::File { path, source })
    }

    /// Zero where none is kept, or what is kept is no number: the clock sees to it that generations
    /// rise.
    pub(crate) fn generation(&self) -> u64 {
        let text = fs::read_to_string(self.folder.join(GENERATION)).unwrap_or_default();
        let number: u64 = text.trim().parse().unwrap_or_default();
        if i64::try_from(number).is_ok() { number } else { 0 }
    }

    pub(crate) fn keep_generation(&self, generation: u64) -> io::Result<()> {
        replace(&self.folder.join(GENERATION), generation.to_string().as_bytes(), false)
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-')
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

/// Whole or not at all. `lasting`: also after the power fails.
fn replace(path: &Path, bytes: &[u8], lasting: bool) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    if lasting {
        file.sync_all()?;
    }
    fs::rename(&temporary, path)?;
    match path.parent().filter(|_| lasting) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use beamdesk_types::{EnrolAnswer, Secret};

    use super::State;

    #[test]
    fn a_machine_without_an_id_gets_one_and_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let made = State::open(folder.path()).unwrap().machine().unwrap();
        assert_eq!(made.len(), 36);
        assert_eq!(State::open(folder.path()).unwrap().machine().unwrap(), made);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(State::open(other.path()).unwrap().machine().unwrap(), made);
    }

    #[test]
    fn an_identity_is_kept_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(&folder.path().join("deep/er")).unwrap();
        assert!(state.identity().unwrap().is_none());
        let identity = EnrolAnswer {
            certificate: "c".to_owned(),
            key: Secret::new("k".to_owned()),
            authority: "a".to_owned(),
        };
        state.keep_identity(&identity).unwrap();
        assert_eq!(state.identity().unwrap().unwrap().key.expose(), "k");
        let path = state.folder.join("identity.json");
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(path.clone()), mode(state.folder.clone())), (0o600, 0o700));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(state.identity().unwrap_err().to_string().contains("identity.json"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "{").unwrap();
        assert!(state.identity().unwrap_err().to_string().contains("not understood"));
    }

    #[test]
    fn a_generation_is_kept_and_nonsense_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        assert_eq!(state.generation(), 0);
        state.keep_generation(42).unwrap();
        assert_eq!(state.generation(), 42);
        for nonsense in ["-1", "", "18446744073709551615"] {
            fs::write(folder.path().join("generation"), nonsense).unwrap();
            assert_eq!(state.generation(), 0, "{nonsense}");
        }
    }
}

//! The data folder: where it is, and that only one process uses it.

use std::{
    env, fs,
    fs::{File, TryLockError},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// `/var/lib/beamdesk` for root, else below the user's own data folder.
pub(crate) fn default_folder() -> PathBuf {
    let home = env::var_os("HOME").map(PathBuf::from);
    match (rustix::process::geteuid().is_root(), env::var_os("XDG_DATA_HOME"), home) {
        (true, ..) => PathBuf::from("/var/lib/beamdesk"),
        (false, Some(data), _) => PathBuf::from(data).join("beamdesk"),
        (false, None, Some(home)) => home.join(".local/share/beamdesk"),
        (false, None, None) => PathBuf::from("beamdesk-data"),
    }
}

/// A data folder that this process has for itself as long as the value lives.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) folder: PathBuf,
    _lock: File,
}

impl Data {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let shown = folder.display();
        fs::create_dir_all(folder).with_context(|| format!("could not make the folder {shown}"))?;
        let folder = folder.canonicalize()?;
        // Desktops of other Unix users live below it, each behind its own folder's mode.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o711))?;
        let lock = File::create(folder.join("lock"))
            .with_context(|| format!("could not write to the folder {shown}"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder, _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "another beamdesk already runs on {shown}; stop it, or choose another folder with --data"
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("could not lock the folder {shown}"))
            }
        }
    }

    pub(crate) fn database(&self) -> String {
        format!("sqlite:{}", self.folder.join("beamdesk.db").display())
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }
}

#[cfg(test)]
mod tests {
    use super::Data;

    #[test]
    fn a_folder_serves_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = Data::open(folder.path()).unwrap();
        let refused = Data::open(folder.path()).unwrap_err().to_string();
        assert!(refused.contains("--data"), "{refused}");
        drop(first);
        Data::open(folder.path()).unwrap();
    }
}

//! Where the lab keeps what: all of it below `target/openstack`, but for sockets.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::run::root;

/// Sockets, because their paths may have 107 bytes only; and what says whose the lab is.
pub(super) const SOCKETS: &str = "/run/beamdesk-openstack";
/// In the environment of everything that the lab starts, so that nothing is ever left behind.
pub(super) const MARK: &str = "BEAMDESK_OPENSTACK";

/// Kept when the lab goes down.
const CACHE: &str = "cache";
const LOGS: &str = "log";

/// The folders of this lab.
#[derive(Debug, Clone)]
pub(super) struct Place {
    state: PathBuf,
    password: String,
}

impl Place {
    pub(super) fn new() -> Result<Self> {
        let state = root().join("target/openstack");
        let cache = state.join(CACHE);
        folder(&cache)?;
        let password = password(&cache.join("password"))?;
        Ok(Self { state, password })
    }

    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// Configuration files.
    pub(super) fn etc(&self) -> PathBuf {
        self.state.join("etc")
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.state.join(CACHE)
    }

    /// Keystone's keys: they belong to the stored databases.
    pub(super) fn keys(&self) -> PathBuf {
        self.cache().join("keys")
    }

    pub(super) fn logs(&self) -> PathBuf {
        self.state.join(LOGS)
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    /// Pids of what runs.
    pub(super) fn run(&self) -> PathBuf {
        self.state.join("run")
    }

    /// What tests read.
    pub(super) fn lab_file(&self) -> PathBuf {
        self.state.join("lab.json")
    }

    /// Of every account of this lab, which only this machine reaches.
    pub(super) fn password(&self) -> &str {
        &self.password
    }

    pub(super) fn make_folders(&self) -> Result<()> {
        for name in [
            "etc",
            "run",
            LOGS,
            "lock",
            "home",
            "rabbit",
            "glance/images",
            "glance/staging",
            "nova/instances",
            "neutron",
        ] {
            folder(&self.state.join(name))?;
        }
        folder(&self.keys())?;
        folder(Path::new(SOCKETS))
    }

    /// All but caches and the logs of the last run.
    pub(super) fn remove_state(&self) -> Result<()> {
        for entry in fs::read_dir(&self.state)? {
            let entry = entry?;
            if entry.file_name() == CACHE || entry.file_name() == LOGS {
                continue;
            }
            let path = entry.path();
            let removed = if entry.file_type()?.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            removed.with_context(|| format!("could not remove {}", path.display()))?;
        }
        for name in ["mysql.sock", "libvirt"] {
            let path = Path::new(SOCKETS).join(name);
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            drop(removed); // Not there is as good.
        }
        Ok(())
    }

    pub(super) fn remove_caches(&self) -> Result<()> {
        fs::remove_dir_all(&self.state).context("could not remove target/openstack")
    }
}

/// Our own Python parts, for the services' path.
pub(super) fn python() -> PathBuf {
    root().join("xtask/src/openstack/lab")
}

/// Made where it is missing, for root alone: there are passwords in it.
fn folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("could not make {}", path.display()))
}

/// Kept with the stored databases, which know its hash.
fn password(path: &Path) -> Result<String> {
    if let Ok(text) = fs::read_to_string(path) {
        return Ok(text);
    }
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").context("no random numbers")?;
    let text = uuid.trim().replace('-', "");
    fs::write(path, &text).with_context(|| format!("could not write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(text)
}

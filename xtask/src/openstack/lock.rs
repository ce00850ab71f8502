//! One lab on a machine, and one command on it at a time: ports, bridges and libvirt are the machine's.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};

use super::place::{Place, SOCKETS};

/// Held while a command works; says which checkout's lab runs.
pub(super) struct Lock {
    file: File,
    state: String,
}

impl Lock {
    /// Waits for another command; fails if another checkout's lab is up.
    pub(super) fn take(place: &Place) -> Result<Self> {
        fs::create_dir_all(SOCKETS).with_context(|| format!("could not make {SOCKETS}"))?;
        let path = Path::new(SOCKETS).join("owner");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .with_context(|| format!("could not open {}", path.display()))?;
        flock(&file, FlockOperation::LockExclusive).context("could not wait for the lab's lock")?;
        let mut owner = String::new();
        file.read_to_string(&mut owner)?;
        let state = place.state().display().to_string();
        if !owner.is_empty() && owner != state && Path::new(&owner).join("run").exists() {
            bail!(
                "another lab is up on this machine, that of {owner}; two cannot be at once: take \
                 that one down first"
            );
        }
        Ok(Self { file, state })
    }

    /// The lab is ours until it is released, also after this command.
    pub(super) fn claim(&self) -> Result<()> {
        self.write(&self.state)
    }

    pub(super) fn release(self) -> Result<()> {
        self.write("")
    }

    fn write(&self, text: &str) -> Result<()> {
        let mut file = &self.file;
        file.set_len(0)?;
        file.rewind()?;
        Ok(file.write_all(text.as_bytes())?)
    }
}

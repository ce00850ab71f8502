//! A desktop's folder: what was ordered, what runs, and the lock that tells whether it runs.
//!
//! ```text
//! sandboxes/<desktop>/order.json    written by the driver: what shall be
//!                     server.json   written by the supervisor: what is
//!                     lock          held by the supervisor while it lives
//!                     log, log.1    what bubblewrap and the agent say
//!                     etc/          the desktop's own /etc files
//! ```
//! A folder appears and goes by rename, so it is never seen half made.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use beamdesk_types::{CardAddress, DesktopId, UserId};
use rustix::{
    fs::{FlockOperation, fcntl_lock},
    process::{Flock, FlockType, Pid, fcntl_getlk},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What the driver wants of a desktop. Written before anything is done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Order {
    /// Fresh for each order, so that a late supervisor of an older one is known.
    pub(super) nonce: String,
    pub(super) wanted: Wanted,
    pub(super) generation: u32,
    pub(super) owner: UserId,
    pub(super) vcpus: u32,
    pub(super) memory_mib: u64,
    #[serde(default)]
    pub(super) cards: Vec<CardAddress>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wanted {
    On,
    Off,
    Gone,
}

/// What the supervisor says of its server. Only the lock tells whether it is still true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ServerFile {
    pub(super) nonce: String,
    pub(super) generation: u32,
    pub(super) state: ServerState,
    /// For a person who looks; the driver trusts the lock alone.
    pub(super) supervisor_pid: i32,
    /// How it ended, for operators.
    pub(super) ended: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ServerState {
    On {
        address: String,
    },
    Off,
    /// The sandbox itself could not be built.
    Broken,
}

/// One desktop's folder, whether it exists or not.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
}

impl Folder {
    pub(super) fn exists(&self) -> io::Result<bool> {
        self.path.try_exists()
    }

    /// Makes the folder with its first order, all at once. `false`: it is there already.
    pub(super) fn make(&self, order: &Order) -> io::Result<bool> {
        let new = self.beside(".new", &order.nonce);
        fs::DirBuilder::new().mode(0o700).create(&new)?;
        let made = write_whole(&new.join(ORDER), order).and_then(|()| {
            touch(&new.join(LOCK))?;
            match fs::rename(&new, &self.path) {
                Ok(()) => Ok(true),
                Err(error) if is_taken(&error) => Ok(false),
                Err(error) => Err(error),
            }
        });
        if !matches!(made, Ok(true)) {
            fs::remove_dir_all(&new)?;
        }
        made
    }

    /// Removes the folder, all at once to everybody who looks.
    pub(super) fn remove(&self, nonce: &str) -> io::Result<()> {
        let gone = self.beside(".gone", nonce);
        match fs::rename(&self.path, &gone) {
            Ok(()) => remove_tree(&gone),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn order(&self) -> io::Result<Option<Order>> {
        read_json(&self.path.join(ORDER))
    }

    pub(super) fn set_order(&self, order: &Order) -> io::Result<()> {
        write_whole(&self.path.join(ORDER), order)
    }

    pub(super) fn server(&self) -> io::Result<Option<ServerFile>> {
        read_json(&self.path.join(SERVER))
    }

    pub(super) fn set_server(&self, server: &ServerFile) -> io::Result<()> {
        write_whole(&self.path.join(SERVER), server)
    }

    /// The supervisor that lives now, from the kernel's own books: true even after a crash, and
    /// never a recycled process id.
    pub(super) fn supervisor(&self) -> io::Result<Option<Pid>> {
        let file = match fs::File::open(self.path.join(LOCK)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let held = fcntl_getlk(&file, &Flock::from(FlockType::ReadLock))?;
        Ok(held.and_then(|lock| lock.pid))
    }

    /// Takes the lock for this process. `None`: another has it. Only a supervisor may call this,
    /// once: a record lock goes when *any* descriptor of the file is closed in its process.
    pub(super) fn try_lock(&self) -> io::Result<Option<Lock>> {
        let file = fs::File::options().write(true).open(self.path.join(LOCK))?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    pub(super) fn etc(&self) -> PathBuf {
        self.path.join("etc")
    }

    fn beside(&self, prefix: &str, nonce: &str) -> PathBuf {
        self.path.with_file_name(format!("{prefix}-{nonce}"))
    }
}

/// Held while the supervisor lives; the kernel lets it go even on kill -9.
#[derive(Debug)]
pub(super) struct Lock {
    _file: fs::File,
}

/// All desktops' folders, after clearing what interrupted makes and removes left.
pub(super) fn tidy(root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(".new-") || name.starts_with(".gone-") {
            remove_tree(&entry.path())?;
        }
    }
    Ok(())
}

pub(super) fn desktops(root: &Path) -> io::Result<Vec<DesktopId>> {
    let mut desktops = Vec::new();
    for entry in fs::read_dir(root)? {
        // Files of others, and half-made folders, are no desktops.
        if let Ok(desktop) = entry?.file_name().to_string_lossy().parse() {
            desktops.push(desktop);
        }
    }
    desktops.sort_unstable();
    Ok(desktops)
}

/// Writes a file so that a reader, even after a crash, sees the old or the new one whole.
pub(super) fn write_whole<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file =
        fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec_pretty(value)?)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn touch(path: &Path) -> io::Result<()> {
    fs::File::options().write(true).create(true).truncate(false).mode(0o600).open(path).map(drop)
}

fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}

const ORDER: &str = "order.json";
const SERVER: &str = "server.json";
const LOCK: &str = "lock";

//! Reading small files below a folder, whatever lies there: bounded, and never waiting.
//!
//! The kernel's trees are well behaved; a copy of them, or what a container shows as such, may hold
//! pipes, endless files, loops of links and names that are no text. All of these read as absent.

use std::{
    fs::{self, OpenOptions},
    io::Read as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

/// `/proc/stat` of 1,000 CPUs has 150 KiB, a command line at most 128 KiB an argument; what is
/// longer is cut.
const TEXT_BYTES_MAX: u64 = 256 << 10;

/// Of one folder: more than a large host has processes, or files open in one of them.
const NAMES_MAX: usize = 65_536;

/// The machine's files, seen from a folder.
#[derive(Debug, Clone)]
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root itself, that is, the running machine.
    pub(crate) fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The file's text without space around it; `None` when it cannot be read.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        let bytes = self.bytes(path)?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    pub(crate) fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let path = self.path(path);
        // Files of the kernel are regular ones too. Opening anything else might wait, or do something.
        if !fs::metadata(&path).ok()?.is_file() {
            return None;
        }
        let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).ok()?;
        let file = OpenOptions::new().read(true).custom_flags(nonblock).open(&path).ok()?;
        let mut bytes = Vec::new();
        file.take(TEXT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// A number, decimal or after `0x` hexadecimal.
    pub(crate) fn number(&self, path: &str) -> Option<u64> {
        let text = self.text(path)?;
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// Names in a folder, in order; those that are no UTF-8 are nobody's we look for.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        self.try_names(path).unwrap_or_default()
    }

    /// `None` when the folder may not be read.
    pub(crate) fn try_names(&self, path: &str) -> Option<Vec<String>> {
        let entries = fs::read_dir(self.path(path)).ok()?;
        let mut names: Vec<String> = entries
            .take(NAMES_MAX)
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        Some(names)
    }

    /// What a link says, which is not followed.
    pub(crate) fn link(&self, path: &str) -> Option<String> {
        fs::read_link(self.path(path)).ok()?.into_os_string().into_string().ok()
    }

    /// The last part of what a link says.
    pub(crate) fn link_name(&self, path: &str) -> Option<String> {
        self.link(path)?.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned)
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }
}

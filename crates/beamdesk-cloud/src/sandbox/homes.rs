//! Home folders, one per owner, and the host user id that goes with each.
//!
//! The folder's own Unix owner *is* the record of the id: it cannot be lost or contradict itself.

use std::{
    fs, io,
    ops::Range,
    os::unix::fs::{DirBuilderExt, MetadataExt, chown},
    path::{Path, PathBuf},
};

use beamdesk_types::UserId;

use super::folder::write_whole;

#[derive(Debug, Clone)]
pub(super) struct Homes {
    root: PathBuf,
    /// `None`: not root, so all homes belong to the driver's own user.
    ids: Option<Range<u32>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) path: PathBuf,
    pub(super) uid: Option<u32>,
}

impl Homes {
    pub(super) fn open(root: PathBuf, is_root: bool) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&root)?;
        let maps = ["/proc/self/uid_map", "/proc/self/gid_map"]
            .map(|path| fs::read_to_string(path).unwrap_or_default());
        let mapped = |ids: &Range<u32>| maps.iter().all(|map| is_mapped(map, ids));
        let ids = ID_RANGES.into_iter().find(|ids| is_root && mapped(ids));
        Ok(Self { root, ids })
    }

    pub(super) fn ids(&self) -> Option<Range<u32>> {
        self.ids.clone()
    }

    /// The owner's home, made if need be. The caller sees to it that only one call runs at a time.
    pub(super) fn of(&self, owner: UserId) -> io::Result<Home> {
        let path = self.root.join(owner.to_string());
        if !path.try_exists()? {
            self.make(&path)?;
        }
        let Some(_) = self.ids else { return Ok(Home { path, uid: None }) };
        let uid = fs::symlink_metadata(&path)?.uid();
        if !ID_RANGES.iter().any(|ids| ids.contains(&uid)) {
            let text = format!("{} belongs to user id {uid}, no desktop's", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        Ok(Home { path, uid: Some(uid) })
    }

    /// Makes the folder under another name first, so that it never appears without its owner.
    fn make(&self, path: &Path) -> io::Result<()> {
        let new = self.root.join(".new");
        match fs::remove_dir_all(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::DirBuilder::new().mode(0o700).create(&new)?;
        copy_skeleton(Path::new("/etc/skel"), &new)?;
        if let Some(ids) = &self.ids {
            let uid = self.fresh_id(ids)?;
            for entry in fs::read_dir(&new)? {
                chown(entry?.path(), Some(uid), Some(uid))?;
            }
            chown(&new, Some(uid), Some(uid))?;
        }
        fs::rename(&new, path)
    }

    /// Never one that was given before, even if that owner's home is gone by now.
    fn fresh_id(&self, ids: &Range<u32>) -> io::Result<u32> {
        let high_water = self.root.join(HIGH_WATER);
        let mut next = match fs::read(&high_water) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => ids.start,
            Err(error) => return Err(error),
        };
        for entry in fs::read_dir(&self.root)? {
            let uid = entry?.metadata()?.uid();
            if ids.contains(&uid) {
                next = next.max(uid + 1);
            }
        }
        if !ids.contains(&next) {
            return Err(io::Error::other("no user id is left for a new home"));
        }
        write_whole(&high_water, &(next + 1))?;
        Ok(next)
    }
}

/// Plain files only: `.bashrc` and the like.
fn copy_skeleton(from: &Path, to: &Path) -> io::Result<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Whether a `uid_map` lets this process use all of `ids`. `user_namespaces(7)`: inside, outside, count.
fn is_mapped(map: &str, ids: &Range<u32>) -> bool {
    map.lines().any(|line| {
        let mut words = line.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
        let (Some(inside), Some(_), Some(count)) = (words.next(), words.next(), words.next())
        else {
            return false;
        };
        inside <= u64::from(ids.start) && u64::from(ids.end) <= inside + count
    })
}

/// The first is in nobody's use (systemd, UIDS-GIDS: 1879048192 to 2147483647 are free); the second
/// is for containers that have 65536 ids only.
const ID_RANGES: [Range<u32>; 2] = [1_900_000_000..1_900_100_000, 30_000..60_000];
const HIGH_WATER: &str = "next-id.json";

#[cfg(test)]
mod tests {
    use super::is_mapped;

    #[test]
    fn a_range_must_be_mapped_whole() {
        let all = "         0          0 4294967295\n";
        assert!(is_mapped(all, &(1_900_000_000..1_900_100_000)));
        let container = "0 100000 65536\n";
        assert!(!is_mapped(container, &(1_900_000_000..1_900_100_000)));
        assert!(is_mapped(container, &(30_000..60_000)));
        assert!(!is_mapped(container, &(30_000..70_000)));
        assert!(!is_mapped("", &(0..1)));
    }
}

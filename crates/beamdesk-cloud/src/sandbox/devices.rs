//! The device nodes by which programs use a card, for those cards that are a desktop's.
//!
//! ```text
//! /dev/dri/by-path/pci-ADDRESS-{card,render} -> ../cardN, ../renderDN      any driver
//! /proc/driver/nvidia/gpus/ADDRESS/information: "Device Minor: N" -> /dev/nvidiaN   NVIDIA's
//! ```
//! A card that is given to virtual machines, or has no driver, has none of these: then there is
//! nothing to give, and the desktop is only told what is its own.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use beamdesk_types::CardAddress;
use serde::{Deserialize, Serialize};

/// What of `/dev` a desktop gets for its cards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Devices {
    /// Each at the same place inside.
    pub(super) nodes: Vec<PathBuf>,
    /// Names for them: what they say, and where they are.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    /// Groups that may use the nodes; never root's.
    pub(super) groups: Vec<u32>,
}

impl Devices {
    /// Looks for what there is of these cards. `root` is `/` outside tests.
    pub(super) fn of(root: &Path, cards: &[CardAddress]) -> io::Result<Self> {
        let mut found = Self::default();
        let mut has_nvidia = false;
        for card in cards {
            for kind in ["card", "render"] {
                let name = format!("pci-{card}-{kind}");
                found.add_dri(root, &name)?;
            }
            if let Some(minor) = nvidia_minor(root, card)? {
                has_nvidia |= found.add_node(root, PathBuf::from(format!("/dev/nvidia{minor}")))?;
            }
        }
        if has_nvidia {
            for name in NVIDIA_CONTROL {
                found.add_node(root, PathBuf::from(name))?;
            }
        }
        Ok(found)
    }

    fn add_dri(&mut self, root: &Path, name: &str) -> io::Result<()> {
        let link = Path::new(BY_PATH).join(name);
        let target = match fs::read_link(below(root, &link)) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        // Only what lies in /dev/dri itself: nothing else is what the kernel makes there.
        let Ok(node) = target.strip_prefix("..") else { return Ok(()) };
        let is_plain = node.components().count() == 1 && node.file_name().is_some();
        if is_plain && self.add_node(root, Path::new("/dev/dri").join(node))? {
            self.links.push((target, link));
        }
        Ok(())
    }

    /// False: there is no such device.
    fn add_node(&mut self, root: &Path, node: PathBuf) -> io::Result<bool> {
        let metadata = match fs::symlink_metadata(below(root, &node)) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let is_device = metadata.file_type().is_char_device();
        // A tree of plain files stands for `/dev` in tests.
        if !is_device && root == Path::new("/") {
            return Ok(false);
        }
        if metadata.gid() != 0 && !self.groups.contains(&metadata.gid()) {
            self.groups.push(metadata.gid());
        }
        if !self.nodes.contains(&node) {
            self.nodes.push(node);
        }
        Ok(true)
    }
}

fn nvidia_minor(root: &Path, card: &CardAddress) -> io::Result<Option<u32>> {
    let path = Path::new(NVIDIA_GPUS).join(card.as_str()).join("information");
    let text = match fs::read_to_string(below(root, &path)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let minor = text.lines().find_map(|line| line.strip_prefix("Device Minor:"));
    Ok(minor.and_then(|minor| minor.trim().parse().ok()))
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

const BY_PATH: &str = "/dev/dri/by-path";
const NVIDIA_GPUS: &str = "/proc/driver/nvidia/gpus";
/// What all users of NVIDIA's driver share.
const NVIDIA_CONTROL: [&str; 3] = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-modeset"];

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::symlink,
        path::{Path, PathBuf},
    };

    use beamdesk_types::CardAddress;

    use super::Devices;

    fn file(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn cards(addresses: &[&str]) -> Vec<CardAddress> {
        addresses.iter().map(|address| address.parse().unwrap()).collect()
    }

    #[test]
    fn a_desktop_gets_the_nodes_of_its_cards_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for node in ["card0", "card1", "renderD128", "renderD129"] {
            file(root, &format!("dev/dri/{node}"), "");
        }
        for node in ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"] {
            file(root, &format!("dev/{node}"), "");
        }
        let by_path = root.join("dev/dri/by-path");
        fs::create_dir_all(&by_path).unwrap();
        for (address, card, render) in
            [("0000:41:00.0", "card0", "renderD128"), ("0000:42:00.0", "card1", "renderD129")]
        {
            symlink(format!("../{card}"), by_path.join(format!("pci-{address}-card"))).unwrap();
            symlink(format!("../{render}"), by_path.join(format!("pci-{address}-render"))).unwrap();
        }
        let information = "Model: \t\t NVIDIA RTX A6000\nDevice Minor: \t 1\n";
        file(root, "proc/driver/nvidia/gpus/0000:42:00.0/information", information);

        let found = Devices::of(root, &cards(&["0000:42:00.0"])).unwrap();
        let nodes: Vec<&str> = found.nodes.iter().filter_map(|node| node.to_str()).collect();
        assert_eq!(
            nodes,
            [
                "/dev/dri/card1",
                "/dev/dri/renderD129",
                "/dev/nvidia1",
                "/dev/nvidiactl",
                "/dev/nvidia-uvm"
            ]
        );
        assert_eq!(found.links[0].0, PathBuf::from("../card1"));
        assert_eq!(found.links[0].1, Path::new("/dev/dri/by-path/pci-0000:42:00.0-card"));
    }

    #[test]
    fn what_has_no_nodes_gives_none_and_a_link_that_leads_away_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let by_path = dir.path().join("dev/dri/by-path");
        fs::create_dir_all(&by_path).unwrap();
        symlink("../../mem", by_path.join("pci-0000:41:00.0-card")).unwrap();
        symlink("/dev/mem", by_path.join("pci-0000:41:00.0-render")).unwrap();
        file(dir.path(), "dev/mem", "");
        let wanted = cards(&["0000:41:00.0", "mig-6f2c", "0000:99:00.0"]);
        assert_eq!(Devices::of(dir.path(), &wanted).unwrap(), Devices::default());
    }
}

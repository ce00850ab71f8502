//! The image of the guest: Debian with what a desktop's session needs, and our agent.
//!
//! Made without loop devices or mounts of images, so that it works in a container too: `mmdebstrap` makes a
//! tree, `mke2fs -d` a disk of it. Kernel and initrd lie beside it for a direct boot, without firmware.

use std::{
    ffi::OsString,
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{place::Place, wait::Progress};
use crate::run::{Step, cargo, root};

const SUITE: &str = "bookworm";
/// What starts a machine, and what cloud-init needs beside.
const SYSTEM: &[&str] = &[
    "linux-image-cloud-amd64",
    "busybox-static",
    "cpio",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "iproute2",
    "procps",
    "ca-certificates",
    "cloud-init",
];
/// What the agent's session starts; as the packages of `cargo xtask up` for the desktop.
const SESSION: &[&str] = &[
    "xvfb",
    "xauth",
    "x11-xkb-utils",
    "xkb-data",
    "x11-xserver-utils",
    "openbox",
    "tint2",
    "pcmanfm",
    "lxterminal",
    "gpicview",
    "mousepad",
    "galculator",
    "xarchiver",
    "htop",
    "dbus-x11",
    "adwaita-icon-theme",
    "fonts-dejavu-core",
];
/// Nobody reads them there; they are a third of the files.
const LEFT_OUT: &[&str] = &["doc", "man", "info", "locale", "help", "lintian"];
/// Virtual size; a flavor's disk may be larger. The file holds what is used only.
const DISK: &str = "3G";
/// Under emulation the kernel's check of its timer fails now and then on a busy machine.
const COMMAND_LINE: &str = "root=/dev/vda rw console=ttyS0 no_timer_check mitigations=off";

/// What goes to Glance.
pub(super) struct GuestFiles {
    folder: PathBuf,
    digest: String,
}

impl GuestFiles {
    pub(super) fn to_json(&self) -> Value {
        json!({
            "digest": self.digest,
            "kernel": self.folder.join("vmlinuz"),
            "initrd": self.folder.join("initrd"),
            "disk": self.folder.join("disk.qcow2"),
            "command_line": COMMAND_LINE,
        })
    }
}

/// The newest image: made anew only if its recipe or the agent has changed.
pub(super) fn ensure(place: &Place, progress: &Progress) -> Result<GuestFiles> {
    let agent = agent()?;
    let cache = place.cache().join("guest");
    fs::create_dir_all(&cache)?;
    let recipe = recipe()?;
    let digest = digest(&[recipe.as_bytes(), &fs::read(&agent)?]);
    let folder = cache.join(format!("image-{digest}"));
    let files = GuestFiles { folder: folder.clone(), digest };
    if folder.exists() {
        progress.say("the guest's image is there");
        return Ok(files);
    }
    let tree = cache.join(format!("tree-{}", self::digest(&[recipe.as_bytes()])));
    remove_others(&cache, &tree)?;
    if !tree.exists() {
        progress.say("making the guest's system (minutes)");
        make_tree(&tree)?;
        progress.say("the guest's system is made");
    }
    put_agent(&tree, &agent)?;
    let unfinished = cache.join("unfinished");
    make_disk(&tree, &unfinished)?;
    fs::rename(&unfinished, &folder)?;
    progress.say("the guest's image is made");
    Ok(files)
}

/// The image that was made last.
pub(super) fn present(place: &Place) -> Result<Option<GuestFiles>> {
    for entry in fs::read_dir(place.cache().join("guest"))? {
        let folder = entry?.path();
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(digest) = name.strip_prefix("image-") {
            let digest = digest.to_owned();
            return Ok(Some(GuestFiles { folder, digest }));
        }
    }
    Ok(None)
}

/// The agent as it is built for use: unoptimised it would take minutes under emulation. Where `BEAMDESK_BIN`
/// names a folder, as for the end-to-end tests, it is taken from there as it is.
fn agent() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("BEAMDESK_BIN") {
        let agent = PathBuf::from(folder).join("beamdesk-agent");
        if !agent.exists() {
            bail!("BEAMDESK_BIN has no beamdesk-agent");
        }
        return Ok(agent);
    }
    cargo().args(["build", "--release", "--quiet", "--package", "beamdesk-agent"]).run()?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let agent = target.join("release/beamdesk-agent");
    if !agent.exists() {
        bail!("{} is missing after its build", agent.display());
    }
    Ok(agent)
}

fn here(name: &str) -> PathBuf {
    root().join("xtask/src/openstack/guest").join(name)
}

/// The agent's unit and user, as its package brings them.
const UNIT: &str = "deploy/systemd/beamdesk-agent.service";
const USERS: &str = "deploy/agent-sysusers.conf";

/// Everything that the tree depends on, in one text.
fn recipe() -> Result<String> {
    let mut recipe = format!("{SUITE} {SYSTEM:?} {SESSION:?} {LEFT_OUT:?} {DISK} {COMMAND_LINE}\n");
    let mut files = vec![root().join(UNIT), root().join(USERS), here("finish.sh")];
    collect(&here("etc"), &mut files)?;
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        recipe += &text;
    }
    Ok(recipe)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// Names a cache entry; nothing more is asked of it.
fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Images and trees of earlier recipes and agents.
fn remove_others(cache: &Path, tree: &Path) -> Result<()> {
    for entry in fs::read_dir(cache)? {
        let path = entry?.path();
        if path != tree {
            let removed =
                if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.with_context(|| format!("could not remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn make_tree(tree: &Path) -> Result<()> {
    let unfinished = tree.with_extension("unfinished");
    let include = [SYSTEM, SESSION].concat().join(",");
    let paths = LEFT_OUT.iter().map(|name| format!("--dpkgopt=path-exclude=/usr/share/{name}/*"));
    let copy = format!("--customize-hook=cp -r {}/. \"$1/etc/\"", here("etc").display());
    let unit = format!("--customize-hook=cp {UNIT} \"$1/etc/systemd/system/\"");
    let users =
        format!("--customize-hook=cp {USERS} \"$1/usr/lib/sysusers.d/beamdesk-agent.conf\"");
    let script = format!("--customize-hook=cp {} \"$1/finish.sh\"", here("finish.sh").display());
    Step::new("mmdebstrap")
        .args(["--variant=minbase", "--mode=root", "--quiet", "--dpkgopt=force-unsafe-io"])
        .args(["--aptopt=Apt::Install-Recommends \"false\"", &format!("--include={include}")])
        .args(paths)
        .args([&copy, &unit, &users, &script, "--customize-hook=chroot \"$1\" sh /finish.sh"])
        .args([OsString::from(SUITE), unfinished.clone().into_os_string()])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .run()
        .context("the guest's system could not be made; are Debian's packages within reach?")?;
    Ok(fs::rename(unfinished, tree)?)
}

fn put_agent(tree: &Path, agent: &Path) -> Result<()> {
    let there = tree.join("usr/bin/beamdesk-agent");
    // Without its symbols it is a tenth.
    Step::new("strip")
        .args([Path::new("-o"), &there, agent])
        .run()
        .context("the agent could not be put into the guest's system")?;
    Ok(fs::set_permissions(there, fs::Permissions::from_mode(0o755))?)
}

fn make_disk(tree: &Path, folder: &Path) -> Result<()> {
    drop(fs::remove_dir_all(folder));
    fs::create_dir_all(folder)?;
    for (name, prefix) in [("vmlinuz", "vmlinuz-"), ("initrd", "initrd-direct")] {
        let kernel = newest(&tree.join("boot"), prefix)?;
        fs::copy(kernel, folder.join(name))?;
    }
    let (raw, disk) = (folder.join("disk.raw"), folder.join("disk.qcow2"));
    Step::new("mke2fs")
        .args(["-q", "-t", "ext4", "-L", "beamdesk-root", "-d"])
        .args([tree.as_os_str(), raw.as_os_str(), DISK.as_ref()])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .run()?;
    Step::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .args([&raw, &disk])
        .run()?;
    Ok(fs::remove_file(raw)?)
}

/// The one file of that name; the last by name if there are several kernels.
fn newest(folder: &Path, prefix: &str) -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with(prefix))
        })
        .collect();
    found.sort();
    found.pop().with_context(|| format!("there is no {prefix}* in {}", folder.display()))
}

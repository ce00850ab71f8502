//! The lab's packages: asked for nothing by debconf, and none of their services started by apt.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::packages::{self, For};

/// OpenStack Zed; later releases have no linuxbridge, and other files.
const CODENAME: &str = "VERSION_CODENAME=bookworm";

/// Another apt is waited for, seconds.
const LOCK_WAIT: &str = "DPkg::Lock::Timeout=300";
const QEMU_UTILS: &str = "qemu-utils/bookworm";

/// The databases and endpoints are ours to make.
const ANSWERS: &str = "\
keystone keystone/configure_db boolean false
keystone keystone/register-endpoint boolean false
glance-common glance/configure_db boolean false
glance-api glance/register-endpoint boolean false
nova-common nova/configure_db boolean false
nova-api nova-api/configure_db boolean false
nova-api nova/register-endpoint boolean false
neutron-common neutron/configure_db boolean false
neutron-server neutron/register-endpoint boolean false
placement-common placement/configure_db boolean false
placement-api placement/register-endpoint boolean false
";

/// Says to dpkg which services it may start.
const POLICY: &str = "/usr/sbin/policy-rc.d";

pub(super) fn install(guest: bool, yes: bool) -> Result<()> {
    let purpose = if guest { For::LabWithGuests } else { For::Lab };
    let missing = packages::missing(purpose);
    if missing.is_empty() {
        return Ok(());
    }
    let about = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !about.lines().any(|line| line == CODENAME) {
        bail!(
            "the lab is made of the OpenStack packages of Debian 12 (bookworm); this is another system"
        );
    }
    packages::agree(&missing, yes)?;
    let quiet = Quiet::new()?;
    preseed()?;
    let mut options = vec!["-o", "Dpkg::Options::=--force-unsafe-io", "-o", LOCK_WAIT];
    if guest {
        // A newer one, of backports, would keep the emulator itself out.
        options.extend(["--allow-downgrades", QEMU_UTILS]);
    }
    let fetched = packages::fetch(&missing, &options);
    drop(quiet);
    fetched.context(
        "Debian's OpenStack packages could not be installed. The lab needs about 400 packages (0.8 GB) \
         from a Debian 12 mirror; see what apt-get said above",
    )
}

fn preseed() -> Result<()> {
    let mut child = Command::new("debconf-set-selections")
        .stdin(Stdio::piped())
        .spawn()
        .context("could not start debconf-set-selections")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(ANSWERS.as_bytes())?;
    }
    if !child.wait()?.success() {
        bail!("debconf-set-selections failed");
    }
    Ok(())
}

/// While it lives no package starts a service.
struct Quiet(Option<PathBuf>);

impl Quiet {
    fn new() -> Result<Self> {
        let path = Path::new(POLICY);
        if path.exists() {
            return Ok(Self(None)); // The machine has its own.
        }
        fs::write(path, "#!/bin/sh\nexit 101\n")
            .with_context(|| format!("could not write {POLICY}"))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(Some(path.to_owned())))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            drop(fs::remove_file(path));
        }
    }
}

//! The host that boots real guests: libvirt and its nova-compute, and Neutron's agents beside it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{
    network,
    place::{Place, SOCKETS},
    process::{self, Daemon},
    services, tool,
    wait::{self, Progress},
};

const START: Duration = Duration::from_secs(60);
/// What libvirt reads and writes of the system, and where our copy is: in its own view of the file system it
/// finds ours instead, so that nothing of the system's libvirt is touched.
const VIEW: &[(&str, &str)] = &[
    ("etc", "/etc/libvirt"),
    ("lib", "/var/lib/libvirt"),
    ("cache", "/var/cache/libvirt"),
    ("log", "/var/log/libvirt"),
    ("run", "/run/libvirt"),
];

/// What Nova calls this machine: by its own name, as a monitor on it does, so that Beamdesk joins the two.
pub(super) fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim().to_ascii_lowercase();
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(fits);
    if is_name && !name.starts_with("fake") { name } else { "lab1".to_owned() }
}

/// How guests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accelerator {
    Kvm,
    /// Every instruction in software: slow, and works anywhere.
    Emulated,
}

impl Accelerator {
    /// A `/dev/kvm` alone is no yes: there are kinds that cannot run an unmodified kernel.
    pub(super) fn here() -> Self {
        let has = |path: &str| Path::new(path).exists();
        let real = has("/sys/module/kvm_intel") || has("/sys/module/kvm_amd");
        if has("/dev/kvm") && real { Self::Kvm } else { Self::Emulated }
    }

    /// Lines of nova-libvirt.conf.
    pub(super) fn virt_type(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Emulated => "qemu",
        }
    }

    /// Emulated, a processor without AVX is the quickest: programs then choose the plain code.
    pub(super) fn cpu(self) -> &'static str {
        match self {
            Self::Kvm => "cpu_mode = host-model",
            Self::Emulated => "cpu_mode = custom\ncpu_models = Nehalem",
        }
    }
}

pub(super) fn up(place: &Place, progress: &Progress) -> Result<()> {
    network::up(place)?;
    libvirt(place)?;
    let config = |name: &str| place.etc().join(name).display().to_string();
    let shared = config("neutron.conf");
    for (name, own) in [
        ("neutron-linuxbridge-agent", "linuxbridge.ini"),
        ("neutron-dhcp-agent", "dhcp.ini"),
        ("neutron-metadata-agent", "metadata.ini"),
    ] {
        let words = [name, "--config-file", &shared, "--config-file", &config(own)];
        Daemon::new(name, &words).start(place)?;
    }
    services::nova(place, "nova-compute", "nova-compute", "nova-libvirt.conf").start(place)?;
    let kind = match Accelerator::here() {
        Accelerator::Kvm => "with KVM",
        Accelerator::Emulated => "emulated, hence slow",
    };
    progress.say(&format!("libvirt, nova-compute and Neutron's agents run (guests {kind})"));
    Ok(())
}

/// Ends guests: their emulators are nobody's children. The rest ends with all else.
pub(super) fn down() {
    for pid in emulators() {
        tool::attempt(&["kill", "-KILL", &pid]);
    }
}

/// libvirtd and virtlogd in a view of the file system with folders of our own.
fn libvirt(place: &Place) -> Result<()> {
    if process::runs(place, "libvirtd") {
        return Ok(());
    }
    for (name, system) in VIEW {
        let own = own_folder(name);
        fs::create_dir_all(&own).with_context(|| format!("could not make {}", own.display()))?;
        fs::create_dir_all(system).with_context(|| format!("could not make {system}"))?;
    }
    fs::copy(place.etc().join("qemu.conf"), own_folder("etc").join("qemu.conf"))?;
    let mut script = String::from("set -e\n");
    for (name, system) in VIEW {
        script += &format!("mount --bind {} {system}\n", own_folder(name).display());
    }
    script += "virtlogd --daemon\nexec libvirtd --config \"$1\"\n";
    let config = place.etc().join("libvirtd.conf").display().to_string();
    let words =
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", &script, "sh", &config];
    Daemon::new("libvirtd", &words).start(place)?;
    let socket = own_folder("run").join("libvirt-sock");
    wait::until("libvirt answers", START, || {
        process::must_run(place, "libvirtd")?;
        Ok(socket.exists())
    })
}

fn own_folder(name: &str) -> PathBuf {
    Path::new(SOCKETS).join("libvirt").join(name)
}

/// Pids of the guests' emulators.
fn emulators() -> Vec<String> {
    fs::read_dir(own_folder("run").join("qemu"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "pid"))
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .map(|text| text.trim().to_owned())
        .filter(|pid| is_emulator(pid))
        .collect()
}

/// A number may have gone to another program since.
fn is_emulator(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("qemu"))
}

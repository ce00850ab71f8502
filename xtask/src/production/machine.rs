//! Machines: network namespaces with a file system, host name and processes of their own.
//!
//! The file system is an overlay over this machine's own, which stays as it is; what a machine
//! writes is in memory, and gone with it. There is no systemd in it: see [`super::systemctl`].

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::wait::until;
use crate::run::{Step, root};

/// One machine of the page.
pub(super) struct Described {
    pub(super) name: &'static str,
    /// Last part of its address in 198.51.100.0/24 (RFC 5737).
    host: u8,
    /// What it calls itself, where the cloud knows it by another name.
    host_name: Option<&'static str>,
}

const fn machine(name: &'static str, host: u8) -> Described {
    Described { name, host, host_name: None }
}

/// The machines of the page, with their addresses there.
pub(super) const MACHINES: &[Described] = &[
    machine("admin", 2),
    machine("lb", 5),
    machine("portal-1", 11),
    machine("portal-2", 12),
    machine("portal-3", 13),
    machine("gateway-1", 21),
    machine("gateway-2", 22),
    machine("db", 31),
    // The lab's first host.
    Described { name: "compute-1", host: 41, host_name: Some("fake001") },
];
/// Stands for the server that the cloud would boot.
pub(super) const SERVER: Described = machine("server", 51);

/// The one that reaches into the others by `ssh` and `scp`.
const ADMIN: &str = "admin";
/// In the switch: a network namespace of its own, so that neither this machine's addresses nor its
/// rules have anything to do with the machines'.
const BRIDGE: &str = "bridge";
/// Where the pids of machines are told to `ssh` and `scp`.
pub(super) const PIDS: &str = "/run/beamdesk-machines";
const BOOT_MAX: Duration = Duration::from_secs(30);
/// The longest step is the upgrade of a gateway, which drains for two minutes.
const STEP_MAX: &str = "600";

/// `$1` name of the host, `$2` empty folder, `$3` this program, `$4` what `ssh` and `scp` are.
const BOOT: &str = r#"
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=0755 machine "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=/,upperdir=$2/upper,workdir=$2/work" overlay "$2/root"
cd "$2/root"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=0755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mkdir -p run/systemd/system run/lock
rm -rf etc/beamdesk var/lib/beamdesk* root/site etc/haproxy/haproxy.cfg.d
rm -f usr/bin/systemctl bin/systemctl
cp "$3" usr/bin/systemctl
chmod 0755 usr/bin/systemctl
if [ "$4" = reaches ]; then
    for program in ssh scp; do rm -f usr/local/bin/$program; ln -s /usr/bin/systemctl usr/local/bin/$program; done
    mkdir -p run/beamdesk-machines
    mount --bind /run/beamdesk-machines run/beamdesk-machines
fi
hostname "$1"
echo "$1" >etc/hostname
printf '127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t%s\n' "$1" >etc/hosts
mkdir -p root/packages
# No mirror is reached from here: what there is, is installed.
rm -rf var/lib/apt/lists/*
chroot . systemd-tmpfiles --create >/dev/null 2>&1 || true
ip link set lo up
touch run/booted
exec chroot . sleep infinity
"#;

/// A machine that runs. Ends with the value.
pub(super) struct Machine {
    pub(super) name: &'static str,
    pub(super) address: String,
    process: Child,
    /// Its first process, as this machine counts.
    pid: u32,
}

/// All machines, on one network.
pub(super) struct Site {
    machines: Vec<Machine>,
    switch: Switch,
}

/// What the machines' cables end in.
struct Switch {
    process: Child,
    pid: u32,
}

impl Site {
    /// Starts all of them, with the packages in `/root/packages` of each.
    pub(super) fn start(packages: &Path) -> Result<Self> {
        fs::create_dir_all(PIDS).context(PIDS)?;
        let mut site = Self { machines: Vec::new(), switch: Switch::start()? };
        for described in MACHINES.iter().chain([&SERVER]) {
            let machine = Machine::start(described, &site.switch)?;
            site.machines.push(machine);
        }
        for machine in &site.machines {
            machine.put_packages(packages)?;
        }
        Ok(site)
    }

    pub(super) fn machine(&self, name: &str) -> Result<&Machine> {
        let found = self.machines.iter().find(|machine| machine.name == name);
        found.with_context(|| format!("no machine is called {name}"))
    }

    pub(super) fn all(&self) -> &[Machine] {
        &self.machines
    }

    /// Copies what services logged; for a run that failed.
    pub(super) fn keep_logs(&self) -> PathBuf {
        let folder = root().join("target/production/logs");
        for machine in &self.machines {
            let to = folder.join(machine.name);
            let made = fs::create_dir_all(&to);
            let script = "cd /var/log && tar -cf - --ignore-failed-read *.log haproxy* postgresql 2>/dev/null || true";
            if let (Ok(()), Ok(output)) = (made, machine.enter(&["bash", "-c", script]).output()) {
                let unpacked = Command::new("tar")
                    .args(["-xf", "-", "-C"])
                    .arg(&to)
                    .stdin(Stdio::piped())
                    .spawn();
                if let Ok(mut tar) = unpacked {
                    if let Some(mut input) = tar.stdin.take() {
                        drop(input.write_all(&output.stdout));
                    }
                    drop(tar.wait());
                }
            }
        }
        folder
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.machines.clear();
        drop(fs::remove_dir_all(PIDS));
    }
}

impl Switch {
    fn start() -> Result<Self> {
        let mut unshare = Command::new("unshare");
        unshare.args(["--net", "--fork", "--kill-child", "sleep", "infinity"]).stdin(Stdio::null());
        let process = unshare.spawn().context("could not start `unshare`")?;
        let mut switch = Self { process, pid: 0 };
        switch.pid = first_process(&mut switch.process, "the switch")?;
        ip(switch.pid, &format!("link add {BRIDGE} type bridge"))?;
        ip(switch.pid, &format!("link set {BRIDGE} up"))?;
        Ok(switch)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Machine {
    fn start(described: &Described, switch: &Switch) -> Result<Self> {
        let Described { name, host, host_name } = *described;
        let folder = format!("/run/beamdesk-machine-{name}");
        fs::create_dir_all(&folder).with_context(|| folder.clone())?;
        let reaches = if name == ADMIN { "reaches" } else { "alone" };
        let this = std::env::current_exe()?;
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--net", "--uts", "--ipc", "--fork", "--kill-child"]);
        if name != ADMIN {
            unshare.args(["--pid", "--mount-proc"]);
        }
        unshare
            .args(["sh", "-c", BOOT, "boot", host_name.unwrap_or(name), &folder])
            .arg(this)
            .arg(reaches)
            .stdin(Stdio::null())
            .current_dir("/");
        let process = unshare.spawn().context("could not start `unshare`")?;
        let mut machine = Self { name, address: format!("198.51.100.{host}"), process, pid: 0 };
        machine.pid = first_process(&mut machine.process, name)?;
        machine.connect(host, switch)?;
        machine.wait_until_booted()?;
        fs::write(Path::new(PIDS).join(name), machine.pid.to_string()).context(PIDS)?;
        Ok(machine)
    }

    /// A cable from its `eth0` to the switch.
    fn connect(&self, host: u8, switch: &Switch) -> Result<()> {
        let (cable, pid) = (format!("cable-{host}"), self.pid);
        ip(switch.pid, &format!("link add {cable} type veth peer name eth0 netns {pid}"))?;
        ip(switch.pid, &format!("link set {cable} master {BRIDGE} up"))?;
        ip(pid, &format!("address add {}/24 dev eth0", self.address))?;
        ip(pid, "link set eth0 up")
    }

    fn wait_until_booted(&mut self) -> Result<()> {
        // Only the last step of the start has this root.
        let booted = PathBuf::from(format!("/proc/{}/root/run/booted", self.pid));
        until(&format!("the start of {}", self.name), BOOT_MAX, || {
            must_live(&mut self.process, self.name)?;
            Ok(booted.exists().then_some(()))
        })
    }

    /// Of its first process, as this machine counts.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// A command inside it.
    pub(super) fn enter(&self, words: &[&str]) -> Command {
        let mut command = enter(self.pid, self.name != ADMIN);
        command.args(words).stdin(Stdio::null());
        command
    }

    /// How a person gets in.
    pub(super) fn way_in(&self) -> String {
        let processes = if self.name == ADMIN { "" } else { " -p" };
        format!("nsenter -t {} -m -n -u -i -r{processes} --wdns=/root bash", self.pid)
    }

    /// A program of this machine that sees only its network.
    pub(super) fn in_its_network(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid.to_string(), "-n"]).arg(program).args(words);
        command
    }

    /// Runs what a person would type; gives what it said.
    pub(super) fn run(&self, script: &str) -> Result<String> {
        let words = ["timeout", STEP_MAX, "bash", "-eu", "-o", "pipefail", "-c", script];
        let output = self.enter(&words).output()?;
        check(&output)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Writes a file that only root may read.
    pub(super) fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let script = "umask 077; mkdir -p \"$(dirname \"$1\")\"; cat >\"$1\"";
        let mut child = self
            .enter(&["sh", "-c", script, "put", path])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("asked for above")?.write_all(bytes)?;
        check(&child.wait_with_output()?).with_context(|| format!("{path}, on {}", self.name))
    }

    pub(super) fn put_packages(&self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".deb") {
                let mut bytes = Vec::new();
                fs::File::open(&path)?.read_to_end(&mut bytes)?;
                self.put(&format!("/root/packages/{name}"), &bytes)?;
            }
        }
        // As downloaded packages are: apt's own user reads them.
        self.run("chmod 755 /root /root/packages; chmod 644 /root/packages/*").map(drop)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Takes the first process along, and that all others.
        drop(self.process.kill());
        drop(self.process.wait());
        drop(fs::remove_dir(format!("/run/beamdesk-machine-{}", self.name)));
    }
}

/// The child of `unshare`, which is in the new namespaces.
fn first_process(unshare: &mut Child, name: &str) -> Result<u32> {
    let pid = unshare.id();
    let children = format!("/proc/{pid}/task/{pid}/children");
    until(&format!("the start of {name}"), BOOT_MAX, || {
        must_live(unshare, name)?;
        let found = fs::read_to_string(&children).unwrap_or_default();
        Ok(found.split_whitespace().next().and_then(|pid| pid.parse().ok()))
    })
}

fn must_live(process: &mut Child, name: &str) -> Result<()> {
    match process.try_wait()? {
        None => Ok(()),
        Some(status) => bail!("{name} ended at its start ({status})"),
    }
}

/// `ip`, in the network of that process.
fn ip(pid: u32, words: &str) -> Result<()> {
    let pid = pid.to_string();
    Step::new("nsenter").args(["-t", &pid, "-n", "ip"]).args(words.split(' ')).run_quietly()
}

/// A command in the machine with this first process.
pub(super) fn enter(pid: u32, has_own_processes: bool) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["-t", &pid.to_string(), "-m", "-n", "-u", "-i", "-r", "--wdns=/root"]);
    if has_own_processes {
        command.arg("-p");
    }
    command
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .process_group(0);
    command
}

fn check(output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    bail!("{}\n{}{}", output.status, tail(&out), tail(&err))
}

/// The end of what was said, which mostly tells what is wrong.
fn tail(text: &str) -> String {
    const LINES: usize = 30;
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    lines[from..].iter().map(|line| format!("{line}\n")).collect()
}

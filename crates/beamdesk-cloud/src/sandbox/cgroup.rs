//! Control groups: limits of memory, CPU and tasks, and the sure way to kill all of a desktop.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

use super::process::Process;

/// One desktop's group in one hierarchy, with what to write into it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) path: PathBuf,
    pub(super) settings: Vec<Setting>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Setting {
    file: String,
    value: String,
    /// Without it the limit would not be in force; so the desktop does not start.
    required: bool,
}

/// What one desktop may use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) memory_mib: u64,
    pub(super) vcpus: u32,
    pub(super) tasks: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Cpu,
    Pids,
}

/// Where this deployment's groups go, per controller.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    /// `Err`: why it cannot be had, for operators.
    memory: Result<Place, String>,
    cpu: Result<Place, String>,
    pids: Result<Place, String>,
}

#[derive(Debug, Clone)]
struct Place {
    parent: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Groups {
    /// Finds, by trying, which controllers can be had for groups below a folder `name`.
    pub(super) fn probe(name: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let place = |controller| probe_one(&mounts, name, controller);
        Self {
            memory: place(Controller::Memory),
            cpu: place(Controller::Cpu),
            pids: place(Controller::Pids),
        }
    }

    /// No group at all, and why.
    pub(super) fn none(why: &str) -> Self {
        let why = || Err(why.to_owned());
        Self { memory: why(), cpu: why(), pids: why() }
    }

    /// What a controller's limit is made of, or why it cannot be had.
    pub(super) fn detail(&self, controller: Controller) -> Result<String, String> {
        match self.place(controller) {
            Ok(place) => Ok(match place.version {
                Version::V1 => "cgroup v1".to_owned(),
                Version::V2 => "cgroup v2".to_owned(),
            }),
            Err(why) => Err(why.clone()),
        }
    }

    /// The groups of one desktop; empty when none can be had.
    pub(super) fn of(&self, desktop: &str, limits: Limits) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for controller in CONTROLLERS {
            let Ok(place) = self.place(controller) else { continue };
            let path = place.parent.join(desktop);
            let settings = settings(controller, place.version, limits);
            match groups.iter_mut().find(|group| group.path == path) {
                Some(group) => group.settings.extend(settings),
                None => groups.push(Group { path, settings }),
            }
        }
        groups
    }

    /// Paths of one desktop's groups, to be cleared.
    pub(super) fn paths_of(&self, desktop: &str) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> =
            self.parents().into_iter().map(|parent| parent.join(desktop)).collect();
        paths.dedup();
        paths
    }

    /// Names of all groups of this deployment that exist.
    pub(super) fn present(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for parent in self.parents() {
            let Ok(entries) = fs::read_dir(parent) else { continue };
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    names.push(entry.file_name().to_string_lossy().into_owned());
                }
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Removes this deployment's own parent groups where they are empty.
    pub(super) fn remove_parents(&self) {
        for parent in self.parents() {
            // Not empty means that a desktop still runs, and then it must stay.
            drop(fs::remove_dir(parent));
        }
    }

    fn parents(&self) -> Vec<PathBuf> {
        let mut parents: Vec<PathBuf> = CONTROLLERS
            .iter()
            .filter_map(|&controller| self.place(controller).as_ref().ok())
            .map(|place| place.parent.clone())
            .collect();
        parents.sort_unstable();
        parents.dedup();
        parents
    }

    fn place(&self, controller: Controller) -> &Result<Place, String> {
        match controller {
            Controller::Memory => &self.memory,
            Controller::Cpu => &self.cpu,
            Controller::Pids => &self.pids,
        }
    }
}

impl Group {
    /// Makes the group and sets its limits.
    pub(super) fn make(&self) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        for setting in &self.settings {
            let written = fs::write(self.path.join(&setting.file), &setting.value);
            if let (Err(error), true) = (written, setting.required) {
                let place = self.path.join(&setting.file);
                return Err(io::Error::new(error.kind(), format!("{}: {error}", place.display())));
            }
        }
        Ok(())
    }

    /// Writing `0` into this moves the writer into the group.
    pub(super) fn door(&self) -> io::Result<fs::File> {
        fs::File::options().write(true).open(self.path.join(PROCS))
    }
}

/// Kills all that is in the group now. `Ok(true)`: it was empty or is not there.
pub(super) fn kill_all(path: &Path) -> io::Result<bool> {
    // v2 kills all at once, even while they fork.
    drop(fs::write(path.join("cgroup.kill"), "1"));
    let procs = match fs::read_to_string(path.join(PROCS)) {
        Ok(procs) => procs,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        // The group was removed between open and read.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(true),
        Err(error) => return Err(error),
    };
    let mut empty = true;
    for pid in procs.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)) {
        empty = false;
        // It may have ended by itself meanwhile, and its id be a stranger's by now.
        if let Some(process) = Process::hold(pid, || Ok(is_member(pid, path)))? {
            process.signal(Signal::KILL)?;
        }
    }
    Ok(empty)
}

/// Whether the process is in the group now: `cgroups(7)`, `/proc/PID/cgroup`.
fn is_member(pid: Pid, group: &Path) -> bool {
    let path = format!("/proc/{}/cgroup", pid.as_raw_nonzero());
    let lines = fs::read_to_string(path).unwrap_or_default();
    // Deployment and desktop name the group, wherever its hierarchy is mounted.
    lines.lines().filter_map(|line| line.rsplit_once(':')).any(|(_, place)| {
        let place = Path::new(place);
        place.file_name() == group.file_name()
            && place.parent().and_then(Path::file_name) == group.parent().and_then(Path::file_name)
    })
}

/// Removes the group. `Ok(false)`: something is still dying in it.
pub(super) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(false),
        Err(error) => Err(error),
    }
}

fn settings(controller: Controller, version: Version, limits: Limits) -> Vec<Setting> {
    let set =
        |file: &str, value: String, required| Setting { file: file.to_owned(), value, required };
    let memory = (limits.memory_mib * 1024 * 1024).to_string();
    let quota = u64::from(limits.vcpus) * CPU_PERIOD_US;
    match (controller, version) {
        (Controller::Memory, Version::V1) => vec![
            set("memory.limit_in_bytes", memory.clone(), true),
            // Not there when the kernel does not account swap.
            set("memory.memsw.limit_in_bytes", memory, false),
        ],
        (Controller::Memory, Version::V2) => {
            vec![set("memory.max", memory, true), set("memory.swap.max", "0".to_owned(), false)]
        }
        (Controller::Cpu, Version::V1) => vec![
            set("cpu.cfs_period_us", CPU_PERIOD_US.to_string(), true),
            set("cpu.cfs_quota_us", quota.to_string(), true),
        ],
        (Controller::Cpu, Version::V2) => {
            vec![set("cpu.max", format!("{quota} {CPU_PERIOD_US}"), true)]
        }
        (Controller::Pids, Version::V1 | Version::V2) => {
            vec![set("pids.max", limits.tasks.to_string(), true)]
        }
    }
}

/// Makes a group and sets a limit in it: the only honest test.
fn probe_one(mounts: &str, name: &str, controller: Controller) -> Result<Place, String> {
    let word = controller.word();
    let mut why = format!("the kernel has no {word} controller mounted");
    for (root, version) in roots(mounts, controller) {
        let parent = root.join(name);
        match try_place(&root, &parent, controller, version) {
            Ok(()) => return Ok(Place { parent, version }),
            Err(error) => why = format!("{}: {error}", root.display()),
        }
    }
    Err(why)
}

fn try_place(
    root: &Path,
    parent: &Path,
    controller: Controller,
    version: Version,
) -> io::Result<()> {
    if version == Version::V2 {
        let enable = format!("+{}", controller.word());
        fs::write(root.join(SUBTREE), &enable)?;
        fs::create_dir_all(parent)?;
        fs::write(parent.join(SUBTREE), &enable)?;
    }
    let limits = Limits { memory_mib: 64, vcpus: 1, tasks: 16 };
    let group =
        Group { path: parent.join("probe"), settings: settings(controller, version, limits) };
    let made = group.make();
    remove(&group.path)?;
    made
}

/// Mounted hierarchies that have the controller, v2 first.
fn roots(mounts: &str, controller: Controller) -> Vec<(PathBuf, Version)> {
    let mut roots = Vec::new();
    for line in mounts.lines() {
        // proc(5): "... root mount-point options [optional] - type source super-options"
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(point) = left.split(' ').nth(4).map(PathBuf::from) else { continue };
        let mut right = right.split(' ');
        let (kind, options) = (right.next().unwrap_or_default(), right.nth(1).unwrap_or_default());
        let has = |text: &str, by: char| text.trim().split(by).any(|w| w == controller.word());
        if kind == "cgroup2" {
            let offered = fs::read_to_string(point.join("cgroup.controllers")).unwrap_or_default();
            if has(&offered, ' ') {
                roots.insert(0, (point, Version::V2));
            }
        } else if kind == "cgroup" && has(options, ',') {
            roots.push((point, Version::V1));
        }
    }
    roots
}

impl Controller {
    fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }
}

const CONTROLLERS: [Controller; 3] = [Controller::Memory, Controller::Cpu, Controller::Pids];
/// The kernel's own default; shorter ones cost more switches.
const CPU_PERIOD_US: u64 = 100_000;
const PROCS: &str = "cgroup.procs";
const SUBTREE: &str = "cgroup.subtree_control";

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Controller, Version, roots};

    #[test]
    fn v1_hierarchies_are_found_by_their_controllers() {
        let mounts = "\
30 25 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
34 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 30 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
";
        let cpu = roots(mounts, Controller::Cpu);
        assert_eq!(cpu, [(PathBuf::from("/sys/fs/cgroup/cpu,cpuacct"), Version::V1)]);
        let memory = roots(mounts, Controller::Memory);
        assert_eq!(memory, [(PathBuf::from("/sys/fs/cgroup/memory"), Version::V1)]);
        assert!(roots(mounts, Controller::Pids).is_empty());
    }
}

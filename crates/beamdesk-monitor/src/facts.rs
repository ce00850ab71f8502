//! CPU, memory and disk of the machine, and its names.

use std::path::Path;

use beamdesk_types::NodeFacts;
use rustix::fs::statvfs;

use crate::tree::Tree;

/// The longest is some 50 characters.
const MODEL_CHARS_MAX: usize = 128;
const PERMILLE: u64 = 1000;

/// How long all CPUs together were busy, and were at all, in ticks since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CpuTimes {
    busy: u64,
    all: u64,
}

/// What the machine calls itself; empty where it has no name.
pub fn host_name(tree: &Tree) -> String {
    let files = ["proc/sys/kernel/hostname", "etc/hostname"];
    files.into_iter().find_map(|path| tree.text(path)).unwrap_or_default()
}

/// The machine's id: systemd's, or the firmware's.
pub(crate) fn machine(tree: &Tree) -> Option<String> {
    let files = ["etc/machine-id", "sys/class/dmi/id/product_uuid"];
    let plain = |id: &String| {
        (1..=64).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    };
    files
        .into_iter()
        .find_map(|path| tree.text(path).filter(plain))
        .map(|id| id.to_ascii_lowercase())
}

/// Facts but for the hints, and the times to compare the next ones with.
pub(crate) fn facts(tree: &Tree, disk: &Path, before: CpuTimes) -> (NodeFacts, CpuTimes) {
    let (times, cpus) = cpu(&tree.text("proc/stat").unwrap_or_default());
    let (memory_mib, memory_mib_used) = memory(&tree.text("proc/meminfo").unwrap_or_default());
    let (disk_gib, disk_gib_used) = room(&tree.path(&disk.to_string_lossy()));
    let facts = NodeFacts {
        cpus,
        cpu_model: cpu_model(&tree.text("proc/cpuinfo").unwrap_or_default()),
        cpu_busy_permille: busy_permille(before, times),
        memory_mib,
        memory_mib_used,
        disk_gib,
        disk_gib_used,
        hints: Vec::new(),
    };
    (facts, times)
}

/// Of `cpu  user nice system idle iowait irq softirq steal guest guest_nice`; guests are counted in
/// user already (proc(5)).
fn cpu(stat: &str) -> (CpuTimes, u32) {
    let mut times = CpuTimes::default();
    let mut cpus = 0;
    for line in stat.lines() {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("cpu") => {
                let ticks: Vec<u64> = words.take(8).map_while(|word| word.parse().ok()).collect();
                let idle: u64 = ticks.iter().skip(3).take(2).fold(0, |a, b| a.saturating_add(*b));
                times.all = ticks.iter().fold(0, |a, b| a.saturating_add(*b));
                times.busy = times.all.saturating_sub(idle);
            }
            Some(name) if name.starts_with("cpu") => cpus += 1,
            _ => {}
        }
    }
    (times, cpus)
}

fn busy_permille(before: CpuTimes, now: CpuTimes) -> u16 {
    let all = now.all.saturating_sub(before.all);
    let busy = now.busy.saturating_sub(before.busy).min(all);
    let permille = busy.saturating_mul(PERMILLE).checked_div(all).unwrap_or_default();
    u16::try_from(permille).unwrap_or_default()
}

/// All, and what is not to be had, in MiB. Huge pages that are kept for machines but free are free.
fn memory(meminfo: &str) -> (u64, u64) {
    let value = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let kib = |name| value(name).unwrap_or_default();
    let huge_pages = kib("HugePages_Free").saturating_mul(kib("Hugepagesize"));
    let total = kib("MemTotal");
    let free = kib("MemAvailable").saturating_add(huge_pages).min(total);
    (total >> 10, (total - free) >> 10)
}

fn cpu_model(cpuinfo: &str) -> String {
    let value = |line: &str| {
        let (key, value) = line.split_once(':')?;
        let key = key.trim_end();
        ["model name", "cpu model", "Model Name"].contains(&key).then(|| value.trim().to_owned())
    };
    let model = cpuinfo.lines().find_map(value).unwrap_or_default();
    model.chars().filter(|c| !c.is_control()).take(MODEL_CHARS_MAX).collect()
}

/// All, and what is not to be had, in GiB, of the file system of a folder or of the nearest above it.
fn room(folder: &Path) -> (u64, u64) {
    let Some(stat) = folder.ancestors().find_map(|folder| statvfs(folder).ok()) else {
        return (0, 0);
    };
    let gib = |blocks: u64| blocks.saturating_mul(stat.f_frsize) >> 30;
    (gib(stat.f_blocks), gib(stat.f_blocks.saturating_sub(stat.f_bavail)))
}

#[cfg(test)]
mod tests {
    use super::{CpuTimes, busy_permille, cpu, cpu_model, memory};

    #[test]
    fn load_is_what_passed_between_two_looks() {
        let (before, cpus) = cpu("cpu  100 0 100 800 0 0 0 0 50 0\ncpu0 1 2\ncpu1 1 2\nintr 1 2 3");
        assert_eq!((before, cpus), (CpuTimes { busy: 200, all: 1000 }, 2));
        let (now, _) = cpu("cpu  150 0 125 1000 25 0 0 0 70 0");
        assert_eq!(busy_permille(before, now), 250);
        assert_eq!(busy_permille(now, before), 0, "a counter that went back");
        for odd in ["", "cpu", "cpu x y z", "cpu 99999999999999999999999999"] {
            assert_eq!(cpu(odd).0, CpuTimes::default(), "{odd}");
        }
    }

    #[test]
    fn huge_pages_kept_for_machines_are_free_until_used() {
        let text = "MemTotal: 4194304 kB\nMemAvailable: 1048576 kB\n\
                    HugePages_Total: 1024\nHugePages_Free: 512\nHugepagesize: 2048 kB\n";
        assert_eq!(memory(text), (4096, 2048));
        assert_eq!(memory("MemTotal: 10240 kB\nMemAvailable: 99999999 kB"), (10, 0));
        assert_eq!(memory("nothing"), (0, 0));
    }

    #[test]
    fn a_cpu_has_a_model_where_the_kernel_knows_one() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: AMD EPYC 9354\n"), "AMD EPYC 9354");
        assert_eq!(cpu_model("processor\t: 0\nCPU part\t: 0xd01\n"), "");
    }
}

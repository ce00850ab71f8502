//! This machine as a node: what it has in all.

use std::{fs, io, path::Path};

use beamdesk_types::NodeName;

use super::SandboxConfig;

#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) name: NodeName,
    pub(super) vcpus: u32,
    pub(super) memory_mib: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Disk {
    pub(super) bytes: u64,
    pub(super) bytes_free: u64,
}

impl Machine {
    pub(super) fn look(config: &SandboxConfig) -> io::Result<Self> {
        let cpus = u32::try_from(std::thread::available_parallelism()?.get()).unwrap_or(u32::MAX);
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let memory_mib = memory_mib(&meminfo)
            .ok_or_else(|| io::Error::other("/proc/meminfo does not tell the memory"))?;
        Ok(Self {
            name: NodeName::of_host(
                &fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default(),
            ),
            vcpus: cpus.saturating_mul(config.cpu_overcommit.max(1)),
            memory_mib: memory_mib.saturating_sub(config.memory_reserved_mib),
        })
    }
}

pub(super) fn disk(path: &Path) -> io::Result<Disk> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(Disk {
        bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        bytes_free: stat.f_bavail.saturating_mul(stat.f_frsize),
    })
}

fn memory_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

#[cfg(test)]
mod tests {
    use beamdesk_types::NodeName;

    use super::memory_mib;

    #[test]
    fn memory_is_read_from_meminfo() {
        let text = "MemTotal:       24684000 kB\nMemFree:  1 kB\n";
        assert_eq!(memory_mib(text), Some(24_105));
        assert_eq!(memory_mib("nothing"), None);
    }

    #[test]
    fn an_odd_host_name_is_replaced() {
        assert_eq!(NodeName::of_host("Lab-PC.example\n").as_str(), "lab-pc.example");
        assert_eq!(NodeName::of_host("(none)").as_str(), "this-machine");
    }
}

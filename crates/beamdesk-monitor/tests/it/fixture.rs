//! Trees as the kernel shows them on machines that are not at hand: files and links, written to a folder.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// A folder that is the root of a made-up machine.
#[derive(Debug)]
pub(crate) struct Machine {
    root: PathBuf,
}

/// One PCI function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Function {
    pub(crate) address: &'static str,
    /// `10de:2230`
    pub(crate) id: &'static str,
    pub(crate) subsystem: &'static str,
    pub(crate) class: &'static str,
    pub(crate) driver: Option<&'static str>,
    pub(crate) group: Option<u32>,
    pub(crate) numa_node: i32,
    pub(crate) bar_mib: u64,
    /// Virtual functions possible.
    pub(crate) vfs_max: u32,
}

/// A graphics card on vfio-pci.
pub(crate) const CARD: Function = Function {
    address: "0000:41:00.0",
    id: "10de:2230",
    subsystem: "10de:1459",
    class: "0x030000",
    driver: Some("vfio-pci"),
    group: Some(41),
    numa_node: 0,
    bar_mib: 65_536,
    vfs_max: 0,
};

/// The sound of a graphics card.
pub(crate) const SOUND: Function =
    Function { id: "10de:1aef", class: "0x040300", bar_mib: 0, vfs_max: 0, ..CARD };

/// A host with three RTX A6000, bound to vfio-pci with their sound, and a console.
pub(crate) fn three_a6000(root: &Path) -> io::Result<Machine> {
    let machine = Machine::new(root, "gpu-a6000", 32, 256)?;
    let card = Function { vfs_max: 0, ..CARD };
    let places = [
        ("0000:41:00.0", "0000:41:00.1", 41, 0),
        ("0000:61:00.0", "0000:61:00.1", 61, 0),
        ("0000:c1:00.0", "0000:c1:00.1", 93, 1),
    ];
    for (address, sound, group, numa_node) in places {
        machine.function(Function { address, group: Some(group), numa_node, ..card })?;
        machine.function(Function { address: sound, group: Some(group), numa_node, ..SOUND })?;
    }
    machine.console()?;
    Ok(machine)
}

impl Machine {
    /// One with CPUs, memory and names, and without cards.
    pub(crate) fn new(root: &Path, name: &str, cpus: u32, memory_gib: u64) -> io::Result<Self> {
        let machine = Self { root: root.to_owned() };
        let id = name.bytes().fold(7_u128, |id, c| id.wrapping_mul(257).wrapping_add(c.into()));
        machine.file("etc/machine-id", &format!("{id:032x}\n"))?;
        machine.file("proc/sys/kernel/hostname", &format!("{name}\n"))?;
        let mut stat = "cpu  20000 0 10000 970000 0 0 0 0 0 0\n".to_owned();
        let mut info = String::new();
        for cpu in 0..cpus {
            stat.push_str(&format!("cpu{cpu} 200 0 100 9700 0 0 0 0 0 0\n"));
            info.push_str(&format!(
                "processor\t: {cpu}\nmodel name\t: AMD EPYC 9354 32-Core Processor\n\n"
            ));
        }
        machine.file("proc/stat", &stat)?;
        machine.file("proc/cpuinfo", &info)?;
        let kib = memory_gib << 20;
        machine.file(
            "proc/meminfo",
            &format!("MemTotal: {kib} kB\nMemAvailable: {} kB\n", kib / 4 * 3),
        )?;
        fs::create_dir_all(root.join("sys/bus/pci/devices"))?;
        Ok(machine)
    }

    pub(crate) fn file(&self, path: &str, text: &str) -> io::Result<()> {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
        fs::write(path, text)
    }

    /// A link that says `to`, which need not be there.
    pub(crate) fn link(&self, path: &str, to: &str) -> io::Result<()> {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&self.root))?;
        symlink(to, path)
    }

    pub(crate) fn remove(&self, path: &str) -> io::Result<()> {
        let path = self.root.join(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    }

    /// Below `/sys/devices`, with a link to it where the bus shows it.
    pub(crate) fn function(&self, function: Function) -> io::Result<()> {
        let Function { address, id, subsystem, .. } = function;
        let path = format!("sys/devices/pci0000:40/{address}");
        let (vendor, device) = id.split_once(':').unwrap_or_default();
        let (sub_vendor, sub_device) = subsystem.split_once(':').unwrap_or_default();
        let file = |name: &str, text: String| self.file(&format!("{path}/{name}"), &(text + "\n"));
        file("vendor", format!("0x{vendor}"))?;
        file("device", format!("0x{device}"))?;
        file("subsystem_vendor", format!("0x{sub_vendor}"))?;
        file("subsystem_device", format!("0x{sub_device}"))?;
        file("class", function.class.to_owned())?;
        file("numa_node", function.numa_node.to_string())?;
        file("enable", "0".to_owned())?;
        file("reset_method", "flr bus".to_owned())?;
        let end = 0x3800_0000_0000 + (function.bar_mib << 20).saturating_sub(1);
        file(
            "resource",
            format!(
                "0x00000000f6000000 0x00000000f6ffffff 0x0000000000040200\n\
                 0x0000380000000000 0x{end:016x} 0x000000000014220c"
            ),
        )?;
        if function.vfs_max > 0 {
            file("sriov_totalvfs", function.vfs_max.to_string())?;
            file("sriov_numvfs", "0".to_owned())?;
        }
        if let Some(driver) = function.driver {
            self.link(&format!("{path}/driver"), &format!("../../../bus/pci/drivers/{driver}"))?;
        }
        if let Some(group) = function.group {
            let groups = "sys/kernel/iommu_groups";
            self.link(
                &format!("{path}/iommu_group"),
                &format!("../../../kernel/iommu_groups/{group}"),
            )?;
            self.link(
                &format!("{groups}/{group}/devices/{address}"),
                &format!("../../../../devices/pci0000:40/{address}"),
            )?;
        }
        let device = format!("../../../devices/pci0000:40/{address}");
        self.link(&format!("sys/bus/pci/devices/{address}"), &device)
    }

    /// Binds to another driver.
    pub(crate) fn bind(&self, address: &str, driver: Option<&str>) -> io::Result<()> {
        let path = format!("sys/devices/pci0000:40/{address}/driver");
        self.remove(&path)?;
        match driver {
            Some(driver) => self.link(&path, &format!("../../../bus/pci/drivers/{driver}")),
            None => Ok(()),
        }
    }

    /// Overwrites a file of a function.
    pub(crate) fn set(&self, address: &str, name: &str, text: &str) -> io::Result<()> {
        self.file(&format!("sys/devices/pci0000:40/{address}/{name}"), &format!("{text}\n"))
    }

    /// A server's own graphics, which is no card.
    pub(crate) fn console(&self) -> io::Result<()> {
        self.function(Function {
            address: "0000:02:00.0",
            id: "1a03:2000",
            subsystem: "1a03:2000",
            driver: Some("ast"),
            group: Some(2),
            bar_mib: 64,
            ..CARD
        })
    }

    /// A process, with the files it has open.
    pub(crate) fn process(&self, pid: u32, words: &[&str], open: &[&str]) -> io::Result<()> {
        let program = words.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
        let name: String = program.chars().take(15).collect();
        self.file(&format!("proc/{pid}/cmdline"), &(words.join("\0") + "\0"))?;
        self.file(&format!("proc/{pid}/comm"), &format!("{name}\n"))?;
        fs::create_dir_all(self.root.join(format!("proc/{pid}/fd")))?;
        for (number, target) in open.iter().enumerate() {
            self.link(&format!("proc/{pid}/fd/{number}"), target)?;
        }
        Ok(())
    }

    /// A vGPU cut from `parent`.
    pub(crate) fn mdev(&self, uuid: &str, parent: &str, kind: &str, group: u32) -> io::Result<()> {
        let device = format!("sys/devices/pci0000:40/{parent}");
        self.link(
            &format!("{device}/{uuid}/mdev_type"),
            &format!("../mdev_supported_types/{kind}"),
        )?;
        self.link(
            &format!("{device}/{uuid}/iommu_group"),
            &format!("../../../../kernel/iommu_groups/{group}"),
        )?;
        let link = format!("../../../devices/pci0000:40/{parent}/{uuid}");
        self.link(&format!("sys/bus/mdev/devices/{uuid}"), &link)
    }

    /// A type of vGPU that `parent` may be cut into.
    pub(crate) fn mdev_type(
        &self,
        parent: &str,
        kind: &str,
        name: &str,
        text: &str,
    ) -> io::Result<()> {
        self.set(parent, &format!("mdev_supported_types/{kind}/name"), name)?;
        self.set(parent, &format!("mdev_supported_types/{kind}/description"), text)
    }
}

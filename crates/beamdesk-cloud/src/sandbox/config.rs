//! What the sandbox driver must be told.

use std::path::PathBuf;

/// Where the driver keeps its things, which programs it starts, and how far it may go.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Holds `sandboxes/` (gone with each desktop) and `homes/` (kept).
    pub data_dir: PathBuf,
    /// Program whose subcommand `sandbox-host` calls [`super::supervise`].
    pub beamdesk_exe: PathBuf,
    /// Program that runs in the sandbox: listener on descriptor 3, `AgentConfig` on standard input.
    pub agent_exe: PathBuf,
    /// bubblewrap; a bare name is looked up in `PATH`. The file must be called `bwrap`: its
    /// processes are known by that.
    pub bwrap_exe: PathBuf,
    /// How many desktops' CPUs may share one real CPU. People mostly look and think.
    pub cpu_overcommit: u32,
    /// Memory kept for the host and Beamdesk itself.
    pub memory_reserved_mib: u64,
    /// Below this much free disk no desktop is started.
    pub disk_reserved_mib: u64,
    /// Further host folders that desktops may read, at the same path.
    pub read_only: Vec<PathBuf>,
    /// Processes and threads of one desktop, so that a fork bomb stays at home.
    pub tasks_max: u32,
}

impl SandboxConfig {
    pub fn new(data_dir: PathBuf, beamdesk_exe: PathBuf, agent_exe: PathBuf) -> Self {
        Self {
            data_dir,
            beamdesk_exe,
            agent_exe,
            bwrap_exe: PathBuf::from("bwrap"),
            cpu_overcommit: 4,
            memory_reserved_mib: 512,
            disk_reserved_mib: 256,
            read_only: Vec::new(),
            tasks_max: 4096,
        }
    }
}

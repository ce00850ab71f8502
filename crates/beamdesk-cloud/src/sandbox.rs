//! Desktops on this machine: each in a bubblewrap sandbox, watched by a supervisor process.
//!
//! ```text
//! portal ── Sandbox ──spawns──> supervisor ──> bwrap ──> init ──> agent ──> X server, session
//!              │                    │ holds
//!              └── order.json ──> lock, server.json      in sandboxes/<desktop>/
//! ```
//! The truth is on disk and in the kernel: an order says what shall be, the lock whether it runs.
//! So a driver that was killed at any step, or a second one after it, finds all as it is and may
//! ask for anything again.

mod cgroup;
mod clear;
mod config;
mod devices;
mod driver;
mod fail_point;
mod folder;
mod homes;
mod host;
mod launch;
mod log;
mod machine;
mod open;
mod process;
mod protection;
mod spec;
mod start;
mod status;
mod walls;

use std::{collections::HashMap, fs, io, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use beamdesk_types::{DesktopId, GpuRequest, Image, ImageId, Node, Protection};

use self::{cgroup::Groups, homes::Homes, machine::Machine};
pub use self::{config::SandboxConfig, host::supervise};
use crate::{CloudError, Compute, Power, Server, ServerId, ServerSpec};

/// The driver. One per data folder, which it locks.
#[derive(Debug)]
pub struct Sandbox {
    config: SandboxConfig,
    root: PathBuf,
    /// Tells this data folder's processes and control groups from those of another.
    deployment: String,
    bwrap: PathBuf,
    /// The agent as desktops get it.
    agent: PathBuf,
    machine: Machine,
    homes: Homes,
    groups: Groups,
    /// One change at a time per desktop; an entry is dropped when nobody waits for it.
    gates: std::sync::Mutex<HashMap<DesktopId, Arc<tokio::sync::Mutex<()>>>>,
    /// Held while room is judged and taken, and while a home is made.
    booking: tokio::sync::Mutex<()>,
    /// What those whose supervisor is still starting have taken.
    starting: std::sync::Mutex<HashMap<DesktopId, Booked>>,
    _only_one: fs::File,
}

#[derive(Debug, Clone, Copy, Default)]
struct Booked {
    vcpus: u32,
    memory_mib: u64,
}

impl Sandbox {
    /// Opens the data folder, tries every wall, and clears what a killed driver left half done.
    /// Desktops that still run are kept and found again.
    pub async fn open(config: SandboxConfig) -> Result<Self, CloudError> {
        open::open(config).await
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Only empty ones go: not those of desktops that live on.
        self.groups.remove_parents();
    }
}

#[async_trait]
impl Compute for Sandbox {
    async fn nodes(&self) -> Result<Vec<Node>, CloudError> {
        Ok(vec![self.node()?])
    }

    async fn images(&self) -> Result<Vec<Image>, CloudError> {
        Ok(vec![Image {
            id: image_id(),
            name: "Linux desktop".to_owned(),
            description: "The programs of this machine, with panel, terminal, file manager and \
                          image viewer"
                .to_owned(),
            gpu: GpuRequest::default(),
            enabled: true,
        }])
    }

    async fn create(&self, spec: &ServerSpec) -> Result<ServerId, CloudError> {
        let gate = self.gate(spec.desktop);
        let _one_at_a_time = gate.lock().await;
        self.create_one(spec).await?;
        Ok(server_id(spec.desktop))
    }

    async fn find(&self, desktop: DesktopId) -> Result<Option<Server>, CloudError> {
        self.look(desktop).map_err(failed)
    }

    async fn list(&self) -> Result<Vec<Server>, CloudError> {
        let mut servers = Vec::new();
        for desktop in folder::desktops(&self.root).map_err(failed)? {
            servers.extend(self.look(desktop).map_err(failed)?);
        }
        Ok(servers)
    }

    async fn power(&self, id: &ServerId, power: Power<'_>) -> Result<(), CloudError> {
        let desktop = desktop_of(id)?;
        let gate = self.gate(desktop);
        let _one_at_a_time = gate.lock().await;
        match power {
            Power::On(spec) if spec.desktop == desktop => self.power_on(spec).await,
            Power::On(spec) => {
                Err(CloudError::refused(format!("server {id} is not desktop {}'s", spec.desktop)))
            }
            Power::Off => self.power_off(desktop),
        }
    }

    async fn delete(&self, id: &ServerId) -> Result<(), CloudError> {
        // What is no id of ours was never a server of ours.
        let Ok(desktop) = desktop_of(id) else { return Ok(()) };
        let gate = self.gate(desktop);
        let _one_at_a_time = gate.lock().await;
        self.delete_one(desktop).await
    }

    fn protections(&self) -> Vec<Protection> {
        protection::protections(&self.homes, &self.groups)
    }

    async fn shutdown(&self) {
        self.stop_all().await;
    }
}

fn server_id(desktop: DesktopId) -> ServerId {
    ServerId(desktop.to_string())
}

fn desktop_of(id: &ServerId) -> Result<DesktopId, CloudError> {
    id.0.parse().map_err(|_| CloudError::refused(format!("there is no server {id}")))
}

fn image_id() -> ImageId {
    "debian-desktop".to_owned().try_into().expect("a plain name")
}

/// What a failed system call means to the caller.
fn failed(error: io::Error) -> CloudError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => CloudError::DiskFull,
        _ => CloudError::unavailable(error),
    }
}

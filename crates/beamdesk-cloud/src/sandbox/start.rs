//! Starting one desktop: book room, write the order, start a supervisor, hear its answer.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use beamdesk_types::{AgentConfig, AgentStart, DesktopId, Node};
use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    time::timeout,
};
use tracing::info;

use super::{
    Booked, Sandbox,
    cgroup::Limits,
    devices::Devices,
    driver::{busy, fresh_nonce, supervisor},
    fail_point::{DIE_AT, fail_point},
    failed,
    folder::{self, Folder, Order, Wanted},
    image_id, launch,
    log::last_line,
    machine::disk,
    spec::{ANSWER_BYTES_MAX, Answer, HostSpec},
    walls::ENCODER,
};
use crate::{CloudError, ServerSpec};

impl Sandbox {
    pub(super) fn check(&self, spec: &ServerSpec) -> Result<(), CloudError> {
        if spec.image.id != image_id() {
            return Err(CloudError::refused(format!("there is no image {}", spec.image.id)));
        }
        if spec.node != self.machine.name {
            return Err(CloudError::refused(format!("there is no host {}", spec.node)));
        }
        if handed(spec)?.desktop != spec.desktop {
            return Err(CloudError::refused("the agent is another desktop's"));
        }
        if spec.size.vcpus == 0 || spec.size.memory_mib < MEMORY_MIB_MIN {
            return Err(CloudError::refused(format!(
                "a desktop needs a CPU and {MEMORY_MIB_MIN} MiB of memory at least"
            )));
        }
        Ok(())
    }

    /// Books room, writes the order, starts a supervisor and waits for its answer.
    pub(super) async fn start(&self, spec: &ServerSpec) -> Result<(), CloudError> {
        let folder = self.folder(spec.desktop);
        let booking = self.booking.lock().await;
        self.book(spec)?;
        // From here on the room is ours until the supervisor's own lock shows it taken.
        let _booked = Starting { sandbox: self, desktop: spec.desktop };
        let home = self.homes.of(spec.owner).map_err(failed)?;
        drop(booking);
        fail_point("start-booked");
        let order = Order {
            nonce: fresh_nonce().map_err(failed)?,
            wanted: Wanted::On,
            generation: spec.agent.generation(),
            owner: spec.owner,
            vcpus: spec.size.vcpus,
            memory_mib: spec.size.memory_mib,
            cards: spec.cards.clone(),
        };
        if !folder.make(&order).map_err(failed)? {
            folder.set_order(&order).map_err(failed)?;
        }
        fail_point("start-ordered");
        // A supervisor that has the lock by now began on an older order, of a call that was
        // cancelled or of a power off. One that comes later sees our order and goes home.
        if let Some(old) = supervisor(&folder).map_err(failed)? {
            old.signal(Signal::TERM).map_err(failed)?;
        }
        let limits = Limits {
            memory_mib: spec.size.memory_mib,
            vcpus: spec.size.vcpus,
            tasks: self.config.tasks_max,
        };
        let host = HostSpec {
            folder: folder.path.clone(),
            nonce: order.nonce,
            home: home.path,
            uid: home.uid,
            agent_exe: self.agent.clone(),
            encoder_exe: encoder_beside(&self.config.agent_exe),
            bwrap_exe: self.bwrap.clone(),
            groups: self.groups.of(&spec.desktop.to_string(), limits),
            mark: self.mark(&spec.desktop.to_string()),
            read_only: self.config.read_only.clone(),
            tmp_bytes: spec.size.memory_mib * MIB / 2,
            devices: Devices::of(Path::new("/"), &spec.cards).map_err(failed)?,
            cards: spec.cards.clone(),
            agent: handed(spec)?.clone(),
        };
        match self.supervise(&host).await? {
            Answer::Started => {
                info!(desktop.id = %spec.desktop, generation = order.generation, "Started the sandbox");
                Ok(())
            }
            Answer::Superseded => Err(busy("another order came between")),
            Answer::Busy => Err(busy("the desktop's last server has not ended yet")),
            Answer::DiskFull => Err(CloudError::DiskFull),
            Answer::Failed(text) => Err(CloudError::unavailable(text)),
        }
    }

    fn book(&self, spec: &ServerSpec) -> Result<(), CloudError> {
        if disk(&self.root).map_err(failed)?.bytes_free < self.config.disk_reserved_mib * MIB {
            return Err(CloudError::DiskFull);
        }
        let taken = self.taken().map_err(failed)?;
        let size = &spec.size;
        let fits = taken.vcpus.saturating_add(size.vcpus) <= self.machine.vcpus
            && taken.memory_mib.saturating_add(size.memory_mib) <= self.machine.memory_mib
            && spec.cards.len() >= usize::try_from(size.gpu.count).unwrap_or(usize::MAX);
        if !fits {
            return Err(CloudError::no_capacity());
        }
        let booked = Booked { vcpus: size.vcpus, memory_mib: size.memory_mib };
        self.starting().insert(spec.desktop, booked);
        Ok(())
    }

    /// Starts the supervisor, tells it what to run, and hears how it went.
    async fn supervise(&self, host: &HostSpec) -> Result<Answer, CloudError> {
        let mut child = self.spawn(&Folder { path: host.folder.clone() }).map_err(failed)?;
        fail_point("start-spawned");
        let spec = serde_json::to_vec(host).map_err(|error| failed(error.into()))?;
        let mut stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        let talk = async {
            // If it has died already, its missing answer tells.
            drop(stdin.write_all(&spec).await);
            drop(stdin);
            fail_point("start-told");
            let mut line = Vec::new();
            BufReader::new(stdout.take(ANSWER_BYTES_MAX)).read_until(b'\n', &mut line).await?;
            Ok::<_, io::Error>(line)
        };
        let line = match timeout(ANSWER_WAIT_MAX, talk).await {
            Ok(line) => line.map_err(failed)?,
            Err(_) => return Err(busy("the desktop's supervisor does not answer")),
        };
        // The child is dropped here, not killed: the runtime reaps it when it ends.
        serde_json::from_slice(&line).map_err(|_| {
            let text = folder_log(&host.folder);
            failed(io::Error::other(format!("the desktop's supervisor died: {text}")))
        })
    }

    fn spawn(&self, folder: &Folder) -> io::Result<Child> {
        let log = std::fs::File::options().append(true).create(true).open(folder.log())?;
        let mut command = Command::new(&self.config.beamdesk_exe);
        command.arg("sandbox-host").env_clear().current_dir("/");
        if let Some(place) = std::env::var_os(DIE_AT) {
            command.env(DIE_AT, place);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        launch::in_own_session(&mut command);
        command.spawn()
    }

    pub(super) fn node(&self) -> Result<Node, CloudError> {
        let taken = self.taken().map_err(failed)?;
        let disk = disk(&self.root).map_err(failed)?;
        Ok(Node {
            name: self.machine.name.clone(),
            vcpus: self.machine.vcpus,
            vcpus_used: taken.vcpus,
            memory_mib: self.machine.memory_mib,
            memory_mib_used: taken.memory_mib,
            disk_gib: disk.bytes / GIB,
            disk_gib_used: (disk.bytes - disk.bytes_free).div_ceil(GIB),
            // Its monitor knows them, and claims keep them apart.
            cards: Vec::new(),
            enabled: true,
        })
    }

    /// What all desktops that run or are starting have taken.
    fn taken(&self) -> io::Result<Booked> {
        let mut running: HashMap<DesktopId, Booked> = self.starting().clone();
        for desktop in folder::desktops(&self.root)? {
            let folder = self.folder(desktop);
            if folder.supervisor()?.is_some()
                && let Ok(Some(order)) = folder.order()
            {
                let booked = Booked { vcpus: order.vcpus, memory_mib: order.memory_mib };
                running.insert(desktop, booked);
            }
        }
        let mut taken = Booked::default();
        for booked in running.values() {
            taken.vcpus = taken.vcpus.saturating_add(booked.vcpus);
            taken.memory_mib = taken.memory_mib.saturating_add(booked.memory_mib);
        }
        Ok(taken)
    }

    pub(super) fn starting(&self) -> MutexGuard<'_, HashMap<DesktopId, Booked>> {
        self.starting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A booking, given back when the start is over, failed or cancelled.
struct Starting<'a> {
    sandbox: &'a Sandbox,
    desktop: DesktopId,
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.sandbox.starting().remove(&self.desktop);
    }
}

/// The agent of a desktop on this machine has its identity from its first moment on.
fn handed(spec: &ServerSpec) -> Result<&AgentConfig, CloudError> {
    match &spec.agent {
        AgentStart::Handed(config) => Ok(config),
        AgentStart::Seeded(_) => Err(CloudError::refused("this cloud hands agents their identity")),
    }
}

/// The video encoder that may lie beside the agent.
fn encoder_beside(agent: &Path) -> Option<PathBuf> {
    let encoder = agent.with_file_name(ENCODER);
    encoder.is_file().then_some(encoder)
}

fn folder_log(folder: &Path) -> String {
    let log = Folder { path: folder.to_owned() }.log();
    last_line(&log).unwrap_or_else(|| "no message".to_owned())
}

/// Less does not even start an X server and a panel.
const MEMORY_MIB_MIN: u64 = 128;
const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;
/// Starting takes some 50 ms; a server of an earlier order may need its stop time before.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(20);

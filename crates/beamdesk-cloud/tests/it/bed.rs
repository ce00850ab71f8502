//! Worlds for the tests: a cloud, specs for it, and a look inside and below.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use beamdesk_cloud::{
    Compute, PowerState, Server, ServerSpec,
    sandbox::{Sandbox, SandboxConfig},
    sim::{Pace, Sim},
};
use beamdesk_types::{
    AgentConfig, AgentStart, DesktopId, GpuRequest, Image, NodeName, Secret, SessionConfig, Size,
    UserId, WHOLE_CARD,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::openstack_bed::OpenStackBed;

/// A cloud of any kind, for the common suite.
pub(crate) enum Bed {
    Sim(Box<Sim>),
    Sandbox(Box<SandboxBed>),
    OpenStack(Box<OpenStackBed>),
}

impl Bed {
    pub(crate) fn sim() -> Self {
        let sim = Sim::new(1, Sim::equal_nodes(3, 8, 16_384, 100));
        let moment = Duration::from_millis(300);
        sim.set_pace(Pace { build: moment, boot: moment, stop: moment, delete: moment });
        Self::Sim(Box::new(sim))
    }

    pub(crate) async fn sandbox() -> Self {
        Self::Sandbox(Box::new(SandboxBed::open().await))
    }

    /// `None`: there is no lab, and it says so.
    pub(crate) async fn openstack(test: &str) -> Option<Self> {
        let bed = OpenStackBed::open(test).await?;
        Some(Self::OpenStack(Box::new(bed)))
    }

    pub(crate) async fn recorded(test: &str) -> Self {
        Self::OpenStack(Box::new(OpenStackBed::recorded(test).await))
    }

    pub(crate) fn cloud(&self) -> &dyn Compute {
        match self {
            Self::Sim(sim) => sim.as_ref(),
            Self::Sandbox(bed) => bed.cloud(),
            Self::OpenStack(bed) => &bed.cloud,
        }
    }

    pub(crate) async fn spec(&self, generation: u32) -> ServerSpec {
        match self {
            Self::OpenStack(bed) => bed.spec(generation).await,
            Self::Sim(_) | Self::Sandbox(_) => {
                spec_on(self.cloud(), DesktopId::fresh(), UserId::fresh(), generation).await
            }
        }
    }

    /// What is taken of a node: CPUs and memory.
    pub(crate) async fn used(&self, node: &NodeName) -> (u32, u64) {
        let nodes = self.cloud().nodes().await.unwrap();
        let node = nodes.into_iter().find(|found| found.name == *node).unwrap();
        (node.vcpus_used, node.memory_mib_used)
    }

    /// At once, where the driver books it itself; in a moment, where a cloud elsewhere does.
    pub(crate) async fn until_used(&self, node: &NodeName, is: impl Fn((u32, u64)) -> bool) {
        let end = Instant::now() + PATIENCE_ELSEWHERE;
        loop {
            let used = self.used(node).await;
            if is(used) {
                return;
            }
            let may_lag = matches!(self, Self::OpenStack(_)) && Instant::now() < end;
            assert!(may_lag, "{used:?} are used of {node}");
            sleep(PAUSE_ELSEWHERE).await;
        }
    }

    /// Lets time pass until the cloud says what is awaited, within a bound.
    pub(crate) async fn until(
        &self,
        desktop: DesktopId,
        awaited: impl Fn(Option<&Server>) -> bool,
    ) -> Option<Server> {
        let elsewhere = matches!(self, Self::OpenStack(_));
        let end = Instant::now() + if elsewhere { PATIENCE_ELSEWHERE } else { PATIENCE };
        loop {
            let server = self.cloud().find(desktop).await.unwrap();
            if awaited(server.as_ref()) {
                return server;
            }
            assert!(Instant::now() < end, "still {server:?}");
            match self {
                Self::Sim(sim) => sim.tick(Duration::from_millis(100)),
                Self::Sandbox(_) => sleep(PAUSE).await,
                Self::OpenStack(_) => sleep(PAUSE_ELSEWHERE).await,
            }
        }
    }

    pub(crate) async fn until_state(&self, desktop: DesktopId, state: &PowerState) -> Server {
        let is = |server: Option<&Server>| server.is_some_and(|server| server.state == *state);
        self.until(desktop, is).await.unwrap()
    }

    pub(crate) async fn end(self) {
        match self {
            Self::Sim(_) => {}
            Self::Sandbox(bed) => bed.end().await,
            Self::OpenStack(bed) => bed.end().await,
        }
    }
}

/// A sandbox driver with a data folder of its own. Dropped without `end`, it stops its desktops.
pub(crate) struct SandboxBed {
    cloud: Option<Sandbox>,
    pub(crate) dir: TempDir,
}

impl SandboxBed {
    pub(crate) async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cloud = Some(open(dir.path()).await);
        Self { cloud, dir }
    }

    pub(crate) fn cloud(&self) -> &Sandbox {
        self.cloud.as_ref().unwrap()
    }

    /// The driver goes, as after kill -9: nothing is stopped. A new one comes.
    pub(crate) async fn reopen(&mut self) {
        self.cloud = None;
        self.cloud = Some(open(self.dir.path()).await);
    }

    pub(crate) async fn spec(&self, owner: UserId, generation: u32) -> ServerSpec {
        spec_on(self.cloud(), DesktopId::fresh(), owner, generation).await
    }

    pub(crate) async fn started(&self, owner: UserId) -> Running {
        let spec = self.spec(owner, 1).await;
        self.cloud().create(&spec).await.unwrap();
        let address = active(self.cloud(), spec.desktop).await;
        Running { desktop: spec.desktop, address, spec }
    }

    pub(crate) fn home(&self, owner: UserId) -> PathBuf {
        self.dir.path().join("homes").join(owner.to_string())
    }

    pub(crate) fn in_force(&self, code: &str) -> bool {
        self.cloud().protections().iter().any(|wall| wall.code == code && wall.in_force)
    }

    /// Stops all and checks that nothing at all is left.
    pub(crate) async fn end(mut self) {
        self.cloud().shutdown().await;
        self.cloud = None;
        assert_nothing_runs(self.dir.path()).await;
    }
}

impl Drop for SandboxBed {
    fn drop(&mut self) {
        kill_after_failure(self.dir.path());
    }
}

/// A failed test must not leave desktops behind.
pub(crate) fn kill_after_failure(data: &Path) {
    if !std::thread::panicking() {
        return;
    }
    for pid in users_of(data) {
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// A desktop with the stand-in agent.
pub(crate) struct Running {
    pub(crate) desktop: DesktopId,
    pub(crate) address: String,
    pub(crate) spec: ServerSpec,
}

impl Running {
    /// Runs a shell command inside; gives all it said and, last, `exit N`.
    pub(crate) fn inside(&self, command: &str) -> String {
        inside(&self.address, command)
    }
}

pub(crate) fn inside(address: &str, command: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    writeln!(connection, "{command}").unwrap();
    connection.shutdown(Shutdown::Write).unwrap();
    let mut said = String::new();
    connection.read_to_string(&mut said).unwrap();
    said
}

pub(crate) fn trial() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_beamdesk-sandbox-trial"))
}

pub(crate) fn config(data: &Path) -> SandboxConfig {
    SandboxConfig::new(data.to_owned(), trial(), trial())
}

pub(crate) async fn open(data: &Path) -> Sandbox {
    Sandbox::open(config(data)).await.unwrap()
}

pub(crate) async fn active(cloud: &dyn Compute, desktop: DesktopId) -> String {
    let mut address = None;
    eventually("the desktop runs", async || {
        let server = cloud.find(desktop).await.unwrap();
        address = server.filter(|s| s.state == PowerState::Active).and_then(|s| s.address);
        address.is_some()
    })
    .await;
    address.unwrap()
}

/// Waits for a condition, within a bound.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < end, "it never came true that {what}");
        sleep(PAUSE).await;
    }
}

/// No process, mount, namespace or control group of this data folder.
pub(crate) async fn assert_nothing_runs(data: &Path) {
    eventually("no process is left", async || users_of(data).is_empty()).await;
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&data.display().to_string()), "a mount is left: {mounts}");
    let groups = groups_of(data);
    assert!(groups.is_empty(), "control groups are left: {groups:?}");
}

/// Control groups of single desktops of this data folder.
pub(crate) fn groups_of(data: &Path) -> Vec<PathBuf> {
    let name = fs::read(data.join("sandboxes/.deployment")).unwrap_or_default();
    let Ok(name) = serde_json::from_slice::<String>(&name) else { return Vec::new() };
    let mut groups = Vec::new();
    for root in ["", "memory", "cpu", "cpu,cpuacct", "pids", "unified"] {
        let parent = Path::new("/sys/fs/cgroup").join(root).join(format!("beamdesk-{name}"));
        let Ok(entries) = fs::read_dir(parent) else { continue };
        let dirs = entries.flatten().filter(|entry| entry.file_type().unwrap().is_dir());
        groups.extend(dirs.map(|entry| entry.path()));
    }
    groups
}

/// Processes that hold a file of the folder open or have something of it mounted.
pub(crate) fn users_of(data: &Path) -> Vec<i32> {
    let data = data.display().to_string();
    // Also what is between fork and exec: that holds whatever any test here has open.
    let own = std::env::current_exe().unwrap();
    let mut users = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let open = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        let holds = open
            .filter_map(|fd| fs::read_link(fd.path()).ok())
            .any(|target| target.starts_with(&data));
        let mounts = fs::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
        let is_own = fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == own);
        if !is_own && (holds || mounts.contains(&data)) {
            users.push(pid);
        }
    }
    users
}

pub(crate) async fn spec_on(
    cloud: &dyn Compute,
    desktop: DesktopId,
    owner: UserId,
    generation: u32,
) -> ServerSpec {
    let node = cloud.nodes().await.unwrap().remove(0).name;
    let image = cloud.images().await.unwrap().remove(0);
    make_spec(node, image, desktop, owner, generation)
}

fn make_spec(
    node: NodeName,
    image: Image,
    desktop: DesktopId,
    owner: UserId,
    generation: u32,
) -> ServerSpec {
    ServerSpec {
        desktop,
        owner,
        node,
        image,
        size: Size {
            id: "small".to_owned().try_into().unwrap(),
            name: "Small".to_owned(),
            vcpus: 1,
            memory_mib: 256,
            disk_gib: 1,
            gpu: GpuRequest::default(),
            term_hours: 0,
            enabled: true,
        },
        cards: Vec::new(),
        share_milli: WHOLE_CARD,
        agent: AgentStart::Handed(AgentConfig {
            desktop,
            generation,
            certificate: "a certificate".to_owned(),
            key: Secret::new("a key nobody may see".to_owned()),
            authority: "an authority".to_owned(),
            session: SessionConfig {
                name: "Trial Desktop".to_owned(),
                language: "en".to_owned(),
                width: 1280,
                height: 720,
            },
        }),
    }
}

/// Of its next incarnation.
pub(crate) fn set_generation(spec: &mut ServerSpec, generation: u32) {
    match &mut spec.agent {
        AgentStart::Handed(config) => config.generation = generation,
        AgentStart::Seeded(seed) => seed.generation = generation,
    }
}

/// Far more than anything here takes, even on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(10);
/// A real Nova takes seconds for anything, on a machine that does all of its work.
pub(crate) const PATIENCE_ELSEWHERE: Duration = Duration::from_secs(120);
pub(crate) const PAUSE_ELSEWHERE: Duration = Duration::from_millis(300);

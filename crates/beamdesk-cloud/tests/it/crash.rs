//! Kill -9 at every step of create, power and delete: nothing is lost, nothing is left over.

use std::{path::Path, process::Stdio, time::Duration};

use beamdesk_cloud::{Compute, Power, PowerState, ServerId, ServerSpec, sandbox::Sandbox};
use beamdesk_types::{DesktopId, UserId};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

use crate::bed::{
    PATIENCE, SandboxBed, active, assert_nothing_runs, eventually, kill_after_failure, open,
    set_generation, trial, users_of,
};

/// Steps of a start, in the driver and in the supervisor.
const START_STEPS: [&str; 8] = [
    "start-booked",
    "start-ordered",
    "start-spawned",
    "start-told",
    "host-locked",
    "host-grouped",
    "host-started",
    "host-recorded",
];
const DELETE_STEPS: [&str; 4] =
    ["delete-ordered", "delete-stopped", "delete-cleared", "host-cleared"];

#[tokio::test]
async fn killed_at_any_step_of_create_a_desktop_is_made_once_and_can_be_deleted() {
    for step in START_STEPS {
        let bed = Crash::prepare().await;
        let died = bed.drive(json!([{ "create": bed.spec }]), step).await;
        assert!(died, "{step} was not reached");
        let cloud = open(bed.data()).await;
        bed.bring_up(&cloud).await;
        assert_eq!(cloud.list().await.unwrap().len(), 1, "after {step}");
        bed.until_one_supervisor(&cloud).await;
        bed.delete_leaves_nothing(&cloud).await;
    }
}

#[tokio::test]
async fn killed_at_any_step_of_create_a_desktop_can_be_deleted_at_once() {
    for step in START_STEPS {
        let bed = Crash::prepare().await;
        bed.drive(json!([{ "create": bed.spec }]), step).await;
        let cloud = open(bed.data()).await;
        bed.delete_leaves_nothing(&cloud).await;
    }
}

#[tokio::test]
async fn killed_at_any_step_of_power_on_a_desktop_comes_up() {
    for step in START_STEPS {
        let mut bed = Crash::prepare().await;
        let id = bed.id();
        assert!(!bed.drive(json!([{ "create": bed.spec }, { "off": id }]), "").await);
        set_generation(&mut bed.spec, 2);
        let died = bed.drive(json!([{ "on": bed.spec }]), step).await;
        assert!(died, "{step} was not reached");
        let cloud = open(bed.data()).await;
        bed.bring_up(&cloud).await;
        bed.until_one_supervisor(&cloud).await;
        bed.delete_leaves_nothing(&cloud).await;
    }
}

#[tokio::test]
async fn killed_at_any_step_of_delete_a_desktop_is_deleted_by_the_next_call() {
    for step in DELETE_STEPS {
        let bed = Crash::prepare().await;
        let died = bed.drive(json!([{ "create": bed.spec }, { "delete": bed.id() }]), step).await;
        assert!(died, "{step} was not reached");
        let cloud = open(bed.data()).await;
        if let Some(server) = cloud.find(bed.spec.desktop).await.unwrap() {
            assert_eq!(server.state, PowerState::Deleting, "after {step}");
        }
        bed.delete_leaves_nothing(&cloud).await;
    }
}

#[tokio::test]
async fn killed_between_the_order_to_stop_and_the_signal_a_desktop_can_be_stopped() {
    let bed = Crash::prepare().await;
    let died = bed.drive(json!([{ "create": bed.spec }, { "off": bed.id() }]), "off-ordered").await;
    assert!(died);
    let cloud = open(bed.data()).await;
    cloud.power(&bed.id(), Power::Off).await.unwrap();
    bed.until_off(&cloud).await;
    bed.delete_leaves_nothing(&cloud).await;
}

#[tokio::test]
async fn killed_at_random_moments_nothing_is_lost_and_nothing_is_left() {
    const ROUNDS: u32 = 24;
    for round in 0..ROUNDS {
        let bed = Crash::prepare().await;
        let todo = json!([{ "create": bed.spec }, { "delete": bed.id() }]);
        // Spread over the time that both take together, in odd steps.
        bed.drive_for(&todo, Duration::from_micros(u64::from(round) * 9_700)).await;
        let cloud = open(bed.data()).await;
        if round % 2 == 0 {
            let server = cloud.find(bed.spec.desktop).await.unwrap();
            if !server.is_some_and(|server| server.state == PowerState::Deleting) {
                bed.bring_up(&cloud).await;
            }
        }
        bed.delete_leaves_nothing(&cloud).await;
    }
}

#[tokio::test]
async fn a_killed_supervisor_takes_its_desktop_along() {
    let bed = SandboxBed::open().await;
    let desktop = bed.started(UserId::fresh()).await;
    desktop.inside("(sleep 1000 & sleep 1001 & setsid sleep 1002 &) > /dev/null 2>&1; echo");
    let file = bed.dir.path().join("sandboxes").join(desktop.desktop.to_string());
    let server: Value =
        serde_json::from_slice(&std::fs::read(file.join("server.json")).unwrap()).unwrap();
    let pid = i32::try_from(server["supervisor_pid"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    eventually("it is off", async || {
        let server = bed.cloud().find(desktop.desktop).await.unwrap().unwrap();
        server.state == PowerState::Off && server.address.is_none()
    })
    .await;
    // Its control groups are still there, empty; the next start or delete takes them.
    eventually("all its processes are gone", async || users_of(bed.dir.path()).is_empty()).await;
    let mut spec = desktop.spec.clone();
    set_generation(&mut spec, 2);
    let id = ServerId(desktop.desktop.to_string());
    bed.cloud().power(&id, Power::On(&spec)).await.unwrap();
    active(bed.cloud(), desktop.desktop).await;
    bed.end().await;
}

/// bubblewrap's inner process waits for ever when the outer one is killed in the moment before it
/// is tied to it. A stand-in with the same mark must go at the next opening, start and delete.
#[tokio::test]
async fn a_stray_that_bubblewrap_left_is_found_by_its_mark() {
    let mut bed = SandboxBed::open().await;
    let desktop = bed.started(UserId::fresh()).await;
    let id = ServerId(desktop.desktop.to_string());
    let mark = desktop.inside("echo $BEAMDESK_SANDBOX").lines().next().unwrap().to_owned();
    let trial = mark.replace(&id.0, "trial");
    let other = format!("somebody-else/{}", id.0);

    bed.cloud().power(&id, Power::Off).await.unwrap();
    eventually("it is off", async || {
        bed.cloud().find(desktop.desktop).await.unwrap().unwrap().state == PowerState::Off
    })
    .await;
    let (mut one, mut two, mut unknown) =
        (stray(&bed, &mark).await, stray(&bed, &trial).await, stray(&bed, &other).await);
    bed.reopen().await;
    assert_killed(&mut one).await;
    assert_killed(&mut two).await;
    let mut three = stray(&bed, &mark).await;
    let mut spec = desktop.spec.clone();
    set_generation(&mut spec, 2);
    bed.cloud().power(&id, Power::On(&spec)).await.unwrap();
    assert_killed(&mut three).await;
    bed.cloud().power(&id, Power::Off).await.unwrap();
    bed.cloud().delete(&id).await.unwrap();
    let mut four = stray(&bed, &mark).await;
    bed.cloud().delete(&id).await.unwrap();
    assert_killed(&mut four).await;
    assert!(unknown.try_wait().unwrap().is_none(), "a stranger was killed");
    unknown.kill().await.unwrap();
    bed.end().await;
}

/// A process called `bwrap` that bears the mark.
async fn stray(bed: &SandboxBed, mark: &str) -> tokio::process::Child {
    let program = bed.dir.path().join("bwrap");
    if !program.exists() {
        std::fs::copy("/bin/sh", &program).unwrap();
    }
    let mut command = Command::new(&program);
    command.args(["-c", "kill -STOP $$; :", "--setenv", "BEAMDESK_SANDBOX", mark]);
    let child = command.kill_on_drop(true).spawn().unwrap();
    // The kernel lets the parent go on a little before the arguments can be read.
    let line = format!("/proc/{}/cmdline", child.id().unwrap());
    let is_seen = async || std::fs::read_to_string(&line).is_ok_and(|line| line.contains(mark));
    eventually("the stray is seen", is_seen).await;
    child
}

async fn assert_killed(stray: &mut tokio::process::Child) {
    let exit = timeout(PATIENCE, stray.wait()).await.unwrap().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&exit), Some(9));
}

#[tokio::test]
async fn a_cancelled_create_can_be_repeated() {
    let bed = SandboxBed::open().await;
    for micros in [0, 500, 2_000, 5_000, 10_000, 20_000, 40_000] {
        let spec = bed.spec(UserId::fresh(), 1).await;
        drop(timeout(Duration::from_micros(micros), bed.cloud().create(&spec)).await);
        let id = bed.cloud().create(&spec).await.unwrap();
        active(bed.cloud(), spec.desktop).await;
        bed.cloud().delete(&id).await.unwrap();
    }
    assert_nothing_runs(bed.dir.path()).await;
    bed.end().await;
}

/// A data folder, a desktop, and a driver process to be killed.
struct Crash {
    dir: tempfile::TempDir,
    spec: ServerSpec,
}

impl Crash {
    async fn prepare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cloud = open(dir.path()).await;
        let spec = crate::bed::spec_on(&cloud, DesktopId::fresh(), UserId::fresh(), 1).await;
        Self { dir, spec }
    }

    fn data(&self) -> &Path {
        self.dir.path()
    }

    fn id(&self) -> ServerId {
        ServerId(self.spec.desktop.to_string())
    }

    /// Runs a driver process that dies at `step`; in a supervisor's step the supervisor dies.
    /// True if anybody died.
    async fn drive(&self, todo: Value, step: &str) -> bool {
        let mut child = self.spawn(&todo, step).await;
        let exit = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
        let killed = std::os::unix::process::ExitStatusExt::signal(&exit) == Some(9);
        killed
            || (step.starts_with("host-") && (step == "host-recorded" || !exit.success()))
            || self.supervisor_died(step)
    }

    /// In `host-cleared` the supervisor dies on its way out, and nobody minds.
    fn supervisor_died(&self, step: &str) -> bool {
        step == "host-cleared" && !self.data().join("sandboxes").join(&self.id().0).exists()
    }

    async fn drive_for(&self, todo: &Value, time: Duration) {
        let mut child = self.spawn(todo, "").await;
        if timeout(time, child.wait()).await.is_err() {
            child.kill().await.unwrap();
        }
    }

    async fn spawn(&self, todo: &Value, step: &str) -> tokio::process::Child {
        let mut command = Command::new(trial());
        command.env("BEAMDESK_DIE_AT", step).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let request = json!({ "data_dir": self.data(), "todo": todo }).to_string();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(request.as_bytes()).await.unwrap();
        child
    }

    /// What the reconciler does with a desktop that shall run: adopt before create.
    async fn bring_up(&self, cloud: &Sandbox) {
        let mut spec = self.spec.clone();
        eventually("the desktop runs", async || {
            match cloud.find(spec.desktop).await.unwrap().map(|server| server.state) {
                None => {
                    cloud.create(&spec).await.unwrap();
                }
                Some(PowerState::Off) => {
                    let next = spec.agent.generation() + 1;
                    set_generation(&mut spec, next);
                    drop(cloud.power(&self.id(), Power::On(&spec)).await);
                }
                Some(PowerState::Active) => return true,
                Some(PowerState::Building) => {}
                Some(state) => panic!("{state:?}"),
            }
            false
        })
        .await;
    }

    /// A late one of the killed driver may still be on its way out, also when it was the one that
    /// was found running: then the desktop is brought up again, as the reconciler does.
    async fn until_one_supervisor(&self, cloud: &Sandbox) {
        eventually("one supervisor runs", async || {
            self.bring_up(cloud).await;
            supervisors(self.data()) == 1
        })
        .await;
    }

    async fn until_off(&self, cloud: &Sandbox) {
        eventually("it is off", async || {
            let server = cloud.find(self.spec.desktop).await.unwrap().unwrap();
            server.state == PowerState::Off
        })
        .await;
    }

    async fn delete_leaves_nothing(&self, cloud: &Sandbox) {
        cloud.delete(&self.id()).await.unwrap();
        assert_eq!(cloud.list().await.unwrap(), []);
        assert_nothing_runs(self.data()).await;
        let names: Vec<String> = std::fs::read_dir(self.data().join("sandboxes"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| ![".driver", ".deployment", ".agent", ".trial"].contains(&name.as_str()))
            .collect();
        assert!(names.is_empty(), "folders are left: {names:?}");
        cloud.shutdown().await;
    }
}

impl Drop for Crash {
    fn drop(&mut self) {
        kill_after_failure(self.data());
    }
}

/// How many supervisors hold something of this data folder.
fn supervisors(data: &Path) -> usize {
    let is_supervisor = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("sandbox-host")
    };
    users_of(data).iter().filter(|pid| is_supervisor(pid)).count()
}

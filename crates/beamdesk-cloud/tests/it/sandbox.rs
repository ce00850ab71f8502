//! What the sandbox driver promises beyond the common suite.

use std::{fs, net::TcpStream, os::unix::fs::PermissionsExt, path::Path};

use beamdesk_cloud::{CloudError, Compute, Power, PowerState, ServerId, sandbox::Sandbox};
use beamdesk_types::UserId;

use crate::bed::{
    SandboxBed, active, assert_nothing_runs, config, eventually, groups_of, inside, set_generation,
    trial, users_of,
};

#[tokio::test]
async fn desktops_outlive_the_driver_and_are_adopted() {
    let mut bed = SandboxBed::open().await;
    let desktop = bed.started(UserId::fresh()).await;
    desktop.inside("echo here > /tmp/mark");
    bed.reopen().await;
    let address = active(bed.cloud(), desktop.desktop).await;
    assert_eq!(address, desktop.address);
    assert_eq!(inside(&address, "cat /tmp/mark"), "here\nexit 0");
    bed.cloud().delete(&ServerId(desktop.desktop.to_string())).await.unwrap();
    assert_nothing_runs(bed.dir.path()).await;
    bed.end().await;
}

#[tokio::test]
async fn a_home_outlives_its_desktops_and_is_shared_by_them() {
    let bed = SandboxBed::open().await;
    let owner = UserId::fresh();
    let first = bed.started(owner).await;
    first.inside("echo kept > ~/file; chmod 600 ~/file");
    bed.cloud().delete(&ServerId(first.desktop.to_string())).await.unwrap();
    let second = bed.started(owner).await;
    assert_eq!(second.inside("cat ~/file"), "kept\nexit 0");
    let third = bed.started(owner).await;
    assert_eq!(third.inside("echo more >> ~/file; cat ~/file"), "kept\nmore\nexit 0");
    bed.end().await;
}

#[tokio::test]
async fn the_address_is_dead_when_the_desktop_is() {
    let bed = SandboxBed::open().await;
    let desktop = bed.started(UserId::fresh()).await;
    let id = ServerId(desktop.desktop.to_string());
    bed.cloud().power(&id, Power::Off).await.unwrap();
    eventually("it is off", async || state(&bed, &id).await == Some(PowerState::Off)).await;
    TcpStream::connect(&desktop.address).unwrap_err();
    assert!(groups_of(bed.dir.path()).is_empty());
    bed.end().await;
}

#[tokio::test]
async fn an_agent_that_ends_is_a_server_that_is_off() {
    let bed = SandboxBed::open().await;
    let desktop = bed.started(UserId::fresh()).await;
    let id = ServerId(desktop.desktop.to_string());
    // The agent is killed by its own user; with it goes all else in the sandbox.
    let mut connection = TcpStream::connect(&desktop.address).unwrap();
    std::io::Write::write_all(&mut connection, b"sleep 1000 & kill -9 $PPID\n").unwrap();
    eventually("it is off", async || state(&bed, &id).await == Some(PowerState::Off)).await;
    assert_nothing_runs(bed.dir.path()).await;
    let log = fs::read_to_string(folder(&bed, &id).join("log")).unwrap();
    assert!(log.contains("stand-in agent of"), "{log}");
    assert!(log.contains("The agent ended with exit code 137"), "{log}");
    bed.end().await;
}

#[tokio::test]
async fn an_agent_that_will_not_end_is_killed() {
    let bed = SandboxBed::open().await;
    let agent = bed.dir.path().join("stubborn");
    fs::write(&agent, "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n").unwrap();
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
    let data = tempfile::tempdir().unwrap();
    let mut config = config(data.path());
    config.agent_exe = agent;
    let cloud = Sandbox::open(config).await.unwrap();
    let spec = bed.spec(UserId::fresh(), 1).await;
    let id = cloud.create(&spec).await.unwrap();
    active(&cloud, spec.desktop).await;
    cloud.delete(&id).await.unwrap();
    assert_nothing_runs(data.path()).await;
    assert_eq!(cloud.find(spec.desktop).await.unwrap(), None);
    bed.end().await;
}

#[tokio::test]
async fn an_encoder_beside_the_agent_is_beside_it_inside_and_may_only_be_run() {
    let install = tempfile::tempdir().unwrap();
    fs::set_permissions(install.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (agent, encoder) = (install.path().join("agent"), install.path().join("beamdesk-x264"));
    fs::copy(trial(), &agent).unwrap();
    fs::write(&encoder, "#!/bin/sh\necho an encoder\n").unwrap();
    fs::set_permissions(&encoder, fs::Permissions::from_mode(0o755)).unwrap();
    for is_there in [true, false] {
        let data = tempfile::tempdir().unwrap();
        let mut config = config(data.path());
        config.agent_exe.clone_from(&agent);
        let cloud = Sandbox::open(config).await.unwrap();
        let (desktop, user) = (beamdesk_types::DesktopId::fresh(), UserId::fresh());
        let spec = crate::bed::spec_on(&cloud, desktop, user, 1).await;
        let id = cloud.create(&spec).await.unwrap();
        let address = active(&cloud, spec.desktop).await;
        let said = inside(&address, "/run/beamdesk/beamdesk-x264");
        assert_eq!(said == "an encoder\nexit 0", is_there, "{said}");
        if is_there {
            let said = inside(&address, "echo x >/run/beamdesk/beamdesk-x264");
            assert!(said.contains("exit 1"), "{said}");
        }
        cloud.delete(&id).await.unwrap();
        assert_nothing_runs(data.path()).await;
        if is_there {
            fs::remove_file(&encoder).unwrap();
        }
    }
}

#[tokio::test]
async fn shutdown_powers_everything_off_and_forgets_nothing() {
    let mut bed = SandboxBed::open().await;
    let (one, two) = (bed.started(UserId::fresh()).await, bed.started(UserId::fresh()).await);
    assert!(!users_of(bed.dir.path()).is_empty());
    bed.cloud().shutdown().await;
    assert_nothing_runs(bed.dir.path()).await;
    bed.reopen().await;
    for desktop in [&one, &two] {
        let server = bed.cloud().find(desktop.desktop).await.unwrap().unwrap();
        assert_eq!(server.state, PowerState::Off);
        let mut spec = desktop.spec.clone();
        set_generation(&mut spec, 2);
        bed.cloud().power(&server.id, Power::On(&spec)).await.unwrap();
        active(bed.cloud(), desktop.desktop).await;
    }
    bed.end().await;
}

#[tokio::test]
async fn a_second_driver_on_the_same_data_is_refused() {
    let bed = SandboxBed::open().await;
    let second = Sandbox::open(config(bed.dir.path())).await;
    assert!(
        matches!(&second, Err(CloudError::Refused { text, .. }) if text.contains("another Beamdesk"))
    );
    bed.end().await;
}

#[tokio::test]
async fn missing_programs_are_named_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let mut no_bwrap = config(data.path());
    no_bwrap.bwrap_exe = "bwrap-that-is-not-there".into();
    let error = Sandbox::open(no_bwrap).await.unwrap_err().to_string();
    assert!(error.contains("apt install bubblewrap"), "{error}");
    let mut broken = config(data.path());
    broken.bwrap_exe = "/bin/false".into();
    let error = Sandbox::open(broken).await.unwrap_err().to_string();
    assert!(error.contains("cannot build a sandbox"), "{error}");
    let mut no_agent = config(data.path());
    no_agent.agent_exe = "/nowhere/agent".into();
    let error = Sandbox::open(no_agent).await.unwrap_err().to_string();
    assert!(error.contains("/nowhere/agent is not there"), "{error}");
}

#[tokio::test]
async fn a_full_disk_is_said_so() {
    let data = tempfile::tempdir().unwrap();
    let mut config = config(data.path());
    config.disk_reserved_mib = 1 << 40;
    let cloud = Sandbox::open(config).await.unwrap();
    let spec =
        crate::bed::spec_on(&cloud, beamdesk_types::DesktopId::fresh(), UserId::fresh(), 1).await;
    let full = cloud.create(&spec).await;
    assert!(matches!(full, Err(CloudError::DiskFull)), "{full:?}");
    assert_eq!(cloud.find(spec.desktop).await.unwrap(), None);
}

#[tokio::test]
async fn an_order_that_cannot_be_read_is_an_error_that_deleting_helps() {
    let bed = SandboxBed::open().await;
    let desktop = bed.started(UserId::fresh()).await;
    let id = ServerId(desktop.desktop.to_string());
    fs::write(folder(&bed, &id).join("order.json"), "{").unwrap();
    assert!(matches!(state(&bed, &id).await, Some(PowerState::Error(_))));
    bed.cloud().delete(&id).await.unwrap();
    assert_eq!(state(&bed, &id).await, None);
    assert_nothing_runs(bed.dir.path()).await;
    bed.end().await;
}

#[tokio::test]
async fn a_sandbox_that_cannot_be_built_is_an_error_with_its_reason() {
    let data = tempfile::tempdir().unwrap();
    let agent = data.path().join("agent");
    fs::write(&agent, "#!/nowhere/sh\n").unwrap();
    fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
    let mut config = config(data.path());
    config.agent_exe = agent;
    let cloud = Sandbox::open(config).await.unwrap();
    let spec =
        crate::bed::spec_on(&cloud, beamdesk_types::DesktopId::fresh(), UserId::fresh(), 1).await;
    let id = cloud.create(&spec).await.unwrap();
    eventually("it is broken, with bubblewrap's words", async || {
        let server = cloud.find(spec.desktop).await.unwrap().unwrap();
        matches!(server.state, PowerState::Error(text) if text.contains("bwrap: execvp"))
    })
    .await;
    cloud.delete(&id).await.unwrap();
    assert_nothing_runs(data.path()).await;
}

async fn state(bed: &SandboxBed, id: &ServerId) -> Option<PowerState> {
    let server = bed.cloud().find(id.0.parse().unwrap()).await.unwrap();
    server.map(|server| server.state)
}

fn folder(bed: &SandboxBed, id: &ServerId) -> std::path::PathBuf {
    Path::new(bed.dir.path()).join("sandboxes").join(&id.0)
}

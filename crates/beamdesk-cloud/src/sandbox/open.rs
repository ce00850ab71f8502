//! Opening the driver: check what is there, try the walls, clear leftovers.

use std::{
    env, fs,
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::geteuid;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::{
    Sandbox, SandboxConfig,
    cgroup::Groups,
    clear::{clear, strays},
    devices::Devices,
    driver::fresh_nonce,
    failed,
    folder::{self, Wanted, write_whole},
    homes::Homes,
    launch::{self, Launch, Stage},
    machine::Machine,
    walls::{self, Walls},
};
use crate::CloudError;

pub(super) async fn open(config: SandboxConfig) -> Result<Sandbox, CloudError> {
    let bwrap = program(&config.bwrap_exe)
        .ok_or_else(|| refused("bubblewrap is not installed; on Debian: apt install bubblewrap"))?;
    for exe in [&config.beamdesk_exe, &config.agent_exe] {
        if !exe.is_file() {
            return Err(refused(&format!("{} is not there", exe.display())));
        }
    }
    let root = config.data_dir.join("sandboxes");
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&root);
    made.map_err(failed)?;
    let only_one = lock_data(&root).await?;
    let root = root.canonicalize().map_err(failed)?;

    let is_root = geteuid().is_root();
    let homes = Homes::open(root.with_file_name("homes"), is_root).map_err(failed)?;
    let deployment = deployment(&root).map_err(failed)?;
    let groups = if is_root {
        Groups::probe(&format!("beamdesk-{deployment}"))
    } else {
        Groups::none("Beamdesk does not run as root, so it may set no limits")
    };
    let agent = agent_copy(&config.agent_exe, &root, homes.ids().is_some()).map_err(failed)?;
    let sandbox = Sandbox {
        deployment,
        bwrap,
        agent,
        machine: Machine::look(&config).map_err(failed)?,
        homes,
        groups,
        gates: std::sync::Mutex::default(),
        booking: tokio::sync::Mutex::default(),
        starting: std::sync::Mutex::default(),
        _only_one: only_one,
        root,
        config,
    };
    try_walls(&sandbox).await?;
    tidy(&sandbox).await.map_err(failed)?;
    Ok(sandbox)
}

/// One driver per data folder. A killed one's lock goes with it; children between fork and exec
/// may hold it a moment longer.
async fn lock_data(root: &Path) -> Result<fs::File, CloudError> {
    let path = root.join(".driver");
    let file = fs::File::options().write(true).create(true).truncate(false).open(path);
    let file = file.map_err(failed)?;
    let until = Instant::now() + DRIVER_WAIT_MAX;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < until => {
                sleep(DRIVER_PAUSE).await;
            }
            Err(fs::TryLockError::WouldBlock) => {
                let text = format!("another Beamdesk runs desktops in {}", root.display());
                return Err(refused(&text));
            }
            Err(fs::TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
}

/// This data folder's own name, made once.
fn deployment(root: &Path) -> io::Result<String> {
    let path = root.join(".deployment");
    match fs::read(&path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = fresh_nonce()?.chars().take(12).collect();
            write_whole(&path, &name)?;
            Ok(name)
        }
        Err(error) => Err(error),
    }
}

/// The agent as a file that desktops may run but not read.
///
/// A process of an unreadable program cannot be traced by others of its user. Without this, any
/// program in the desktop could take the agent's listener, which belongs to the host's network,
/// and step out of its own empty one.
fn agent_copy(agent: &Path, root: &Path, is_other_user: bool) -> io::Result<PathBuf> {
    // Not even to its owner, where desktops have the driver's own user id.
    let mode = if is_other_user { 0o711 } else { 0o111 };
    let agent = agent.canonicalize()?;
    let mut magic = [0; 4];
    let mut file = fs::File::open(&agent)?;
    let is_elf = file.read_exact(&mut magic).is_ok() && magic == *b"\x7fELF";
    // A script must be readable to run. Only tests have such agents.
    if !is_elf {
        return Ok(agent);
    }
    let from = file.metadata()?;
    let copy = root.join(".agent");
    let is_fresh = fs::metadata(&copy).is_ok_and(|copy| {
        copy.len() == from.len()
            && copy.modified().ok() == from.modified().ok()
            && copy.permissions().mode() & 0o777 == mode
    });
    if !is_fresh {
        let new = root.join(".agent-new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut to = fs::File::options().write(true).create_new(true).open(&new)?;
        io::copy(&mut fs::File::open(&agent)?, &mut to)?;
        to.set_modified(from.modified()?)?;
        to.set_permissions(fs::Permissions::from_mode(mode))?;
        drop(to);
        fs::rename(&new, &copy)?;
    }
    Ok(copy)
}

/// Builds the sandbox once around `true`, as a desktop's user, so that what does not work is known
/// before anybody asks for a desktop.
async fn try_walls(sandbox: &Sandbox) -> Result<(), CloudError> {
    let dir = sandbox.root.join(".trial");
    let mark = sandbox.mark(TRIAL);
    // Of a driver that was killed right here.
    clear_named(sandbox, TRIAL).await.map_err(failed)?;
    walls::write_etc(&dir, TRIAL).map_err(failed)?;
    let uid = sandbox.homes.ids().map(|ids| ids.start);
    let mut stage = Stage::new(uid.is_some());
    let walls = Walls {
        home: &dir,
        etc: &dir,
        agent: None,
        encoder: None,
        read_only: &sandbox.config.read_only,
        hostname: TRIAL,
        mark: &mark,
        tmp_bytes: 1024 * 1024,
        devices: &Devices::default(),
        cards: &[],
        status: None,
    };
    let arguments = walls::arguments(&walls, &mut stage).map_err(failed)?;
    let launch =
        Launch { uid, groups: Vec::new(), doors: Vec::new(), stage, listener: None, status: None };
    let mut command = launch::command(&sandbox.bwrap, launch).map_err(failed)?;
    command.args(arguments).args(["--", "/bin/true"]);
    command.env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(TRIAL_WAIT_MAX, command.output()).await;
    let output = output
        .map_err(|_| refused("bubblewrap does not end: no desktop can be made on this machine"))?
        .map_err(|error| refused(&format!("bubblewrap does not start: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(refused(&format!(
        "bubblewrap cannot build a sandbox on this machine: {}. It needs user namespaces: see \
         sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces and, on Ubuntu, \
         kernel.apparmor_restrict_unprivileged_userns",
        said.trim()
    )))
}

/// Clears what a killed driver or supervisor left: half-made folders and groups without a server.
async fn tidy(sandbox: &Sandbox) -> io::Result<()> {
    folder::tidy(&sandbox.root)?;
    let mut kept = 0_u32;
    let desktops = folder::desktops(&sandbox.root)?;
    // Looking at all processes for each desktop would take long when there are many.
    let mut left = sandbox.groups.present();
    let own = sandbox.mark("");
    left.extend(
        strays(&own)?.iter().filter_map(|(_, mark)| mark.strip_prefix(&own)).map(str::to_owned),
    );
    left.sort_unstable();
    left.dedup();
    for desktop in &desktops {
        let folder = sandbox.folder(*desktop);
        if folder.supervisor()?.is_some() {
            kept += 1;
            continue;
        }
        if let Ok(Some(mut order)) = folder.order()
            && order.wanted == Wanted::On
        {
            // A late supervisor of the killed driver must not start what is cleared now.
            order.wanted = Wanted::Off;
            order.nonce = fresh_nonce()?;
            folder.set_order(&order)?;
        }
    }
    for name in left {
        let is_alive = match name.parse() {
            Ok(desktop) => sandbox.folder(desktop).supervisor()?.is_some(),
            Err(_) => false,
        };
        if !is_alive {
            clear_named(sandbox, &name).await?;
        }
    }
    info!(desktops.running = kept, desktops.known = desktops.len(), "Opened the sandbox driver");
    Ok(())
}

async fn clear_named(sandbox: &Sandbox, name: &str) -> io::Result<()> {
    if !clear(&sandbox.groups.paths_of(name), &sandbox.mark(name)).await? {
        warn!(name, "Some leftover processes do not die");
    }
    Ok(())
}

/// Finds a program as a shell would.
fn program(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return name.is_file().then(|| name.to_owned());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

fn refused(text: &str) -> CloudError {
    CloudError::refused(text)
}

const TRIAL: &str = "trial";
const DRIVER_WAIT_MAX: Duration = Duration::from_secs(2);
const DRIVER_PAUSE: Duration = Duration::from_millis(10);
/// It takes some 30 ms on an idle machine.
const TRIAL_WAIT_MAX: Duration = Duration::from_secs(20);

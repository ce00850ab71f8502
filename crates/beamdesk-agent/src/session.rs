//! The desktop session: X server, window manager, panel, desktop; kept running until told to stop.

mod client;
mod files;
mod xserver;

use std::{
    ffi::OsString,
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use beamdesk_types::SessionConfig;
use rustix::fs::{CWD, FileType, Mode};
use tokio::{io::AsyncReadExt as _, net::unix::pipe, sync::watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{AgentError, local::SOCKET};

pub use xserver::XServer;

/// As in the desktop's own configuration.
const BACKGROUND: &str = "#40596b";

/// A private folder for sockets, cookies and written configuration; gone when dropped.
#[derive(Debug)]
pub struct RunFolder(tempfile::TempDir);

impl RunFolder {
    pub fn new() -> Result<Self, AgentError> {
        let folder = tempfile::Builder::new()
            .prefix("beamdesk-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(AgentError::system("cannot make a folder for the session"))?;
        Ok(Self(folder))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where programs of the session find the agent.
    pub fn socket(&self) -> PathBuf {
        self.path().join(SOCKET)
    }

    /// Where the cookie that opens the X server is.
    pub fn authority(&self) -> PathBuf {
        self.path().join("Xauthority")
    }
}

/// The programs of one session.
#[derive(Debug)]
pub struct Session {
    clients: TaskTracker,
    up: watch::Receiver<bool>,
}

impl Session {
    /// Starts the session's programs on a display and keeps them running until `stop`.
    pub fn start(
        config: &SessionConfig,
        run: &RunFolder,
        display: &str,
        stop: &CancellationToken,
    ) -> Result<Self, AgentError> {
        files::write(run.path(), config)
            .map_err(AgentError::system("cannot write the session's configuration"))?;
        let environment = environment(config, run, display);
        let (ready, up) = watch::channel(false);
        let clients = TaskTracker::new();
        let keep = |command: Vec<OsString>| {
            clients.spawn(client::keep(command, environment.clone(), stop.clone()));
        };
        let run = run.path().to_owned();
        if has_program("dbus-daemon") {
            keep(words(&[
                "dbus-daemon",
                "--session",
                "--nofork",
                "--nopidfile",
                "--nosyslog",
                &format!("--address={}", bus(&run)),
            ]));
        }
        // The wallpaper's colour, until the desktop is there.
        let colour = words(&["xsetroot", "-solid", BACKGROUND]);
        clients.spawn(client::once(colour, environment.clone(), stop.clone()));
        let fifo = run.join("window-manager");
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, mode, 0)
            .map_err(|errno| AgentError::system("cannot make a pipe")(errno.into()))?;
        let mut told = pipe::OpenOptions::new()
            .read_write(true)
            .open_receiver(&fifo)
            .map_err(AgentError::system("cannot open a pipe"))?;
        keep(words(&[
            "openbox",
            "--config-file",
            &text(&run.join("openbox.xml")),
            "--startup",
            &format!("/bin/sh -c 'echo up > \"{}\"'", fifo.display()),
        ]));
        let (environment, tracker, stop) = (environment.clone(), clients.clone(), stop.clone());
        clients.spawn(async move {
            let read = tokio::select! {
                () = stop.cancelled() => return,
                read = told.read_u8() => read,
            };
            if let Err(error) = read {
                warn!(error = %error, "The window manager's word was lost");
            }
            info!("Session is up");
            ready.send_replace(true);
            let panel = words(&["tint2", "-c", &text(&run.join("tint2rc"))]);
            let desktop = words(&["pcmanfm", "--desktop", "--profile", "beamdesk"]);
            for command in [panel, desktop] {
                tracker.spawn(client::keep(command, environment.clone(), stop.clone()));
            }
            // Kept open: a window manager started anew says its word here too.
            stop.cancelled().await;
            drop((told, ready));
        });
        Ok(Self { clients, up })
    }

    /// Becomes true when the window manager is there.
    pub fn up(&self) -> watch::Receiver<bool> {
        self.up.clone()
    }

    /// Waits until all programs have ended, after `stop`.
    pub async fn ended(self) {
        self.clients.close();
        self.clients.wait().await;
    }
}

/// What the session's programs find in their environment beyond what the agent has.
fn environment(
    config: &SessionConfig,
    run: &RunFolder,
    display: &str,
) -> Vec<(&'static str, OsString)> {
    let folder = run.path();
    let and_then = |first: &str, then: &str| format!("{}:{then}", folder.join(first).display());
    let language = if config.language == "zh" { "zh_CN:en" } else { "en" };
    let mut variables: Vec<(&str, OsString)> = vec![
        ("DISPLAY", display.into()),
        ("XAUTHORITY", run.authority().into()),
        ("XDG_RUNTIME_DIR", folder.into()),
        ("BEAMDESK_SOCKET", run.socket().into()),
        ("XDG_CONFIG_DIRS", and_then("config", "/etc/xdg").into()),
        ("XDG_DATA_DIRS", and_then("share", "/usr/local/share:/usr/share").into()),
        ("XDG_CURRENT_DESKTOP", "Beamdesk".into()),
        ("XDG_SESSION_TYPE", "x11".into()),
        ("XDG_MENU_PREFIX", "lxde-".into()),
        ("FONTCONFIG_FILE", folder.join("fonts.conf").into()),
        ("GTK2_RC_FILES", folder.join("gtkrc").into()),
        ("LANG", "C.UTF-8".into()),
        ("LANGUAGE", language.into()),
        ("XCURSOR_THEME", "Adwaita".into()),
        ("XCURSOR_SIZE", "24".into()),
        // No assistive bus in here: programs would wait for it.
        ("NO_AT_BRIDGE", "1".into()),
        ("GTK_OVERLAY_SCROLLING", "0".into()),
    ];
    if has_program("dbus-daemon") {
        variables.push(("DBUS_SESSION_BUS_ADDRESS", bus(folder).into()));
    }
    if std::env::var_os("SHELL").is_none() {
        variables.push(("SHELL", "/bin/bash".into()));
    }
    variables
}

fn bus(run: &Path) -> String {
    format!("unix:path={}", run.join("bus").display())
}

fn has_program(name: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else { return false };
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// The run folder's name is ours and ASCII.
fn text(path: &Path) -> String {
    path.display().to_string()
}

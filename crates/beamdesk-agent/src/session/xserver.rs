//! The X server of the session: Xvfb, reachable by its owner's cookie and by nothing else.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
    time::timeout,
};

use super::{RunFolder, client};
use crate::AgentError;

/// Largest picture: its memory is reserved from the start, 33 MB.
const SCREEN: &str = "3840x2160x24";
const START_TIMEOUT: Duration = Duration::from_secs(15);
const COOKIE_BYTES: usize = 16;
const SOCKETS: &str = "/tmp/.X11-unix";

/// A running X server.
#[derive(Debug)]
pub struct XServer {
    child: Child,
    display: String,
}

impl XServer {
    /// Starts it on a free display and waits until it takes connections.
    pub async fn start(run: &RunFolder) -> Result<Self, AgentError> {
        write_cookie(&run.authority()).map_err(AgentError::system("cannot write the X cookie"))?;
        make_socket_folder();
        let authority = run.authority().display().to_string();
        // The abstract socket stays open: with -displayfd it is all that keeps two servers from
        // taking one display. It ends at the sandbox's network namespace, and asks for the cookie.
        let words = super::words(&[
            "Xvfb",
            "-displayfd",
            "1",
            "-screen",
            "0",
            SCREEN,
            "-auth",
            &authority,
            "-nolisten",
            "tcp",
            "-noreset",
            "-dpi",
            "96",
            "-s",
            "0",
        ]);
        let mut command = client::command(&words, &[]);
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command
            .spawn()
            .map_err(|source| AgentError::Start { program: "Xvfb".to_owned(), source })?;
        let stdout = child.stdout.take().expect("asked for above");
        let mut number = String::new();
        match timeout(START_TIMEOUT, BufReader::new(stdout).read_line(&mut number)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(AgentError::XServer(error.to_string())),
            Err(_) => return Err(AgentError::XServer("it took too long".to_owned())),
        }
        let number: u16 = number
            .trim()
            .parse()
            .map_err(|_| AgentError::XServer("it ended without taking a display".to_owned()))?;
        Ok(Self { child, display: format!(":{number}") })
    }

    pub fn display(&self) -> &str {
        &self.display
    }

    /// Waits for its end, which nobody asked for. Cancel safe.
    pub async fn died(&mut self) -> AgentError {
        match self.child.wait().await {
            Ok(_) => AgentError::XServerGone,
            Err(source) => AgentError::System { what: "cannot watch the X server", source },
        }
    }

    pub async fn stop(self) {
        client::end(self.child).await;
    }
}

/// One entry for any host and display: `FamilyWild`, no address, no number.
fn write_cookie(path: &Path) -> io::Result<()> {
    const FAMILY_WILD: u16 = 0xffff;
    const NAME: &[u8] = b"MIT-MAGIC-COOKIE-1";
    let mut cookie = [0; COOKIE_BYTES];
    getrandom::fill(&mut cookie).map_err(|error| io::Error::other(error.to_string()))?;
    let mut entry = FAMILY_WILD.to_be_bytes().to_vec();
    for part in [b"".as_slice(), b"", NAME, &cookie] {
        let len = u16::try_from(part.len()).expect("a few bytes");
        entry.extend(len.to_be_bytes());
        entry.extend(part);
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?.write_all(&entry)
}

/// An X server that is not root refuses to make the folder for its sockets.
fn make_socket_folder() {
    let path = Path::new(SOCKETS);
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o1777);
    // Where it is there already somebody else has set it up; where it cannot be made the X server
    // says so. The mode again, since the umask took from it.
    if builder.create(path).is_ok() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o1777)).unwrap_or_default();
    }
}

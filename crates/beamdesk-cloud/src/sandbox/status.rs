//! What bubblewrap tells of the sandbox it builds, and how a sandbox ended.

use std::{process::ExitStatus, time::Duration};

use rustix::process::Pid;
use serde::Deserialize;
use tokio::{io::AsyncReadExt, net::unix::pipe, time::timeout};

use super::{folder::Folder, log::last_line};

/// What bubblewrap tells of itself on its status pipe, one JSON object a line.
pub(super) struct Status {
    text: Vec<u8>,
    from: pipe::Receiver,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct StatusLine {
    child_pid: Option<i32>,
    exit_code: Option<i32>,
}

impl Status {
    pub(super) fn new(from: pipe::Receiver) -> Self {
        Self { text: Vec::new(), from }
    }

    /// Waits for the first line, which names the sandbox's init.
    pub(super) async fn read_child(&mut self) {
        let first_line = async { while !self.text.contains(&b'\n') && self.more().await {} };
        drop(timeout(STATUS_WAIT_MAX, first_line).await);
    }

    async fn more(&mut self) -> bool {
        let mut bytes = [0; 512];
        match self.from.read(&mut bytes).await {
            Ok(count @ 1..) => {
                self.text.extend_from_slice(bytes.get(..count).unwrap_or_default());
                self.text.len() < STATUS_BYTES_MAX
            }
            Ok(0) | Err(_) => false,
        }
    }

    fn lines(&self) -> impl Iterator<Item = StatusLine> {
        self.text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
    }

    pub(super) fn init(&self) -> Option<Pid> {
        self.lines().find_map(|line| Pid::from_raw(line.child_pid?))
    }

    /// The agent's exit code, once bubblewrap has ended; `None`: the agent never ran.
    async fn exit_code(&mut self) -> Option<i32> {
        let rest = async { while self.more().await {} };
        drop(timeout(STATUS_WAIT_MAX, rest).await);
        self.lines().find_map(|line| line.exit_code)
    }
}

pub(super) enum Ended {
    Ran(String),
    /// bubblewrap could not build the sandbox.
    NeverRan(String),
}

pub(super) async fn ended(
    exit: ExitStatus,
    status: &mut Status,
    folder: &Folder,
    asked: bool,
) -> Ended {
    match status.exit_code().await {
        Some(code) => Ended::Ran(format!("The agent ended with exit code {code}")),
        None if asked => Ended::Ran("Stopped".to_owned()),
        None if exit.code().is_some_and(|code| code != 0) => {
            let last = last_line(&folder.log()).unwrap_or_else(|| "no message".to_owned());
            Ended::NeverRan(format!("bubblewrap could not build the sandbox: {last}"))
        }
        None => Ended::Ran(format!("The sandbox ended: {exit}")),
    }
}

/// bubblewrap writes its first line right after its first fork.
const STATUS_WAIT_MAX: Duration = Duration::from_secs(5);
const STATUS_BYTES_MAX: usize = 8 * 1024;

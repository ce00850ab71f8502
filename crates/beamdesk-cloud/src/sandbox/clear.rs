//! Making sure that nothing of a desktop lives on.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitOptions, wait};
use tokio::time::{Instant, sleep};

use super::{cgroup, process::Process, walls::MARK};

/// Kills whatever is in these groups or bears this mark, and removes the groups. `Ok(false)`:
/// something will not die.
pub(super) async fn clear(groups: &[PathBuf], mark: &str) -> io::Result<bool> {
    let until = Instant::now() + CLEAR_WAIT_MAX;
    while !clear_once(groups, mark)? {
        if Instant::now() >= until {
            return Ok(false);
        }
        sleep(CLEAR_PAUSE).await;
    }
    Ok(true)
}

fn clear_once(groups: &[PathBuf], mark: &str) -> io::Result<bool> {
    let mut is_clear = true;
    for group in groups {
        is_clear &= cgroup::kill_all(group)? && cgroup::remove(group)?;
    }
    for (pid, found) in strays(mark)? {
        if found == mark {
            is_clear = false;
            kill_stray(pid, mark)?;
        }
    }
    Ok(is_clear)
}

/// bubblewrap processes whose mark begins so.
///
/// All of a sandbox dies with its supervisor but for one short moment: bubblewrap's inner process
/// is not yet tied to the outer one and waits for it for ever if that is killed just then. It is
/// known by its arguments, also where no control groups can be had.
pub(super) fn strays(prefix: &str) -> io::Result<Vec<(Pid, String)>> {
    let mut strays = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(raw) = entry?.file_name().to_string_lossy().parse::<i32>() else { continue };
        let Some(pid) = Pid::from_raw(raw) else { continue };
        if let Some(mark) = mark_of(pid).filter(|mark| mark.starts_with(prefix)) {
            strays.push((pid, mark));
        }
    }
    Ok(strays)
}

pub(super) fn kill_stray(pid: Pid, mark: &str) -> io::Result<()> {
    match Process::hold(pid, || Ok(mark_of(pid).as_deref() == Some(mark)))? {
        Some(stray) => stray.signal(Signal::KILL),
        None => Ok(()),
    }
}

fn mark_of(pid: Pid) -> Option<String> {
    let process = Path::new("/proc").join(pid.as_raw_nonzero().to_string());
    // Reading the arguments may wait for the process's memory; its name never does. So a process
    // that is short of memory or of CPU holds nobody up here.
    if fs::read(process.join("comm")).ok()? != BWRAP_COMM {
        return None;
    }
    let line = fs::read(process.join("cmdline")).ok()?;
    let words: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
    let found = words.windows(3).find(|words| words[..2] == [b"--setenv", MARK.as_bytes()])?;
    Some(String::from_utf8_lossy(found[2]).into_owned())
}

/// Waits for all that became our child when its parent died.
pub(super) async fn reap() {
    let until = Instant::now() + CLEAR_WAIT_MAX;
    while Instant::now() < until {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => sleep(CLEAR_PAUSE).await,
            // No child is left.
            Err(_) => return,
        }
    }
}

/// What the kernel calls a bubblewrap process.
const BWRAP_COMM: &[u8] = b"bwrap\n";
/// For killed processes to vanish from their group; large memory takes a while to free.
const CLEAR_WAIT_MAX: Duration = Duration::from_secs(5);
const CLEAR_PAUSE: Duration = Duration::from_millis(5);

//! One program of the session: started again when it dies, ended when the session ends.
#![expect(unsafe_code, reason = "a hook between fork and exec has no safe form")]

use std::{ffi::OsString, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group, set_parent_process_death_signal};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Pause before a program that died is started again; doubles each time.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A program that ran so long had a good start: the pause is short again.
const GOOD_RUN: Duration = Duration::from_secs(60);
/// Time to end after SIGTERM.
const END: Duration = Duration::from_secs(2);

/// Runs a program until `stop`, again and again.
pub(super) async fn keep(
    words: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    stop: CancellationToken,
) {
    let program = words.first().map(|word| word.display().to_string()).unwrap_or_default();
    let mut pause = PAUSE_FIRST;
    loop {
        let started = Instant::now();
        match command(&words, &environment).spawn() {
            Ok(mut child) => {
                tokio::select! {
                    () = stop.cancelled() => return end(child).await,
                    ended = child.wait() => {
                        let status = ended.map(|status| status.to_string()).unwrap_or_default();
                        warn!(program, status, "Program of the session ended, will start again");
                    }
                }
            }
            Err(error) => warn!(program, error = %error, "Program of the session did not start"),
        }
        if started.elapsed() >= GOOD_RUN {
            pause = PAUSE_FIRST;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Runs a program that ends by itself.
pub(super) async fn once(
    words: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    stop: CancellationToken,
) {
    let Ok(mut child) = command(&words, &environment).spawn() else { return };
    tokio::select! {
        () = stop.cancelled() => end(child).await,
        _ = child.wait() => {}
    }
}

/// A command in a group of its own, with nothing to read, that dies with the agent.
pub(super) fn command(words: &[OsString], environment: &[(&'static str, OsString)]) -> Command {
    let (program, arguments) = words.split_first().expect("a command has a program");
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(home) = std::env::home_dir().filter(|home| home.is_dir()) {
        command.current_dir(home);
    }
    let dies_with_us = || Ok(set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: prctl is async-signal-safe, and the hook allocates nothing and takes no lock.
    unsafe { command.pre_exec(dies_with_us) };
    command
}

/// Ends a program and all of its group.
pub(super) async fn end(mut child: Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let signal = |signal| {
        // An error means that nobody is left in the group.
        group.is_some_and(|group| kill_process_group(group, signal).is_ok())
    };
    signal(Signal::TERM);
    if timeout(END, child.wait()).await.is_err() {
        signal(Signal::KILL);
        if let Err(error) = child.wait().await {
            warn!(error = %error, "Program of the session could not be ended");
        }
    }
}

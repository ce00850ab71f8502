//! The supervisor: one process per running desktop, which outlives the portal and dies with the
//! desktop.
//!
//! ```text
//! read spec -> take lock -> still ordered? -> listen -> group -> bubblewrap -> tell driver
//!                                                                    |
//!   SIGTERM -> SIGTERM to the agent, 5 s, SIGKILL ------------.      v
//!   agent ends ----------------------------------------------- > clear group -> state off
//! ```
//! It runs in the host's namespaces but holds no lock, child or mount that its death would leave
//! behind: the lock is the kernel's, bubblewrap dies with its parent, mounts with their namespace.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener},
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
    process::{ExitCode, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep, timeout_at},
};

use super::{
    cgroup,
    clear::{clear, reap},
    fail_point::fail_point,
    folder::{Folder, Lock, ServerFile, ServerState, Wanted},
    launch::{self, Launch, Stage},
    log::Log,
    process::{Process, agent_of, is_child_of},
    spec::{AGENT_CONFIG_BYTES_MAX, Answer, HostSpec, SPEC_BYTES_MAX},
    status::{Ended, Status, ended},
    walls::{self, Walls},
};

/// Body of the hidden subcommand `sandbox-host`. Call it from `main`, on the main thread, before
/// any async runtime is started: it makes its own, and bubblewrap's life is tied to this thread.
pub fn supervise() -> ExitCode {
    match prepare() {
        Ok((spec, runtime)) => runtime.block_on(host(&spec)),
        Err(error) => {
            answer(&Answer::Failed(format!("cannot read what to run: {error}")));
            ExitCode::FAILURE
        }
    }
}

fn prepare() -> io::Result<(HostSpec, tokio::runtime::Runtime)> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(SPEC_BYTES_MAX).read_to_end(&mut bytes)?;
    let spec = serde_json::from_slice(&bytes)?;
    // Nothing of the place where Beamdesk was started is held on to.
    rustix::process::chdir("/")?;
    // bubblewrap leaves its inner process to whoever reaps: not every container's first process does.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok((spec, runtime))
}

async fn host(spec: &HostSpec) -> ExitCode {
    let folder = Folder { path: spec.folder.clone() };
    let lock = match lock(&folder, spec).await {
        Ok(lock) => lock,
        Err(reply) => {
            answer(&reply);
            return ExitCode::FAILURE;
        }
    };
    let ended = run(&folder, spec, &lock).await;
    let (state, text) = match ended {
        Ok(Ended::Ran(text)) => (ServerState::Off, text),
        Ok(Ended::NeverRan(text)) => (ServerState::Broken, text),
        Err(error) => {
            answer(&failure(&error));
            (ServerState::Off, error.to_string())
        }
    };
    if let Ok(mut log) = Log::open(&folder.log()) {
        log.line(&text);
    }
    clear_desktop(spec).await;
    reap().await;
    fail_point("host-cleared");
    let file = server_file(spec, state, Some(text));
    // The folder may be gone, or the disk full: the lock says off anyway.
    drop(folder.set_server(&file));
    ExitCode::SUCCESS
}

/// Takes the lock, then looks whether what we shall do is still wanted: in this order, so that
/// whoever changes the order first and looks for the lock second cannot miss us.
async fn lock(folder: &Folder, spec: &HostSpec) -> Result<Lock, Answer> {
    let until = Instant::now() + LOCK_WAIT_MAX;
    let lock = loop {
        match folder.try_lock() {
            Ok(Some(lock)) => break lock,
            Ok(None) if Instant::now() >= until => return Err(Answer::Busy),
            Ok(None) => {
                // The one who has it may be there to stay, on a later order than ours.
                check_order(folder, spec)?;
                sleep(LOCK_PAUSE).await;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Answer::Superseded);
            }
            Err(error) => return Err(failure(&error)),
        }
    };
    fail_point("host-locked");
    check_order(folder, spec)?;
    Ok(lock)
}

/// Whether our order still stands.
fn check_order(folder: &Folder, spec: &HostSpec) -> Result<(), Answer> {
    match folder.order() {
        Ok(Some(order)) if order.nonce == spec.nonce && order.wanted == Wanted::On => Ok(()),
        Ok(_) => Err(Answer::Superseded),
        Err(error) => Err(failure(&error)),
    }
}

async fn run(folder: &Folder, spec: &HostSpec, _held: &Lock) -> io::Result<Ended> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut log = Log::open(&folder.log())?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?.to_string();
    clear_desktop(spec).await;
    for group in &spec.groups {
        group.make()?;
    }
    fail_point("host-grouped");
    let (mut child, mut status, mut output) = start(folder, spec, listener.into()).await?;
    fail_point("host-started");
    folder.set_server(&server_file(spec, ServerState::On { address }, None))?;
    fail_point("host-recorded");
    answer(&Answer::Started);

    let mut buffer = vec![0; LOG_CHUNK_BYTES];
    let mut stopping: Option<Instant> = None;
    let mut talks = true;
    let exit = loop {
        let deadline = stopping.unwrap_or_else(|| Instant::now() + FAR_AWAY);
        tokio::select! {
            exit = child.wait() => break exit?,
            _ = terminate.recv() => stopping = stopping.or_else(|| begin_stop(&status)),
            _ = interrupt.recv() => stopping = stopping.or_else(|| begin_stop(&status)),
            () = tokio::time::sleep_until(deadline) => {
                log.line("The desktop did not end in time, killing it");
                child.start_kill()?;
                stopping = Some(Instant::now() + FAR_AWAY);
            }
            read = output.read(&mut buffer), if talks => match read {
                // Each chunk costs a pause, so that a flood of text costs little CPU.
                Ok(bytes @ 1..) => {
                    log.write(buffer.get(..bytes).unwrap_or_default());
                    sleep(LOG_PAUSE).await;
                }
                Ok(0) | Err(_) => talks = false,
            },
        }
    };
    drain(&mut output, &mut buffer, &mut log).await;
    Ok(ended(exit, &mut status, folder, stopping.is_some()).await)
}

/// Starts bubblewrap and gives the agent its configuration.
async fn start(
    folder: &Folder,
    spec: &HostSpec,
    listener: OwnedFd,
) -> io::Result<(Child, Status, pipe::Receiver)> {
    let config = serde_json::to_vec(&spec.agent)?;
    if config.len() > AGENT_CONFIG_BYTES_MAX {
        return Err(io::Error::other("the agent's configuration is too large"));
    }
    let hostname = walls::hostname(&spec.agent.session.name);
    walls::write_etc(&folder.etc(), &hostname)?;
    let (status_read, status_write) = io::pipe()?;
    let status_write = launch::move_up(status_write.into())?;
    let walls = Walls {
        home: &spec.home,
        etc: &folder.etc(),
        agent: Some(&spec.agent_exe),
        encoder: spec.encoder_exe.as_deref(),
        read_only: &spec.read_only,
        hostname: &hostname,
        mark: &spec.mark,
        tmp_bytes: spec.tmp_bytes,
        devices: &spec.devices,
        cards: &spec.cards,
        status: Some(status_write.as_raw_fd()),
    };
    let mut stage = Stage::new(spec.uid.is_some());
    let arguments = walls::arguments(&walls, &mut stage)?;
    let doors = spec.groups.iter().map(cgroup::Group::door).collect::<io::Result<_>>()?;
    let launch = Launch {
        uid: spec.uid,
        groups: spec.devices.groups.clone(),
        doors,
        stage,
        listener: Some(listener),
        status: Some(status_write),
    };
    let (output_read, output_write) = io::pipe()?;
    let mut command = launch::command(&spec.bwrap_exe, launch)?;
    command.args(arguments).args(["--", walls::AGENT]);
    command.env_clear().stdin(Stdio::piped());
    command.stdout(output_write.try_clone()?).stderr(output_write);
    let mut child = spawn(command)?;
    let mut stdin = child.stdin.take().expect("it is piped");
    // It fits the pipe's buffer, so this cannot wait for the agent. If bubblewrap has ended
    // already, its exit tells more than a broken pipe.
    drop(tokio::io::AsyncWriteExt::write_all(&mut stdin, &config).await);
    drop(stdin);
    let mut status = Status::new(receiver(status_read)?);
    status.read_child().await;
    Ok((child, status, receiver(output_read)?))
}

/// Drops the command at once: it holds our copies of the listener and of the pipes' ends.
fn spawn(mut command: Command) -> io::Result<Child> {
    command.spawn()
}

fn receiver(pipe: io::PipeReader) -> io::Result<pipe::Receiver> {
    pipe::Receiver::from_owned_fd(pipe.into())
}

/// Asks the agent to end its session; gives the moment when patience ends.
fn begin_stop(status: &Status) -> Option<Instant> {
    let now = Instant::now();
    let asked = status.init().map(|init| {
        let agent = agent_of(init)?.map(|pid| Process::hold(pid, || Ok(is_child_of(pid, init))));
        match agent.transpose()?.flatten() {
            Some(agent) => agent.signal(Signal::TERM).map(|()| true),
            None => Ok(false),
        }
    });
    match asked {
        Some(Ok(true)) => Some(now + STOP_WAIT_MAX),
        // Nobody to ask: end it now.
        Some(Ok(false)) | None => Some(now),
        Some(Err::<bool, io::Error>(_)) => Some(now),
    }
}

/// What the dying said last.
async fn drain(output: &mut pipe::Receiver, buffer: &mut [u8], log: &mut Log) {
    let until = Instant::now() + DRAIN_WAIT_MAX;
    for _ in 0..DRAIN_CHUNKS_MAX {
        match timeout_at(until, output.read(buffer)).await {
            Ok(Ok(bytes @ 1..)) => log.write(buffer.get(..bytes).unwrap_or_default()),
            Ok(Ok(0) | Err(_)) | Err(_) => return,
        }
    }
}

/// Kills whatever is left of the desktop, and removes its groups.
async fn clear_desktop(spec: &HostSpec) {
    let groups: Vec<PathBuf> = spec.groups.iter().map(|group| group.path.clone()).collect();
    drop(clear(&groups, &spec.mark).await);
}

fn server_file(spec: &HostSpec, state: ServerState, ended: Option<String>) -> ServerFile {
    ServerFile {
        nonce: spec.nonce.clone(),
        generation: spec.agent.generation,
        state,
        supervisor_pid: rustix::process::getpid().as_raw_nonzero().get(),
        ended,
    }
}

fn failure(error: &io::Error) -> Answer {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Answer::DiskFull,
        _ => Answer::Failed(error.to_string()),
    }
}

/// Tells the driver, if it still lives; if it does not, nobody needs to know.
fn answer(answer: &Answer) {
    let Ok(mut line) = serde_json::to_vec(answer) else { return };
    line.push(b'\n');
    let mut out = io::stdout().lock();
    drop(out.write_all(&line).and_then(|()| out.flush()));
}

/// For an orderly end of the session; the portal and `shutdown` wait a little longer than this.
const STOP_WAIT_MAX: Duration = Duration::from_secs(5);
/// For the server of an earlier order to end.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(12);
const LOCK_PAUSE: Duration = Duration::from_millis(10);
const LOG_CHUNK_BYTES: usize = 16 * 1024;
/// With a full chunk each time: about 300 KiB/s of log at most.
const LOG_PAUSE: Duration = Duration::from_millis(50);
const DRAIN_WAIT_MAX: Duration = Duration::from_millis(200);
const DRAIN_CHUNKS_MAX: usize = 8;
/// No deadline.
const FAR_AWAY: Duration = Duration::from_secs(365 * 24 * 3600);

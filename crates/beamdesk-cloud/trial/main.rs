//! The sandbox driver alone, for its tests: supervisor, stand-in agent, and a driver to be killed.
//!
//! - `sandbox-host`: the supervisor.
//! - in a sandbox (`LISTEN_FDS` is set): a stand-in agent, which runs each line it is sent as a
//!   shell command and sends back what that says.
//! - else: reads one request as JSON from standard input, does it, and prints what is there then.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::PathBuf,
    process::{Command, ExitCode},
};

use beamdesk_cloud::{
    CloudError, Compute, Power, ServerId, ServerSpec,
    sandbox::{Sandbox, SandboxConfig, supervise},
};
use beamdesk_types::AgentConfig;
use serde::Deserialize;

/// What to do, and where.
#[derive(Debug, Deserialize)]
struct Request {
    data_dir: PathBuf,
    /// A real agent, instead of the stand-in.
    agent_exe: Option<PathBuf>,
    todo: Vec<Todo>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Todo {
    Create(ServerSpec),
    On(ServerSpec),
    Off(ServerId),
    Delete(ServerId),
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("sandbox-host") {
        return supervise();
    }
    let done = match std::env::var_os("LISTEN_FDS") {
        Some(_) => stand_in_agent().map_err(Into::into),
        None => drive(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(writeln!(io::stderr(), "{error}"));
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn drive() -> Result<(), Box<dyn std::error::Error>> {
    let request: Request = serde_json::from_reader(io::stdin().lock().take(REQUEST_BYTES_MAX))?;
    let own = std::env::current_exe()?;
    let agent = request.agent_exe.unwrap_or_else(|| own.clone());
    let config = SandboxConfig::new(request.data_dir, own, agent);
    let sandbox = Sandbox::open(config).await?;
    for todo in &request.todo {
        act(&sandbox, todo).await?;
    }
    Ok(())
}

async fn act(sandbox: &Sandbox, todo: &Todo) -> Result<(), CloudError> {
    match todo {
        Todo::Create(spec) => sandbox.create(spec).await.map(drop),
        Todo::On(spec) => sandbox.power(&ServerId(spec.desktop.to_string()), Power::On(spec)).await,
        Todo::Off(id) => sandbox.power(id, Power::Off).await,
        Todo::Delete(id) => sandbox.delete(id).await,
    }
}

fn stand_in_agent() -> io::Result<()> {
    let config: AgentConfig = serde_json::from_reader(io::stdin().lock())?;
    writeln!(io::stdout(), "stand-in agent of {}", config.desktop)?;
    let listener = inherited_listener()?;
    for connection in listener.incoming() {
        let mut connection = connection?;
        let mut line = String::new();
        BufReader::new(&connection).take(REQUEST_BYTES_MAX).read_line(&mut line)?;
        let output = Command::new("bash").args(["-c", &line]).output()?;
        connection.write_all(&output.stdout)?;
        connection.write_all(&output.stderr)?;
        write!(connection, "exit {}", output.status.code().unwrap_or(-1))?;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "a descriptor that a parent hands down is known by number only")]
fn inherited_listener() -> io::Result<TcpListener> {
    use std::os::fd::{FromRawFd, OwnedFd};
    // SAFETY: the driver promises a listener as descriptor 3, and nothing else here uses it.
    let listener = unsafe { OwnedFd::from_raw_fd(3) };
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::CLOEXEC)?;
    Ok(listener.into())
}

const REQUEST_BYTES_MAX: u64 = 1024 * 1024;

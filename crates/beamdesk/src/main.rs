//! The server binary: one subcommand per role.

mod clock;
mod cloud;
mod config;
mod data;
mod gateway;
mod keys;
mod monitor;
mod portal;
mod sched;
mod sizes;
mod up;
mod user;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// Desktops for light sources, in a browser tab.
#[derive(Parser)]
#[command(name = "beamdesk", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the whole system in one process, with desktops on this machine.
    Up(up::Options),
    /// Runs one portal of several, as its configuration file says.
    Portal(portal::Options),
    /// Runs one gateway, as its configuration file says.
    Gateway(gateway::Options),
    /// Makes what portals and gateways of one installation know each other by.
    Keys(keys::Arguments),
    /// Watches this node's cards, CPU, memory and disk, and tells the portal.
    Monitor(monitor::Options),
    /// Lists accounts, or sets a forgotten password.
    User(user::Arguments),
    /// Simulates placement over traces, or exports this system's past as one.
    Sched(sched::Arguments),
    /// Prints the OpenAPI document of the portal.
    Openapi,
    /// Holds one desktop of the sandbox driver; started by `up`, not by people.
    #[command(hide = true)]
    SandboxHost,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Up(options) => {
            log_to_stderr();
            up::up(&options)
        }
        Command::Portal(options) => {
            log_to_stderr();
            portal::portal(&options)
        }
        Command::Gateway(options) => {
            log_to_stderr();
            gateway::gateway(&options)
        }
        Command::Keys(arguments) => keys::keys(&arguments),
        Command::Monitor(options) => {
            log_to_stderr();
            monitor::monitor(&options)
        }
        Command::User(arguments) => user::user(&arguments),
        Command::Sched(arguments) => sched::sched(&arguments),
        Command::Openapi => print(&beamdesk_portal::openapi()),
        Command::SandboxHost => return beamdesk_cloud::sandbox::supervise(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// `RUST_LOG` chooses what is logged; without it, what an administrator wants to know.
fn log_to_stderr() {
    let filter =
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

#[expect(clippy::print_stdout, reason = "the output of the command")]
#[expect(clippy::unnecessary_wraps, reason = "one shape for all commands")]
fn print(text: &str) -> anyhow::Result<()> {
    println!("{}", text.trim_end());
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the last word of the command")]
fn complain(error: &anyhow::Error) {
    eprintln!("beamdesk: {error:#}");
}

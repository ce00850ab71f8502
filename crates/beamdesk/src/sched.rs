//! `beamdesk sched`: the scheduler at a desk, over traces instead of real hosts.

mod export;
mod figures;
mod plot;
mod simulate;

use clap::{Args, Subcommand};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Replays a trace with one or more policies and compares them.
    Simulate(simulate::Options),
    /// Writes this system's own hosts and past desktops as a trace, for `simulate`.
    Export(export::Options),
}

pub(crate) fn sched(arguments: &Arguments) -> anyhow::Result<()> {
    match &arguments.command {
        Command::Simulate(options) => simulate::simulate(options),
        Command::Export(options) => export::export(options),
    }
}

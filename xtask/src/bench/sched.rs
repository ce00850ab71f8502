//! How fast placements are decided. How good they are tells `beamdesk sched simulate`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::run::cargo;

#[derive(Args)]
pub(super) struct Arguments {
    /// Writes the figures here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(super) fn bench(arguments: &Arguments) -> Result<()> {
    let mut step = cargo()
        .args(["run", "--release", "--quiet", "--package", "beamdesk-sched"])
        .args(["--example", "speed", "--"]);
    if let Some(file) = &arguments.json {
        step = step.args(["--json"]).args([std::path::absolute(file)?]);
    }
    step.run()
}

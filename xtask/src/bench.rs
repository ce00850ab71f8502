//! Benchmarks: each prints a table and, with `--json FILE`, one object per figure.

mod cloud;
mod sched;
mod stream;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::{
    checks, packages,
    run::{cargo, root},
    web,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Install missing packages without asking.
    #[arg(long, global = true)]
    yes: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Capture, change detection and encoding, without a network (needs Xvfb).
    Media {
        /// Writes the figures here, as JSON.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// A whole system and a browser: start, create to first exact frame, an idle desktop's cost.
    Desktop {
        /// Writes the figures here, as JSON.
        #[arg(long)]
        json: Option<PathBuf>,
    },
    /// The whole path, from what is drawn to what a browser shows, for us and for the peers.
    Stream(stream::Arguments),
    /// Decisions of the scheduler a second, on one thread.
    Sched(sched::Arguments),
    /// Desktops on the lab of `cargo xtask openstack up`: many at once, and portals that are killed.
    Cloud(cloud::Arguments),
    /// Draw to canvas and bytes sent, beside noVNC with TigerVNC in the same run.
    Glass {
        /// Folder of the `glass` latency probe.
        #[arg(long)]
        tool: PathBuf,
        /// Writes the figures here, as JSON.
        #[arg(long)]
        json: Option<PathBuf>,
    },
}

pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    // The lab has packages of its own, and no peers beside it.
    if !matches!(arguments.what, What::Cloud(_)) {
        packages::install(packages::For::Benchmarks, arguments.yes)?;
    }
    match &arguments.what {
        What::Media { json } => {
            let mut step = cargo()
                .args(["run", "--release", "--quiet", "--package", "beamdesk-media"])
                .args(["--example", "bench", "--"]);
            if let Some(file) = json {
                step = step.args(["--json"]).args([std::path::absolute(file)?]);
            }
            step.run()
        }
        What::Desktop { json } => in_browser("desktop", json.as_ref(), None),
        What::Stream(wanted) => stream::bench(wanted),
        What::Sched(wanted) => sched::bench(wanted),
        What::Cloud(wanted) => cloud::bench(wanted),
        What::Glass { tool, json } => in_browser("glass", json.as_ref(), Some(tool)),
    }
}

/// Runs one of the benchmarks that need a whole system, built for speed.
fn in_browser(name: &str, json: Option<&PathBuf>, tool: Option<&PathBuf>) -> Result<()> {
    build()?;
    let mut step =
        web::node(&["bench/run.mjs", name])?.env("BEAMDESK_BIN", root().join("target/release"));
    if let Some(tool) = tool {
        step = step.args(["--tool"]).args([std::path::absolute(tool)?]);
    }
    if let Some(file) = json {
        step = step.args(["--json"]).args([std::path::absolute(file)?]);
    }
    step.run()
}

/// The whole system, built for speed.
fn build() -> Result<()> {
    web::build()?;
    cargo()
        .args(["build", "--release", "--package", "beamdesk", "--package", "beamdesk-agent"])
        .run()?;
    checks::x264("release")
}

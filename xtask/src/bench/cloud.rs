//! Desktops on the lab's real OpenStack: a scale run and a kill run. See the example it runs.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use crate::run::{Step, cargo, root};

#[derive(Args)]
pub(super) struct Arguments {
    /// Desktops that are asked for within a minute.
    #[arg(long, default_value_t = 500)]
    desktops: u32,
    /// Hosts that the lab should have; `cargo xtask openstack up --hosts N` makes them.
    #[arg(long, default_value_t = 250)]
    hosts: u32,
    /// Then kills portals so many times, with faults before every API.
    #[arg(long, default_value_t = 0)]
    kills: u32,
    /// So many portals at once; more than one need --database.
    #[arg(long, default_value_t = 1)]
    portals: u32,
    /// Address of a PostgreSQL, `postgres://…`
    #[arg(long)]
    database: Option<String>,
    /// Of kills and faults: the same seed does the same.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Of calls that go wrong in the kill run.
    #[arg(long, default_value = "0.2")]
    rate: String,
    /// Keeps the portals' logs and the list of faults.
    #[arg(long)]
    keep: bool,
    /// Writes the figures here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(super) fn bench(arguments: &Arguments) -> Result<()> {
    let lab = root().join("target/openstack/lab.json");
    if !lab.exists() {
        bail!("there is no lab: `cargo xtask openstack up --hosts {}` makes one", arguments.hosts);
    }
    // In one go: what dependencies are built with depends on all that is asked for at once.
    cargo()
        .args(["build", "--release", "--package", "beamdesk", "--package", "beamdesk-cloud"])
        .args(["--bin", "beamdesk", "--example", "fault_proxy", "--example", "cloud_bench"])
        .run()?;
    let release = root().join("target/release");
    let mut step = Step::new("target/release/examples/cloud_bench")
        .args(["--lab"])
        .args([lab])
        .args(["--beamdesk"])
        .args([release.join("beamdesk")])
        .args(["--proxy"])
        .args([release.join("examples/fault_proxy")])
        .args(["--desktops", &arguments.desktops.to_string()])
        .args(["--hosts", &arguments.hosts.to_string()])
        .args(["--kills", &arguments.kills.to_string()])
        .args(["--portals", &arguments.portals.to_string()])
        .args(["--seed", &arguments.seed.to_string(), "--rate", &arguments.rate]);
    if let Some(database) = &arguments.database {
        step = step.args(["--database", database]);
    }
    if arguments.keep {
        step = step.args(["--keep"]);
    }
    if let Some(file) = &arguments.json {
        step = step.args(["--json"]).args([std::path::absolute(file)?]);
    }
    step.run()
}

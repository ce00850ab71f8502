//! The project's own commands: `cargo xtask up | test | ci | tidy | gen | bench | dist | openstack | fuzz`.

mod bench;
mod checks;
mod dist;
mod generate;
mod openstack;
mod packages;
mod production;
mod run;
mod tidy;
mod web;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Builds, runs and checks Beamdesk.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Installs what is missing, builds, and runs the whole system on this machine.
    Up {
        /// Install missing packages without asking.
        #[arg(long)]
        yes: bool,
        /// Further arguments for `beamdesk up` (after `--`); `-- --help` lists them.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Installs what tests need, then runs every check and test, the browser's included.
    Test {
        /// Install missing packages without asking.
        #[arg(long)]
        yes: bool,
        /// Instead, brings a real OpenStack up and runs the tests that need one; see docs/lab.md.
        #[arg(long)]
        openstack: bool,
        /// With a host that boots a real guest, and the desktop on it in a browser.
        #[arg(long, requires = "openstack")]
        guest: bool,
        /// Instead, follows docs/production.md step by step on machines of its own (network namespaces),
        /// with the lab as the cloud.
        #[arg(long, conflicts_with = "openstack")]
        production: bool,
        /// With programs of the development profile, which are quicker to build.
        #[arg(long, requires = "production")]
        debug: bool,
        /// With the packages of the run before.
        #[arg(long, requires = "production")]
        no_build: bool,
        /// Lets the machines stand when a step fails, until Enter is pressed.
        #[arg(long, requires = "production")]
        keep: bool,
    },
    /// Every check and test; installs nothing.
    Ci,
    /// Architecture and housekeeping rules that compilers do not know.
    Tidy,
    /// Writes the generated files: OpenAPI document, TypeScript schema, protocol vectors.
    Gen {
        /// Only say whether they are up to date.
        #[arg(long)]
        check: bool,
    },
    /// End-to-end tests in Chromium against a whole system; needs a build.
    E2e {
        /// Only tests whose file name contains this.
        filter: Option<String>,
    },
    /// Benchmarks: prints a table; `--json FILE` writes one object per figure.
    Bench(bench::Arguments),
    /// Debian packages of everything, in target/dist; see docs/production.md.
    Dist(dist::Arguments),
    /// Carries connections from one address to another.
    #[command(hide = true)]
    Forward {
        listen: String,
        target: String,
        /// Listen in the network of that process.
        #[arg(long)]
        inside: Option<u32>,
    },
    /// A real OpenStack on this machine, for tests and trials; see docs/lab.md.
    Openstack(openstack::Arguments),
    /// Runs a fuzz target for some seconds (needs a C++ compiler).
    Fuzz {
        target: String,
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
}

fn main() -> Result<ExitCode> {
    match production::stand_in() {
        Some(code) => Ok(code),
        None => run(Arguments::parse().command).map(|()| ExitCode::SUCCESS),
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Up { yes, arguments } => {
            packages::install(packages::For::Running, yes)?;
            web::build()?;
            checks::up(&arguments)
        }
        Command::Test { yes, openstack: true, guest, .. } => {
            openstack::test(&openstack::Wanted { yes, hosts: None, guest })
        }
        Command::Test { yes, production: true, debug, no_build, keep, .. } => {
            production::test(production::Options { yes, debug, no_build, keep })
        }
        Command::Test { yes, .. } => {
            packages::install(packages::For::Testing, yes)?;
            checks::ci()
        }
        Command::Ci => checks::ci(),
        Command::Tidy => tidy::tidy(),
        Command::Gen { check } => generate::generate(check),
        Command::E2e { filter } => checks::e2e(filter.as_deref()),
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Dist(arguments) => dist::dist(&arguments).map(drop),
        Command::Forward { listen, target, inside } => {
            production::forward(&listen, &target, inside)
        }
        Command::Openstack(arguments) => openstack::openstack(&arguments),
        Command::Fuzz { target, seconds } => run::Step::new("sh")
            .args(["run.sh", &target, &format!("-max_total_time={seconds}")])
            .folder("fuzz")
            .run(),
    }
}

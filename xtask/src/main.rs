//! The project's own commands: `cargo xtask up | test | ci | tidy | gen | bench | fuzz`.

mod bench;
mod checks;
mod generate;
mod packages;
mod run;
mod tidy;
mod web;

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
    /// Runs a fuzz target for some seconds (needs a C++ compiler).
    Fuzz {
        target: String,
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Up { yes, arguments } => {
            packages::install(packages::For::Running, yes)?;
            web::build()?;
            checks::up(&arguments)
        }
        Command::Test { yes } => {
            packages::install(packages::For::Testing, yes)?;
            checks::ci()
        }
        Command::Ci => checks::ci(),
        Command::Tidy => tidy::tidy(),
        Command::Gen { check } => generate::generate(check),
        Command::E2e { filter } => checks::e2e(filter.as_deref()),
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Fuzz { target, seconds } => run::Step::new("sh")
            .args(["run.sh", &target, &format!("-max_total_time={seconds}")])
            .folder("fuzz")
            .run(),
    }
}

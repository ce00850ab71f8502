//! Running other programs, from the root of the repository.
#![expect(
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "says which command runs, and how long it took"
)]

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// What took longer says how long.
const WORTH_TELLING: Duration = Duration::from_secs(5);

/// One program to run; its failure ends the command with what was run.
pub(crate) struct Step {
    command: Command,
    shown: String,
}

impl Step {
    pub(crate) fn new(program: &str) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root());
        Self { command, shown: program.to_owned() }
    }

    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        for argument in arguments {
            self.shown.push(' ');
            self.shown.push_str(&argument.as_ref().to_string_lossy());
            self.command.arg(argument);
        }
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn folder(mut self, folder: &str) -> Self {
        self.command.current_dir(root().join(folder));
        self
    }

    /// Likewise, for a folder anywhere.
    pub(crate) fn at(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// As [`Self::run`], for what need not be shown.
    pub(crate) fn run_quietly(self) -> Result<()> {
        self.output().map(drop)
    }

    pub(crate) fn run(mut self) -> Result<()> {
        eprintln!("\x1b[1m> {}\x1b[0m", self.shown);
        let began = Instant::now();
        let status = self
            .command
            .status()
            .with_context(|| format!("could not start `{}`; is it installed?", self.shown))?;
        if !status.success() {
            bail!("`{}` failed ({status})", self.shown);
        }
        if began.elapsed() > WORTH_TELLING {
            eprintln!("\x1b[2m  took {} s\x1b[0m", began.elapsed().as_secs());
        }
        Ok(())
    }

    /// Runs quietly and gives the standard output.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self
            .command
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("could not start `{}`; is it installed?", self.shown))?;
        if !output.status.success() {
            bail!("`{}` failed ({})", self.shown, output.status);
        }
        String::from_utf8(output.stdout).context("output is not UTF-8")
    }

    /// For who wants to talk with it.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    /// Becomes that program, so that signals reach it alone. Returns only on failure.
    pub(crate) fn replace(mut self) -> Result<()> {
        use std::os::unix::process::CommandExt;
        Err(self.command.exec()).with_context(|| format!("could not start `{}`", self.shown))
    }

    /// The standard output of a success, without a word.
    pub(crate) fn output_quiet(mut self) -> Option<String> {
        let output = self.command.stderr(Stdio::null()).output().ok()?;
        if output.status.success() { String::from_utf8(output.stdout).ok() } else { None }
    }

    /// Whether it can be run and succeeds, without a word.
    pub(crate) fn succeeds(mut self) -> bool {
        self.command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    }
}

/// This cargo: the one that runs us.
pub(crate) fn cargo() -> Step {
    Step::new(&std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
}

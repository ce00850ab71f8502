//! Runs a program of the cloud to its end, in the environment that they all want.

use std::{
    fs::OpenOptions,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail};

use super::place::{self, MARK, Place};

/// The system's own Python first: the services are made for it.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Of what a program said, the end tells most.
const TAIL_LINES: usize = 15;

/// A command with nothing of the caller's environment but what is named here.
pub(super) fn command(place: &Place, words: &[&str]) -> Command {
    let (program, arguments) = words.split_first().unwrap_or((&"true", &[]));
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", place.state().join("home"))
        .env("LANG", "C.UTF-8")
        .env("PYTHONPATH", place::python())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env(MARK, place.state())
        .current_dir(place.state())
        .stdin(Stdio::null());
    command
}

/// Runs it; what it says goes to `log/setup.log`, and into the error if it fails.
pub(super) fn run(place: &Place, words: &[&str]) -> Result<String> {
    finish(place, words, command(place, words).output())
}

/// The same, with a text on its standard input.
pub(super) fn run_with_input(place: &Place, words: &[&str], input: &[u8]) -> Result<String> {
    let mut child = command(place, words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start `{}`", words.join(" ")))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input)?;
    }
    finish(place, words, child.wait_with_output())
}

/// Runs it for what it changes; that there was nothing to change is as good.
pub(super) fn attempt(words: &[&str]) {
    let (program, arguments) = words.split_first().unwrap_or((&"true", &[]));
    let status = Command::new(program)
        .args(arguments)
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    drop(status);
}

fn finish(place: &Place, words: &[&str], output: std::io::Result<Output>) -> Result<String> {
    let shown = words.join(" ");
    let output = output.with_context(|| format!("could not start `{shown}`"))?;
    let said = [output.stderr.as_slice(), &output.stdout].concat();
    let mut log = OpenOptions::new().create(true).append(true).open(place.log("setup"))?;
    writeln!(log, "\n> {shown}")?;
    log.write_all(&said)?;
    if !output.status.success() {
        bail!("`{shown}` failed ({}):\n{}", output.status, tail(&String::from_utf8_lossy(&said)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The last lines of a text.
pub(super) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n")
}

pub(super) fn tail_of(file: &Path) -> String {
    match std::fs::read(file) {
        Ok(bytes) => tail(&String::from_utf8_lossy(&bytes)),
        Err(error) => format!("({}: {error})", file.display()),
    }
}

/// The services are the system's, and so are bridges and network namespaces.
pub(super) fn must_be_root() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    bail!(
        "the lab runs the system's own OpenStack services, bridges and network namespaces: start it \
         as root, best on a machine or in a container that is there for trials"
    )
}

#[cfg(test)]
mod tests {
    use super::tail;

    #[test]
    fn an_error_shows_the_end_of_what_was_said() {
        let text: Vec<String> = (0..100).map(|line| line.to_string()).collect();
        let shown = tail(&text.join("\n"));
        assert!(shown.starts_with("85\n"), "{shown}");
        assert!(shown.ends_with("\n99"), "{shown}");
        assert_eq!(tail("one"), "one");
        assert_eq!(tail(""), "");
    }
}

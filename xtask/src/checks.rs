//! What `ci` is made of, and starting what was built.

use anyhow::Result;

use std::{ffi::OsStr, path::Path};

use crate::{
    generate,
    run::{Step, cargo, root},
    tidy, web,
};

/// Every check and test, cheapest first.
pub(crate) fn ci() -> Result<()> {
    cargo().args(["fmt", "--all", "--check"]).run()?;
    tidy::tidy()?;
    web::install()?;
    for script in ["check", "lint", "test", "build"] {
        web::npm(&["run", "--silent", script])?;
    }
    cargo()
        .args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])
        .run()?;
    cargo().args(["build", "--workspace", "--bins", "--quiet"]).run()?;
    x264("debug")?;
    generate::generate(true)?;
    if cargo().args(["nextest", "--version"]).succeeds() {
        cargo().args(["nextest", "run", "--workspace", "--profile", "ci"]).run()?;
    } else {
        cargo().args(["test", "--workspace", "--all-targets"]).run()?;
    }
    cargo().args(["test", "--workspace", "--doc", "--quiet"]).run()?;
    for folder in ["python", "integrations/nova"] {
        Step::new("python3")
            .args(["-m", "unittest", "discover", "--quiet", "-t", ".", "tests"])
            .folder(folder)
            .run()?;
    }
    e2e(None)
}

/// Builds the encoder of `contrib/x264`, a program of its own under another licence, where its
/// library is installed.
pub(crate) fn x264(profile: &str) -> Result<()> {
    if !Path::new("/usr/include/x264.h").exists() {
        return Ok(());
    }
    let program = format!("target/{profile}/beamdesk-x264");
    Step::new("cc")
        .args(["-O2", "-Wall", "-Werror", "-o", &program])
        .args(["contrib/x264/beamdesk-x264.c", "-lx264"])
        .run()
}

/// End-to-end tests in Chromium.
pub(crate) fn e2e(filter: Option<&str>) -> Result<()> {
    e2e_with(filter, &[])
}

/// The same with more in the environment.
pub(crate) fn e2e_with(filter: Option<&str>, environment: &[(&str, &OsStr)]) -> Result<()> {
    web::install()?;
    cargo().args(["build", "--workspace", "--bins", "--example", "scribble", "--quiet"]).run()?;
    x264("debug")?;
    let binaries = root().join("target/debug");
    let step = web::node(&["e2e/run.mjs"])?.args(filter).env("BEAMDESK_BIN", binaries);
    environment.iter().fold(step, |step, (name, value)| step.env(name, value)).run()
}

/// Builds for speed and runs `beamdesk up` in place of this process.
pub(crate) fn up(arguments: &[String]) -> Result<()> {
    cargo()
        .args(["build", "--release", "--package", "beamdesk", "--package", "beamdesk-agent"])
        .run()?;
    x264("release")?;
    Step::new("target/release/beamdesk").args(["up"]).args(arguments).replace()
}

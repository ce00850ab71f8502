//! What `ci` is made of, and starting what was built.

use anyhow::Result;

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
    generate::generate(true)?;
    if cargo().args(["nextest", "--version"]).succeeds() {
        cargo().args(["nextest", "run", "--workspace", "--profile", "ci"]).run()?;
    } else {
        cargo().args(["test", "--workspace", "--all-targets"]).run()?;
    }
    cargo().args(["test", "--workspace", "--doc", "--quiet"]).run()?;
    e2e(None)
}

/// End-to-end tests in Chromium.
pub(crate) fn e2e(filter: Option<&str>) -> Result<()> {
    web::install()?;
    cargo().args(["build", "--workspace", "--bins", "--example", "scribble", "--quiet"]).run()?;
    let binaries = root().join("target/debug");
    web::node(&["e2e/run.mjs"])?.args(filter).env("BEAMDESK_BIN", binaries).run()
}

/// Builds for speed and runs `beamdesk up` in place of this process.
pub(crate) fn up(arguments: &[String]) -> Result<()> {
    cargo()
        .args(["build", "--release", "--package", "beamdesk", "--package", "beamdesk-agent"])
        .run()?;
    Step::new("target/release/beamdesk").args(["up"]).args(arguments).replace()
}

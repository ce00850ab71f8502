//! Writes the trees of a host with three RTX A6000 to a folder, for `beamdesk monitor --root`:
//! `cargo run -p beamdesk-monitor --example fixture -- FOLDER`

#[path = "../tests/it/fixture.rs"]
#[expect(dead_code, reason = "tests make other machines with it too")]
mod fixture;

use std::{env, path::PathBuf};

use anyhow::{Context as _, Result, bail};

fn main() -> Result<()> {
    let folder = env::args_os().nth(1).map(PathBuf::from).context("usage: fixture FOLDER")?;
    if folder.exists() {
        bail!("{} is there already", folder.display());
    }
    fixture::three_a6000(&folder)?;
    Ok(())
}

//! Generated files: written from the code, checked in, and checked to be up to date.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::{
    run::{cargo, root},
    web,
};

const OPENAPI: &str = "web/openapi.json";
const SCHEMA: &str = "web/src/api/schema.ts";

/// Writes the protocol's golden vectors, the OpenAPI document and the TypeScript schema; with `check` only compares.
pub(crate) fn generate(check: bool) -> Result<()> {
    if !check {
        // With `check` the tests themselves compare them.
        cargo()
            .args(["test", "--quiet", "--package", "beamdesk-proto"])
            .env("BEAMDESK_BLESS", "1")
            .run()?;
    }
    let document =
        cargo().args(["run", "--quiet", "--package", "beamdesk", "--", "openapi"]).output()?;
    write(OPENAPI, &document, check)?;
    let before = fs::read_to_string(root().join(SCHEMA)).unwrap_or_default();
    web::install()?;
    web::npm(&["run", "--silent", "gen"])?;
    let after = fs::read_to_string(root().join(SCHEMA)).context(SCHEMA)?;
    if check && before != after {
        fs::write(root().join(SCHEMA), before)?;
        bail!("{SCHEMA} is not what the code gives; run `cargo xtask gen`");
    }
    Ok(())
}

fn write(path: &str, text: &str, check: bool) -> Result<()> {
    let file = root().join(path);
    if fs::read_to_string(&file).is_ok_and(|now| now == text) {
        return Ok(());
    }
    if check {
        bail!("{path} is not what the code gives; run `cargo xtask gen`");
    }
    fs::write(&file, text).with_context(|| path.to_owned())
}

//! `bench stream`: content of our own, real servers, a real browser, and a line of given rate, delay and loss between.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::{
    run::{cargo, root},
    web,
};

#[derive(Args)]
pub(crate) struct Arguments {
    /// Only figures of these names, `stream.CONTENT.SIZE.LINK.PRODUCT.MEASURE`, where `*` stands for anything; may be
    /// repeated. Contents: terminal, document, view3d, ct, idle. Sizes: 1080p, 2160p. Links: loopback, 100m20, 20m80,
    /// loss1, step. Products: beamdesk, novnc, xpra, selkies.
    #[arg(long)]
    only: Vec<String>,
    /// Only these products, with commas between.
    #[arg(long)]
    products: Option<String>,
    /// How long each is watched.
    #[arg(long, default_value_t = 8)]
    seconds: u32,
    /// Writes the figures here, as JSON, after each measurement; `FILE.profile.json` beside it says which threads the
    /// CPU time went to.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes tables and plots of the figures into this folder.
    #[arg(long)]
    report: Option<PathBuf>,
}

pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    super::build()?;
    cargo()
        .args(["build", "--release", "--package", "beamdesk-media"])
        .args(["--example", "movie", "--example", "line"])
        .run()?;
    let mut step = web::node(&["bench/stream.mjs", "--seconds"])?
        .args([arguments.seconds.to_string()])
        .env("BEAMDESK_BIN", root().join("target/release"));
    for name in &arguments.only {
        step = step.args(["--only", name]);
    }
    if let Some(products) = &arguments.products {
        step = step.args(["--products", products]);
    }
    for (option, path) in [("--json", &arguments.json), ("--report", &arguments.report)] {
        if let Some(path) = path {
            step = step.args([option]).args([std::path::absolute(path)?]);
        }
    }
    step.run()
}

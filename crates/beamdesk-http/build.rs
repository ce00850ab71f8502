//! Rebuilds the crate when the web pages were built anew, also when a file was added.

use std::path::Path;

const DIST: &str = "../../web/dist";

fn main() {
    let watched = if Path::new(DIST).exists() { DIST } else { "build.rs" };
    println!("cargo:rerun-if-changed={watched}");
}

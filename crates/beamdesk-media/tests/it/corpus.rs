//! Replays the corpora of the fuzz targets in `fuzz/`, so that what was once found stays found.

use std::{fs, path::Path};

#[path = "../../../../fuzz/checks/slice.rs"]
mod slice;
#[path = "../../../../fuzz/checks/tiles.rs"]
mod tiles;

#[test]
fn slices() {
    each("slice", slice::check);
}

#[test]
fn tiles_bodies() {
    each("tiles", tiles::check);
}

fn each(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        check(&fs::read(entry.unwrap().path()).unwrap());
        seen += 1;
    }
    assert!(seen > 0, "there is a corpus for {target}");
}

//! Replays the corpora of the fuzz targets in `fuzz/`, so that what was once found stays found.

use std::{fs, path::Path, time::Instant};

#[path = "../../../../fuzz/checks/ack.rs"]
mod ack;
#[path = "../../../../fuzz/checks/control.rs"]
mod control;
#[path = "../../../../fuzz/checks/framer.rs"]
mod framer;
#[path = "../../../../fuzz/checks/local.rs"]
mod local;
#[path = "../../../../fuzz/checks/session.rs"]
mod session;
#[path = "../../../../fuzz/checks/tiles_prefix.rs"]
mod tiles_prefix;
#[path = "../../../../fuzz/checks/video_head.rs"]
mod video_head;

#[test]
fn acks() {
    each("ack", ack::check);
}

#[test]
fn controls() {
    each("control", control::check);
}

#[test]
fn framers() {
    each("framer", framer::check);
}

#[test]
fn locals() {
    each("local", local::check);
}

#[test]
fn sessions() {
    let now = now();
    each("session", |bytes| session::check(bytes, now));
}

#[test]
fn tiles_prefixes() {
    each("tiles_prefix", tiles_prefix::check);
}

#[test]
fn video_heads() {
    each("video_head", video_head::check);
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

#[expect(clippy::disallowed_methods, reason = "some instant to count from")]
fn now() -> Instant {
    Instant::now()
}

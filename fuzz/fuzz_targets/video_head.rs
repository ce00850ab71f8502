//! Runs the check of the same name.
#![no_main]

#[path = "../checks/video_head.rs"]
mod video_head;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| video_head::check(bytes));

//! Runs the check of the same name.
#![no_main]

#[path = "../checks/tiles.rs"]
mod tiles;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tiles::check(bytes));

//! Runs the check of the same name.
#![no_main]

#[path = "../checks/tiles_prefix.rs"]
mod tiles_prefix;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tiles_prefix::check(bytes));

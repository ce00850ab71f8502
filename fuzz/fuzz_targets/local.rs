//! Runs the check of the same name.
#![no_main]

#[path = "../checks/local.rs"]
mod local;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| local::check(bytes));

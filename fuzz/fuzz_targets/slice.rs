//! Runs the check of the same name.
#![no_main]

#[path = "../checks/slice.rs"]
mod slice;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| slice::check(bytes));

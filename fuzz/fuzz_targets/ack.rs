//! Runs the check of the same name.
#![no_main]

#[path = "../checks/ack.rs"]
mod ack;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ack::check(bytes));

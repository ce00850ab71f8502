//! Runs the check of the same name.
#![no_main]

use std::{sync::LazyLock, time::Instant};

#[path = "../checks/session.rs"]
mod session;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| session::check(bytes, *START));

//! What the crate promises, through its public API.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod frames;
mod hostile;
mod roundtrip;
mod viewer;
mod x11;

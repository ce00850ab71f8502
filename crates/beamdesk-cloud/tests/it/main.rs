//! What the drivers promise, through the `Compute` trait.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bed;
mod crash;
mod isolation;
mod sandbox;
mod sim;
mod suite;

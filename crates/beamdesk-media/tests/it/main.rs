//! What the crate promises, through its public API.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod ahead;
mod corpus;
mod frames;
mod hostile;
mod plan;
mod roundtrip;
mod slice;
mod viewer;
mod x11;

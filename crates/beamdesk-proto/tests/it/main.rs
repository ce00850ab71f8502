//! What the stream's protocol promises.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::assertions_on_result_states,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod corpus;
mod line;
mod pacing;
mod picture;
mod session;
mod slices;
mod vectors;
mod wire;

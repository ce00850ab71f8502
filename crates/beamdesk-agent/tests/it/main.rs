//! What an agent promises to its viewers, its gateway and its portal.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking, as tests do"
)]

mod ahead;
mod desktop;
mod engine;
mod line;
mod local;
mod pki;
mod rig;
mod sec_agent;
mod video;
mod viewer;

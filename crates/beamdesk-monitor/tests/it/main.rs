//! What the monitor sees in trees of other machines and of this one, and how it talks to a portal that
//! the tests play.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what helps tests may fail like a test")]

mod fixture;
mod here;
mod hostile;
mod on_host;
mod play;
mod reports;
mod talk;
mod to_machines;

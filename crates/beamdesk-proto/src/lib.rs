//! The stream between desktop and browser: messages, framing, session state machines.

pub mod control;
pub mod wire;

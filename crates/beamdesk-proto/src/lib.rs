//! The stream between desktop and browser: messages, framing, session state machines.

pub mod control;
mod error;
mod flow;
mod frame;
pub mod local;
pub mod session;
pub mod wire;

pub use error::ProtocolError;
pub use flow::ViewerCost;
pub use frame::EncodedFrame;
pub use session::{AgentSession, Event, Input};

//! Inside a desktop: its session, its pictures and its viewers.
//!
//! ```text
//!  gateway ══TLS══ link ──commands──► engine (one thread) ──owns── FrameSource (X server)
//!          ══TLS══ link ◄─messages──                      ──owns── InputSink
//!  portal  ══TLS══ status             AgentSession + Encoder for each viewer
//!
//!  session: X server, window manager, panel, desktop; what dies is started again
//! ```

pub mod engine;
mod error;
pub mod identity;
pub mod link;
pub mod listener;
pub mod local;
mod seed;
pub mod server;
pub mod session;
pub mod tls;

pub use error::AgentError;

//! Browser to desktop relay: redeems tickets at the portal, dials agents, moves messages.
//!
//! ```text
//! browser ── POST /connect ──▶ redeem at the portal ──▶ cookie, 303 /d/{desktop}
//!         ── POST /d/…/attach ▶ resume at the portal ──▶ next cookie, nonce
//!         ══ WS /d/…/stream ══▶ nonce ──▶ TLS to the agent ══ messages both ways
//!                                          every 2 s: leases renewed, ended ones closed
//!         ── POST /play ─────▶ a recording's ticket ──▶ cookie, 303 /r/{recording}
//! ```

mod agent;
mod attaches;
mod config;
mod drain;
mod leases;
mod portal;
mod record;
mod refusal;
mod relay;
mod renewals;
mod routes;
mod run;
mod state;

pub use attaches::{Attaches, Pending};
pub use config::{GatewayConfig, GatewayError, Listener, Times};
pub use leases::{ConnectionId, Leases};
pub use record::Recordings;
pub use run::run;

//! What the gateway promises, against a portal and an agent played by the tests.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what helps tests may fail like a test")]

mod agent;
mod browser;
mod connect;
mod crowd;
mod dos_gw;
mod drain;
mod pki;
mod portal;
mod portals;
mod recording;
mod relay;
mod sec_agent;
mod sec_authz;
mod sec_csrf;
mod sec_headers;
mod sec_revoke;
mod sec_ws;
mod world;

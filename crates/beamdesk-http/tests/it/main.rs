//! What the edge promises, over real sockets.
#![expect(clippy::unwrap_used, reason = "what helps tests may fail like a test")]

mod bodies;
mod client;
mod proxied;
mod sec_csrf;
mod sec_headers;
mod sec_redirect;
mod server;

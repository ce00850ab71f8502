//! What the portal promises.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what helps tests may fail like a test")]

mod authz_matrix;
mod bad_input;
mod browser;
mod desktops;
mod language;
mod lifecycle;
mod lifecycle_cases;
mod openapi;
mod recordings;
mod sec_authz;
mod sec_cookie;
mod sec_csrf;
mod sec_headers;
mod sec_revoke;
mod system;

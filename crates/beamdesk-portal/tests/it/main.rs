//! What the portal promises.
#![expect(clippy::unwrap_used, clippy::panic, reason = "what helps tests may fail like a test")]

mod ask;
mod authz_matrix;
mod bad_input;
mod browser;
mod cloud;
mod desktops;
mod identities;
mod language;
mod lifecycle;
mod lifecycle_cases;
mod metrics;
mod nodes;
mod openapi;
mod placement;
mod portals;
mod recordings;
mod sec_authz;
mod sec_cookie;
mod sec_csrf;
mod sec_enrol;
mod sec_headers;
mod sec_revoke;
mod srm;
mod stations;
mod system;
mod terms;
mod whatif;

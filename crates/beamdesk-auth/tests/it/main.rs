//! What authentication promises.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests fail by panicking; one talks to its parent process"
)]

mod agents;
mod idp;
mod keystone;
mod leases;
mod login;
mod monitors;
mod pki;
mod resume;
mod sec_agent;
mod sec_oidc;
mod sec_session;
mod sec_store;
mod sec_ticket;
mod setup;
mod world;

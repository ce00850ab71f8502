//! The portal: HTTP API, application logic, reconciler, web pages.

mod api;
mod app;
mod config;
mod error;
mod run;
mod tasks;
mod web;

pub use api::openapi;
pub use app::{App, Parts};
pub use config::{Listener, Listeners, OriginPair, PortalConfig, PortalConfigError};
pub use error::PortalError;
pub use run::{RunError, run};
pub use tasks::{
    lifecycle,
    probe::{AgentProbe, ProbeError, TlsProbe},
};

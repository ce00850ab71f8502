//! The portal: HTTP API, application logic, reconciler, web pages.

mod api;
mod app;
mod ask;
mod config;
mod error;
mod run;
mod tasks;
mod web;

pub use api::openapi;
pub use app::{App, Parts, cluster, demand::Books, planning::Gathered};
pub use ask::{AskError, Asks};
pub use config::{GatewayPlace, Listener, Listeners, OriginPair, PortalConfig, PortalConfigError};
pub use error::PortalError;
pub use run::{RunError, run};
pub use tasks::{
    lifecycle,
    orphans::Orphans,
    probe::{AgentProbe, ProbeError, TlsProbe},
};

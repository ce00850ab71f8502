//! What can go wrong for good. Whatever may pass by itself is logged and tried again.

use std::{io, path::PathBuf};

use url::Url;

#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    #[error("{} cannot be used", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the table of cards {} is not understood", path.display())]
    Cards { path: PathBuf, source: Box<toml::de::Error> },
    #[error("the table of cards {} has {what}", path.display())]
    CardsContent { path: PathBuf, what: String },
    #[error("the portal's address must be https and have a host: {0}")]
    NotHttps(Url),
    #[error(
        "this monitor is not let in yet: make an enrolment on the portal's page of hosts, and start \
         it once with --secret-file"
    )]
    NoSecret,
    #[error("the enrolment secret is not one of this system: {0}")]
    Secret(&'static str),
    #[error("the portal refused the enrolment: {0}")]
    Refused(String),
    #[error("the identity {0}")]
    Identity(String),
    #[error("the client for the portal could not be made")]
    Client(#[source] reqwest::Error),
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

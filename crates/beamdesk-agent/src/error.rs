//! What can go wrong in an agent.

use std::{io, path::PathBuf};

use beamdesk_media::CaptureError;
use beamdesk_proto::ProtocolError;

#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    #[error("{} cannot be used", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the seed {} {what}", path.display())]
    Seed { path: PathBuf, what: String },
    #[error(
        "there is no seed {} and no identity in {}: this server was not made by a portal, or its seed \
         was used by another agent",
        seed.display(),
        state.display()
    )]
    NoSeed { seed: PathBuf, state: PathBuf },
    #[error("the identity {} is not understood: {what}", path.display())]
    Identity { path: PathBuf, what: String },
    #[error("a portal's address must be https and have a host: {0}")]
    Portal(String),
    #[error("the portal refused to enrol this agent: {0}")]
    Refused(String),
    #[error("the configuration on standard input is not valid")]
    Config(#[source] serde_json::Error),
    #[error("the configuration on standard input is longer than {0} bytes")]
    ConfigTooLong(usize),
    #[error("the certificate, key or authority in the configuration is not usable: {0}")]
    Tls(String),
    #[error("file descriptor 3 is not a listening socket")]
    NotListening,
    #[error("cannot start {program}")]
    Start { program: String, source: io::Error },
    #[error("the X server did not start: {0}")]
    XServer(String),
    #[error("the X server ended")]
    XServerGone,
    #[error("the picture cannot be captured")]
    Capture(#[from] CaptureError),
    #[error("{what}")]
    System { what: &'static str, source: io::Error },
    #[error("the viewer broke the protocol")]
    Protocol(#[from] ProtocolError),
    #[error("the viewer took longer than allowed: {0}")]
    Slow(&'static str),
    #[error("there are {0} viewers already")]
    TooManyViewers(usize),
    #[error("a client came that is neither a gateway nor a portal")]
    Stranger,
    #[error("the connection ended")]
    Connection(#[source] io::Error),
}

impl AgentError {
    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

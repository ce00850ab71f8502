//! Asks the portal: tickets, resume handles, leases. Whatever is not a plain yes opens nothing.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use beamdesk_types::{
    Grant, LeaseAnswer, PlayAllowed, PlayCheck, PlayGrant, PlayRequest, RecordingAnswer,
    RecordingBegin, RecordingBegun, RecordingSync, RedeemRequest, Refusal, RenewRequest,
    ResumeRequest,
};
use reqwest::{
    Client, Response, StatusCode,
    header::{HeaderMap, RETRY_AFTER},
};
use serde::{Serialize, de::DeserializeOwned};
use tracing::warn;
use url::Url;

use crate::config::{GatewayConfig, GatewayError};

/// A grant is under 1 KiB; an answer that ends all streams of a full gateway under 100 KiB.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// Shorter than the portal keeps an idle connection, so that no ticket is sent into a closing one.
const POOL_IDLE: Duration = Duration::from_secs(3);

/// Reaching a portal of the same site, handshake included. One that is stopped costs no more than
/// this before the next is asked.
const CONNECT: Duration = Duration::from_millis(700);

/// When the portal says that there were too many tries, but not how long to wait.
const TOO_MANY_WAIT: Duration = Duration::from_secs(10);

/// The portal counts by the minute.
const TOO_MANY_WAIT_MAX: Duration = Duration::from_secs(60);

/// Why the portal opened nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PortalError {
    #[error("the portal refused")]
    Refused,
    #[error("the portal says too many tries")]
    TooMany { retry_after: Duration },
    #[error("the portal was silent until it was too late")]
    Silent,
    #[error("the portal cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    #[error("the portal answered {0}")]
    Status(StatusCode),
    #[error("the portal's answer is not understood")]
    Garbage(#[source] serde_json::Error),
    #[error("the portal's answer is too long")]
    TooLong,
}

#[derive(Debug, Clone)]
pub(crate) struct Portal {
    /// One for each address of a portal, with what its addresses begin with.
    clients: Arc<[(Client, Url)]>,
    /// Which of them answered last.
    favourite: Arc<AtomicUsize>,
}

/// Whether a question may be asked again that may have been answered already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    Yes,
    /// It burns something.
    No,
}

impl Portal {
    pub(crate) fn new(config: &GatewayConfig) -> Result<Self, GatewayError> {
        let mut base = config.portal_url.clone();
        if base.scheme() != "https" {
            return Err(GatewayError::NotHttps(base));
        }
        base.set_path("/internal/v1/");
        let client = |address: Option<SocketAddr>| {
            let mut client = Client::builder()
                .tls_backend_preconfigured((*config.tls).clone())
                .https_only(true)
                .http1_only()
                .no_proxy()
                .pool_idle_timeout(POOL_IDLE)
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT)
                .timeout(config.times.portal);
            let mut base = base.clone();
            if let Some(address) = address {
                let host = base.host_str().unwrap_or_default().to_owned();
                client = client.resolve(&host, address);
                // Only names are looked up there: the port is the URL's.
                let _ = base.set_port(Some(address.port()));
            }
            Ok((client.build().map_err(GatewayError::Client)?, base))
        };
        let clients: Vec<(Client, Url)> = if config.portal_addresses.is_empty() {
            vec![client(None)?]
        } else {
            let addresses = config.portal_addresses.iter();
            addresses.map(|address| client(Some(*address))).collect::<Result<_, _>>()?
        };
        Ok(Self { clients: clients.into(), favourite: Arc::default() })
    }

    pub(crate) async fn redeem(&self, request: &RedeemRequest) -> Result<Grant, PortalError> {
        self.ask("tickets/redeem", request, Again::No).await
    }

    pub(crate) async fn resume(&self, request: &ResumeRequest) -> Result<Grant, PortalError> {
        self.ask("streams/resume", request, Again::Yes).await
    }

    pub(crate) async fn renew(&self, request: &RenewRequest) -> Result<LeaseAnswer, PortalError> {
        self.ask("leases/renew", request, Again::Yes).await
    }

    pub(crate) async fn begin_recording(
        &self,
        request: &RecordingBegin,
    ) -> Result<RecordingBegun, PortalError> {
        self.ask("recordings/begin", request, Again::No).await
    }

    pub(crate) async fn sync_recordings(
        &self,
        request: &RecordingSync,
    ) -> Result<RecordingAnswer, PortalError> {
        self.ask("recordings/sync", request, Again::Yes).await
    }

    pub(crate) async fn redeem_play(
        &self,
        request: &PlayRequest,
    ) -> Result<PlayGrant, PortalError> {
        self.ask("recordings/redeem", request, Again::No).await
    }

    pub(crate) async fn may_play(&self, request: &PlayCheck) -> Result<PlayAllowed, PortalError> {
        self.ask("recordings/allowed", request, Again::Yes).await
    }

    /// Asks the portal that answered last, then the others.
    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
        again: Again,
    ) -> Result<A, PortalError> {
        let count = self.clients.len();
        let first = self.favourite.load(Ordering::Relaxed);
        let mut tried = 0;
        loop {
            let at = (first + tried) % count;
            let (client, base) = self.clients.get(at).expect("less than there are");
            let address = base.join(path).expect("a fixed path joins a checked base");
            let outcome = ask(client, address, question).await;
            let Err(error) = &outcome else {
                self.favourite.store(at, Ordering::Relaxed);
                return outcome;
            };
            let (is_elsewhere, is_safe) = may_ask_another(error, again);
            if is_elsewhere {
                self.favourite.store((at + 1) % count, Ordering::Relaxed);
            }
            tried += 1;
            if !is_safe || tried == count {
                return outcome;
            }
        }
    }
}

/// Whether another portal may know better, and whether it may be asked the same at once.
fn may_ask_another(error: &PortalError, again: Again) -> (bool, bool) {
    match error {
        // It never got the question.
        PortalError::Unreachable(cause) if cause.is_connect() => (true, true),
        PortalError::Unreachable(_) | PortalError::Silent | PortalError::TooLong => {
            (true, again == Again::Yes)
        }
        PortalError::Status(status) => {
            let is_broken = status.is_server_error();
            (is_broken, is_broken && again == Again::Yes)
        }
        PortalError::Refused | PortalError::TooMany { .. } | PortalError::Garbage(_) => {
            (false, false)
        }
    }
}

async fn ask<Q: Serialize, A: DeserializeOwned>(
    client: &Client,
    address: Url,
    question: &Q,
) -> Result<A, PortalError> {
    let sent = client.post(address).json(question).send().await;
    let answer = sent.map_err(PortalError::Unreachable)?;
    let status = answer.status();
    let retry_after = retry_after(answer.headers());
    let body = bounded(answer).await?;
    match status {
        StatusCode::OK => serde_json::from_slice(&body).map_err(PortalError::Garbage),
        StatusCode::TOO_MANY_REQUESTS => Err(PortalError::TooMany { retry_after }),
        StatusCode::FORBIDDEN => match serde_json::from_slice(&body) {
            Ok(Refusal { refused: true }) => Err(PortalError::Refused),
            // Something else between us and the portal said no: the stream may still be good.
            Ok(Refusal { refused: false }) | Err(_) => Err(PortalError::Status(status)),
        },
        status => Err(PortalError::Status(status)),
    }
}

/// One line in the log, unless it is only the usual no.
pub(crate) fn note(error: &PortalError, what: &'static str) {
    match error {
        PortalError::Refused | PortalError::TooMany { .. } => {}
        PortalError::Silent
        | PortalError::Unreachable(_)
        | PortalError::Status(_)
        | PortalError::Garbage(_)
        | PortalError::TooLong => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            warn!(%error, cause, what, "The portal did not answer as it should");
        }
    }
}

/// The wait that an answer asks for, if sensible: a viewer must not be sent away for hours.
fn retry_after(headers: &HeaderMap) -> Duration {
    let said = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    said.map_or(TOO_MANY_WAIT, Duration::from_secs).min(TOO_MANY_WAIT_MAX)
}

async fn bounded(mut answer: Response) -> Result<Vec<u8>, PortalError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(PortalError::Unreachable)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(PortalError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

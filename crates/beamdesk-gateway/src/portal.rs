//! Asks the portal: tickets, resume handles, leases. Whatever is not a plain yes opens nothing.

use std::time::Duration;

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
    client: Client,
    base: Url,
}

impl Portal {
    pub(crate) fn new(config: &GatewayConfig) -> Result<Self, GatewayError> {
        let mut base = config.portal_url.clone();
        if base.scheme() != "https" {
            return Err(GatewayError::NotHttps(base));
        }
        base.set_path("/internal/v1/");
        let mut client = Client::builder()
            .tls_backend_preconfigured((*config.tls).clone())
            .https_only(true)
            .http1_only()
            .no_proxy()
            .pool_idle_timeout(POOL_IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(config.times.portal);
        if let (Some(host), Some(address)) = (base.host_str(), config.portal_address) {
            client = client.resolve(host, address);
        }
        Ok(Self { client: client.build().map_err(GatewayError::Client)?, base })
    }

    pub(crate) async fn redeem(&self, request: &RedeemRequest) -> Result<Grant, PortalError> {
        self.ask("tickets/redeem", request).await
    }

    pub(crate) async fn resume(&self, request: &ResumeRequest) -> Result<Grant, PortalError> {
        self.ask("streams/resume", request).await
    }

    pub(crate) async fn renew(&self, request: &RenewRequest) -> Result<LeaseAnswer, PortalError> {
        self.ask("leases/renew", request).await
    }

    pub(crate) async fn begin_recording(
        &self,
        request: &RecordingBegin,
    ) -> Result<RecordingBegun, PortalError> {
        self.ask("recordings/begin", request).await
    }

    pub(crate) async fn sync_recordings(
        &self,
        request: &RecordingSync,
    ) -> Result<RecordingAnswer, PortalError> {
        self.ask("recordings/sync", request).await
    }

    pub(crate) async fn redeem_play(
        &self,
        request: &PlayRequest,
    ) -> Result<PlayGrant, PortalError> {
        self.ask("recordings/redeem", request).await
    }

    pub(crate) async fn may_play(&self, request: &PlayCheck) -> Result<PlayAllowed, PortalError> {
        self.ask("recordings/allowed", request).await
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<A, PortalError> {
        let address = self.base.join(path).expect("a fixed path joins a checked base");
        let sent = self.client.post(address).json(question).send().await;
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

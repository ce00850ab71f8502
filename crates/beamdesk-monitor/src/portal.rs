//! Asks the portal over HTTPS.

use std::time::Duration;

use beamdesk_types::{EnrolAnswer, EnrolRequest, NodeReport, NodeReportAnswer};
use reqwest::{Client, Response, StatusCode, header::RETRY_AFTER};
use rustls::ClientConfig;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use url::Url;

use crate::MonitorError;

/// An identity is some 4 KiB.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Of a refusal's text; an administrator reads it in the log.
const REASON_CHARS_MAX: usize = 300;
/// A portal that takes longer is as good as away: the next sample is due soon.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// When the portal says that there were too many reports, but not how long to wait.
const TOO_MANY_WAIT: Duration = Duration::from_secs(10);
/// It counts by the minute.
const TOO_MANY_WAIT_MAX: Duration = Duration::from_secs(60);

/// Why there was no answer to work with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PortalError {
    #[error("the portal cannot be reached: {0}")]
    Unreachable(String),
    #[error("the portal says too many")]
    TooMany { retry_after: Duration },
    #[error("the portal refused: {0}")]
    Refused(String),
    #[error("the portal answered {0}")]
    Status(StatusCode),
    #[error("the portal's answer is not understood")]
    Garbage(#[from] serde_json::Error),
    #[error("the portal's answer is too long")]
    TooLong,
}

/// A portal, seen with or without an identity.
#[derive(Debug, Clone)]
pub(crate) struct Portal {
    client: Client,
    base: Url,
}

/// `/srm/v1/renew` asks for nothing but what the certificate says already.
#[derive(Debug, Serialize)]
struct Nothing {}

impl Portal {
    pub(crate) fn new(address: &Url, tls: ClientConfig) -> Result<Self, MonitorError> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ASK_TIMEOUT)
            .build()
            .map_err(MonitorError::Client)?;
        Ok(Self { client, base: base(address)? })
    }

    pub(crate) async fn enrol(&self, request: &EnrolRequest) -> Result<EnrolAnswer, PortalError> {
        self.ask("enrol", request).await
    }

    pub(crate) async fn renew(&self) -> Result<EnrolAnswer, PortalError> {
        self.ask("renew", &Nothing {}).await
    }

    pub(crate) async fn report(
        &self,
        report: &NodeReport,
    ) -> Result<NodeReportAnswer, PortalError> {
        self.ask("reports", report).await
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<A, PortalError> {
        let mut address = self.base.clone();
        address.set_path(&format!("/srm/v1/{path}"));
        let sent = self.client.post(address).json(question).send().await;
        let answer = sent.map_err(|error| unreachable(&error))?;
        let status = answer.status();
        let retry_after = retry_after(&answer);
        let body = bounded(answer).await?;
        match status {
            StatusCode::OK => Ok(serde_json::from_slice(&body)?),
            StatusCode::TOO_MANY_REQUESTS => Err(PortalError::TooMany { retry_after }),
            status if status.is_client_error() => Err(PortalError::Refused(reason(status, &body))),
            status => Err(PortalError::Status(status)),
        }
    }
}

/// Scheme, host and port alone.
pub(crate) fn base(address: &Url) -> Result<Url, MonitorError> {
    let mut base = address.clone();
    base.set_path("");
    base.set_query(None);
    base.set_fragment(None);
    if base.scheme() != "https" || base.host().is_none() {
        return Err(MonitorError::NotHttps(base));
    }
    Ok(base)
}

/// With what caused it: that it was the certificate, say.
fn unreachable(error: &reqwest::Error) -> PortalError {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    PortalError::Unreachable(if text.is_empty() { error.to_string() } else { text })
}

fn retry_after(answer: &Response) -> Duration {
    let value = answer.headers().get(RETRY_AFTER);
    let said = value.and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
    said.unwrap_or(TOO_MANY_WAIT).min(TOO_MANY_WAIT_MAX)
}

async fn bounded(mut answer: Response) -> Result<Vec<u8>, PortalError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unreachable(&error))? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(PortalError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The words of a refusal: of the portal's own errors the message, else the beginning.
fn reason(status: StatusCode, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Said {
        error: Words,
    }
    #[derive(Deserialize)]
    struct Words {
        message: String,
    }
    let text = match serde_json::from_slice::<Said>(body) {
        Ok(said) => said.error.message,
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    let plain = |c: &char| !c.is_control();
    let text: String = text.trim().chars().filter(plain).take(REASON_CHARS_MAX).collect();
    if text.is_empty() { status.to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::{base, reason};

    #[test]
    fn only_https_with_a_host_is_a_portal() {
        let ask = |text: &str| base(&text.parse().unwrap()).map(String::from);
        assert_eq!(ask("https://desk.example:8445/x?y#z").unwrap(), "https://desk.example:8445/");
        for bad in ["http://desk.example", "ftp://desk.example", "data:text/plain,x"] {
            assert!(ask(bad).unwrap_err().to_string().contains("https"), "{bad}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_portals_words_and_shortly() {
        let json =
            br#"{"error":{"code":"quarantined","message":"another machine","request_id":"1"}}"#;
        assert_eq!(reason(StatusCode::FORBIDDEN, json), "another machine");
        assert_eq!(reason(StatusCode::FORBIDDEN, b""), "403 Forbidden");
        assert_eq!(reason(StatusCode::FORBIDDEN, &[b'x'; 9000]).len(), 300);
    }
}

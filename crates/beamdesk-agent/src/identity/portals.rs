//! Asks portals over HTTPS, one after the other until one answers.

use std::{net::SocketAddr, time::Duration};

use beamdesk_types::{AgentEnrolRequest, AgentIdentity, AgentRenewRequest};
use reqwest::{Client, Response, StatusCode, redirect};
use serde::{Deserialize, Serialize};
use tracing::warn;
use url::{Host, Url};

use crate::{
    AgentError,
    tls::{self, PORTAL_NAME},
};

/// Of a portal that does not answer; the next one is asked then.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// An identity is some 3 KiB.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Of a refusal's text, for the log.
const REASON_CHARS_MAX: usize = 300;
/// No site has more; what a seed says is bounded before.
const PORTALS_MAX: usize = 16;

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub(super) enum PortalError {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// For good: asking again with the same words will fail again.
    #[error("it refused: {0}")]
    Refused(String),
    #[error("it says not now: {0}")]
    NotNow(String),
    #[error("its answer is not understood")]
    Garbage,
}

/// The portals of a site, which know the same.
#[derive(Debug, Clone)]
pub(super) struct Portals {
    addresses: Vec<Url>,
    authority: String,
}

impl Portals {
    /// Of these addresses (`https://host:port`), with certificates of this authority (PEM).
    pub(super) fn new(addresses: &[String], authority: &str) -> Result<Self, AgentError> {
        let wrong = |text: &str| AgentError::Portal(text.chars().take(200).collect());
        let read = |text: &String| {
            let url: Url = text.parse().map_err(|_| wrong(text))?;
            if url.scheme() == "https" && url.has_host() { Ok(url) } else { Err(wrong(text)) }
        };
        let addresses: Vec<Url> =
            addresses.iter().take(PORTALS_MAX).map(read).collect::<Result<_, _>>()?;
        // What is no authority is found now, not at the first question.
        tls::client_config(authority)?;
        Ok(Self { addresses, authority: authority.to_owned() })
    }

    pub(super) async fn enrol(
        &self,
        request: &AgentEnrolRequest,
    ) -> Result<AgentIdentity, PortalError> {
        self.ask("/agent/v1/enrol", request).await
    }

    pub(super) async fn renew(
        &self,
        request: &AgentRenewRequest,
    ) -> Result<AgentIdentity, PortalError> {
        self.ask("/agent/v1/renew", request).await
    }

    /// The first answer, or the first refusal, or what was wrong with the last of them.
    async fn ask<Q: Serialize + Sync>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<AgentIdentity, PortalError> {
        let mut outcome = Err(PortalError::Unreachable("there is none".to_owned()));
        for address in &self.addresses {
            outcome = self.ask_one(address, path, question).await;
            match &outcome {
                Ok(_) | Err(PortalError::Refused(_)) => break,
                Err(error) => warn!(portal = %address, %error, "A portal gave no identity"),
            }
        }
        outcome
    }

    async fn ask_one<Q: Serialize + Sync>(
        &self,
        address: &Url,
        path: &str,
        question: &Q,
    ) -> Result<AgentIdentity, PortalError> {
        let port = address.port_or_known_default().unwrap_or(443);
        let unreachable = |text: String| PortalError::Unreachable(text);
        let resolved = tokio::time::timeout(ASK_TIMEOUT, resolve(address, port)).await;
        let resolved = resolved.map_err(|_| unreachable("its name is not resolved".to_owned()))?;
        let resolved = resolved.map_err(|error| unreachable(error.to_string()))?;
        let tls = tls::client_config(&self.authority).map_err(|e| unreachable(e.to_string()))?;
        // The certificate is for the portal's own name, wherever it is found. The client is for this
        // one question: there are a few a day.
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .http1_only()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(ASK_TIMEOUT)
            .resolve_to_addrs(PORTAL_NAME, &resolved)
            .build()
            .map_err(|error| unreachable(innermost(&error)))?;
        let sent = client.post(format!("https://{PORTAL_NAME}:{port}{path}")).json(question).send();
        let answer = sent.await.map_err(|error| unreachable(innermost(&error)))?;
        let status = answer.status();
        let body = bounded(answer).await?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|_| PortalError::Garbage),
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN => {
                Err(PortalError::Refused(reason(status, &body)))
            }
            status => Err(PortalError::NotNow(reason(status, &body))),
        }
    }
}

async fn resolve(address: &Url, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    match address.host() {
        Some(Host::Domain(name)) => Ok(tokio::net::lookup_host((name, port)).await?.collect()),
        Some(Host::Ipv4(ip)) => Ok(vec![SocketAddr::from((ip, port))]),
        Some(Host::Ipv6(ip)) => Ok(vec![SocketAddr::from((ip, port))]),
        None => Ok(Vec::new()),
    }
}

/// What it comes from in the end: that it was the certificate, say.
fn innermost(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    // Spelt as rustls has it.
    if text.contains("not valid yet") || text.contains("expired") {
        text.push_str(" (is the clock of this machine right?)");
    }
    text
}

async fn bounded(mut answer: Response) -> Result<Vec<u8>, PortalError> {
    let mut body = Vec::new();
    let unreachable = |error: reqwest::Error| PortalError::Unreachable(innermost(&error));
    while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(PortalError::Garbage);
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
    use rcgen::{CertificateParams, KeyPair};
    use reqwest::StatusCode;

    use super::{Portals, reason};

    #[test]
    fn only_https_with_a_host_is_a_portal_and_only_a_certificate_an_authority() {
        let params = CertificateParams::default();
        let authority = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        let ask = |text: &str| Portals::new(&[text.to_owned()], &authority);
        ask("https://desk.example:8445").unwrap();
        ask("https://[::1]").unwrap();
        for bad in ["http://desk.example", "desk.example:8445", "data:text/plain,x", ""] {
            let refused = ask(bad).unwrap_err().to_string();
            assert!(refused.contains("https"), "{refused}");
        }
        for bad in ["", "x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            Portals::new(&["https://desk.example".to_owned()], bad).unwrap_err();
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_portals_words_and_shortly() {
        let json = br#"{"error":{"code":"used","message":"was used","request_id":"1"}}"#;
        assert_eq!(reason(StatusCode::FORBIDDEN, json), "was used");
        assert_eq!(reason(StatusCode::FORBIDDEN, b""), "403 Forbidden");
        assert_eq!(reason(StatusCode::FORBIDDEN, &[b'x'; 9000]).len(), 300);
        assert_eq!(reason(StatusCode::FORBIDDEN, b"a\x1b[2Jb"), "a[2Jb");
    }
}

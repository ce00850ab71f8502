//! Asks a provider: with deadlines, without redirects, and reading no more than is needed.

use std::{error::Error as _, fs, path::Path, time::Duration};

use reqwest::{Client, RequestBuilder, header::HeaderMap, redirect::Policy};
use url::Url;

use super::config::{ProviderConfigError, is_loopback, value};

/// A person waits for it.
const ASK_TIMEOUT: Duration = Duration::from_secs(8);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// Keys, tokens and what is said of a person are some KiB.
const ANSWER_BYTES_MAX: usize = 512 << 10;

/// Why there was no answer to work with.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum HttpFault {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("its answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
}

#[derive(Debug, Clone)]
pub(crate) struct Http(Client);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Http {
    /// Blocking, where there is a file of authorities.
    pub(crate) fn open(
        table: &'static str,
        at: &Url,
        authorities: Option<&Path>,
    ) -> Result<Self, ProviderConfigError> {
        let mut client = Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ASK_TIMEOUT)
            .http1_only();
        if is_loopback(at) {
            client = client.no_proxy();
        }
        if let Some(path) = authorities {
            let wrong = |why: String| value(table, "ca_file", format!("{}: {why}", path.display()));
            let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| wrong(error.to_string()))?;
            if certificates.is_empty() {
                return Err(wrong("it holds no certificate".to_owned()));
            }
            client = client.tls_certs_merge(certificates);
        }
        client.build().map(Self).map_err(ProviderConfigError::Client)
    }

    pub(crate) fn get(&self, url: &Url) -> RequestBuilder {
        self.0.get(url.clone()).header("accept", "application/json")
    }

    pub(crate) fn post(&self, url: &Url, kind: &'static str, body: String) -> RequestBuilder {
        let request = self.0.post(url.clone()).header("accept", "application/json");
        request.header("content-type", kind).body(body)
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer, HttpFault> {
        let mut answer = request.send().await.map_err(|error| unreachable(&error))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(|error| unreachable(&error))? {
            if body.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(HttpFault::TooLong);
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status, headers, body })
    }
}

/// The innermost cause: that it was the certificate, say. Without the address, which may hold a code.
fn unreachable(error: &reqwest::Error) -> HttpFault {
    if error.is_timeout() {
        return HttpFault::Unreachable("no answer in time".to_owned());
    }
    let mut text = "no connection".to_owned();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    HttpFault::Unreachable(text)
}

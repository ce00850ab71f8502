//! One try of one HTTP request: what came back, or how it was missed.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use reqwest::{
    Certificate, Identity, Method,
    header::{HeaderMap, USER_AGENT},
    redirect::Policy,
};
use tokio::time::timeout;
use url::Url;

use super::{ApiError, Trouble, access::Access};

/// A thousand servers with all details are some 3 MiB; Neutron may list all its ports at once.
const BODY_BYTES_MAX: usize = 32 << 20;
/// Of a refusal; only its first words are of use.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// Services are near: one that takes longer to accept is as good as away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Shorter than the keep-alive of servers and balancers in common use (Apache's is 5 s), so that a
/// request is seldom sent into a connection that is just being closed.
const IDLE_MAX: Duration = Duration::from_secs(4);

#[derive(Debug)]
pub(super) struct Http {
    client: reqwest::Client,
}

#[derive(Debug)]
pub(super) struct Question {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(super) enum Missed {
    /// There was no connection, so nothing was sent.
    Unsent(String),
    Cut(String),
    Slow(Duration),
    TooLong,
}

impl Http {
    pub(super) fn new(access: &Access) -> Result<Self, ApiError> {
        let bad = |why: &str| ApiError::new(Trouble::Unreachable(why.to_owned()));
        let mut builder = reqwest::Client::builder()
            .http1_only()
            .no_proxy()
            .referer(false)
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_MAX);
        if let Some(pem) = &access.authority {
            let authorities = Certificate::from_pem_bundle(pem).unwrap_or_default();
            if authorities.is_empty() {
                return Err(bad("the file of cacert in clouds.yaml holds no certificate"));
            }
            builder = builder.tls_certs_only(authorities);
        }
        if let Some(pem) = &access.certificate {
            let identity = Identity::from_pem(pem.expose().as_bytes())
                .map_err(|_| bad("the files of cert and key in clouds.yaml are no pair"))?;
            builder = builder.identity(identity);
        }
        let client = builder.build().map_err(|error| bad(&deepest(&error)))?;
        Ok(Self { client })
    }

    /// Asks once. Dropping the future closes the connection.
    pub(super) async fn once(
        &self,
        question: &Question,
        limit: Duration,
    ) -> Result<Answer, Missed> {
        match timeout(limit, self.exchange(question)).await {
            Ok(ended) => ended,
            Err(_) => Err(Missed::Slow(limit)),
        }
    }

    async fn exchange(&self, question: &Question) -> Result<Answer, Missed> {
        let mut request = self
            .client
            .request(question.method.clone(), question.url.clone())
            .header(USER_AGENT, concat!("beamdesk/", env!("CARGO_PKG_VERSION")))
            .headers(question.headers.clone());
        if let Some(body) = &question.body {
            request = request.body(body.clone());
        }
        let mut response = request.send().await.map_err(|error| missed(&error))?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let max = if status.is_success() { BODY_BYTES_MAX } else { REFUSAL_BYTES_MAX };
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= max => {
                    body.extend_from_slice(&chunk);
                }
                Ok(Some(_)) if status.is_success() => return Err(Missed::TooLong),
                Ok(None) => break,
                Err(error) if status.is_success() => return Err(missed(&error)),
                // What refuses has said enough by its status.
                Ok(Some(_)) | Err(_) => break,
            }
        }
        Ok(Answer { status: status.as_u16(), headers, body })
    }
}

fn missed(error: &reqwest::Error) -> Missed {
    let why = deepest(error);
    if error.is_connect() || error.is_builder() { Missed::Unsent(why) } else { Missed::Cut(why) }
}

/// The cause behind all others: that it was the certificate, say.
fn deepest(error: &dyn Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

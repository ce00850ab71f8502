//! The provider as the portal knows it: its addresses, its keys, and what it answers.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use beamdesk_types::Secret;
use jsonwebtoken::Algorithm;
use reqwest::RequestBuilder;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::{sync::Mutex, time::Instant};
use tracing::warn;
use url::{Url, form_urlencoded};

use super::{
    config::{OidcConfig, ProviderConfigError, is_secure, secret},
    http::{Answer, Http, HttpFault},
    keys::Keys,
};

/// What was learned is asked for anew after this; a key that rolled is found sooner, by its id.
const FRESH: Duration = Duration::from_secs(3600);
/// What was learned is used for so long while the provider's answer is no answer.
const STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// For so long everybody is told at once that the provider is away, instead of trying it too.
const AWAY: Duration = Duration::from_secs(3);
/// Tokens with unknown keys make us ask for keys no more often than this.
const KEYS_APART: Duration = Duration::from_secs(10);
const FORM: &str = "application/x-www-form-urlencoded";
/// Of an error's name, for the log.
const WORD_CHARS_MAX: usize = 64;

/// What is wrong with the provider.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProviderFault {
    #[error("{0}")]
    Unreachable(String),
    #[error("{what} was answered with status {status}")]
    Status { what: &'static str, status: u16 },
    #[error("{what} is not as it must be")]
    Garbage { what: &'static str },
    #[error("it calls itself {found:?}, which is not the issuer of the configuration")]
    Issuer { found: String },
    /// A word of RFC 6749, 5.2.
    #[error("it gives no token: {0}")]
    NoToken(String),
}

impl From<HttpFault> for ProviderFault {
    fn from(fault: HttpFault) -> Self {
        Self::Unreachable(fault.to_string())
    }
}

/// OpenID Connect Discovery 1.0, 3.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    issuer: String,
    pub(crate) authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    userinfo_endpoint: Option<Url>,
    pub(crate) end_session_endpoint: Option<Url>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// RFC 9207: then an answer without it is not the provider's.
    #[serde(default, rename = "authorization_response_iss_parameter_supported")]
    pub(crate) says_issuer: bool,
}

/// What the token endpoint gives for a code.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) id_token: Secret,
    pub(crate) access_token: Option<Secret>,
}

#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) config: OidcConfig,
    pub(crate) algorithms: Vec<Algorithm>,
    issuer: Url,
    secret: Option<SecretString>,
    http: Http,
    /// Held while it is asked: others wait for the one answer.
    metadata: Mutex<Learned<Metadata>>,
    keys: Mutex<Learned<Keys>>,
}

/// What a provider said, and when; and when it last did not.
#[derive(Debug)]
struct Learned<T> {
    value: Option<(Arc<T>, Instant)>,
    fault: Option<(ProviderFault, Instant)>,
    forced: Option<Instant>,
}

impl<T> Default for Learned<T> {
    fn default() -> Self {
        Self { value: None, fault: None, forced: None }
    }
}

impl<T> Learned<T> {
    /// What need not be asked again now.
    fn recent(&self, now: Instant, is_forced: bool) -> Option<Result<Arc<T>, ProviderFault>> {
        if let Some((fault, at)) = &self.fault
            && now.duration_since(*at) < AWAY
        {
            return Some(self.stale(now).ok_or_else(|| fault.clone()));
        }
        let (value, at) = self.value.as_ref()?;
        let is_fresh = now.duration_since(*at) < FRESH;
        let may_force = self.forced.is_none_or(|at| now.duration_since(at) >= KEYS_APART);
        (is_fresh && !(is_forced && may_force)).then(|| Ok(Arc::clone(value)))
    }

    fn stale(&self, now: Instant) -> Option<Arc<T>> {
        let (value, at) = self.value.as_ref()?;
        (now.duration_since(*at) < STALE_MAX).then(|| Arc::clone(value))
    }

    fn note(
        &mut self,
        outcome: Result<T, ProviderFault>,
        now: Instant,
    ) -> Result<Arc<T>, ProviderFault> {
        match outcome {
            Ok(value) => {
                let value = Arc::new(value);
                (self.value, self.fault) = (Some((Arc::clone(&value), now)), None);
                Ok(value)
            }
            Err(fault) => {
                warn!(error = %fault, "The identity provider could not be asked");
                self.fault = Some((fault.clone(), now));
                self.stale(now).ok_or(fault)
            }
        }
    }
}

impl Provider {
    pub(crate) fn open(config: &OidcConfig) -> Result<Self, ProviderConfigError> {
        let issuer = config.check()?;
        let file = config.client_secret_file.as_deref();
        Ok(Self {
            algorithms: config.checked_algorithms()?,
            http: Http::open("oidc", &issuer, config.ca_file.as_deref())?,
            secret: file.map(|path| secret("oidc", "client_secret_file", path)).transpose()?,
            config: config.clone(),
            issuer,
            metadata: Mutex::default(),
            keys: Mutex::default(),
        })
    }

    pub(crate) async fn metadata(&self) -> Result<Arc<Metadata>, ProviderFault> {
        let mut learned = self.metadata.lock().await;
        if let Some(known) = learned.recent(Instant::now(), false) {
            return known;
        }
        let outcome = self.ask_metadata().await;
        learned.note(outcome, Instant::now())
    }

    /// What is known of it without asking.
    pub(crate) async fn known_metadata(&self) -> Option<Arc<Metadata>> {
        self.metadata.lock().await.stale(Instant::now())
    }

    /// The provider's keys; asked for anew when a token has one that is unknown, now and then.
    pub(crate) async fn keys(&self, is_forced: bool) -> Result<Arc<Keys>, ProviderFault> {
        let metadata = self.metadata().await?;
        let mut learned = self.keys.lock().await;
        let now = Instant::now();
        if let Some(known) = learned.recent(now, is_forced) {
            return known;
        }
        if is_forced {
            learned.forced = Some(now);
        }
        let outcome = self.ask_keys(&metadata.jwks_uri).await;
        learned.note(outcome, Instant::now())
    }

    /// Turns the code into tokens (OpenID Connect Core 1.0, 3.1.3).
    pub(crate) async fn exchange(
        &self,
        code: &str,
        redirect_uri: &str,
        verifier: &Secret,
    ) -> Result<Tokens, ProviderFault> {
        let metadata = self.metadata().await?;
        let request = self.exchange_request(&metadata, code, redirect_uri, verifier);
        tokens(&self.http.send(request).await?)
    }

    fn exchange_request(
        &self,
        metadata: &Metadata,
        code: &str,
        redirect_uri: &str,
        verifier: &Secret,
    ) -> RequestBuilder {
        let client_id = &self.config.client_id;
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("code_verifier", verifier.expose());
        let mut basic = None;
        match &self.secret {
            Some(secret) if metadata.takes_basic() => {
                let plain = format!("{}:{}", encoded(client_id), encoded(secret.expose_secret()));
                basic = Some(format!("Basic {}", STANDARD.encode(plain)));
            }
            Some(secret) => {
                body.append_pair("client_id", client_id)
                    .append_pair("client_secret", secret.expose_secret());
            }
            None => {
                body.append_pair("client_id", client_id);
            }
        }
        let request = self.http.post(&metadata.token_endpoint, FORM, body.finish());
        match basic {
            Some(basic) => request.header("authorization", basic),
            None => request,
        }
    }

    /// What the provider says of who has this token (OpenID Connect Core 1.0, 5.3). `None`: it has no
    /// such address.
    pub(crate) async fn user_info(
        &self,
        token: &Secret,
    ) -> Result<Option<Map<String, Value>>, ProviderFault> {
        let metadata = self.metadata().await?;
        let Some(url) = &metadata.userinfo_endpoint else { return Ok(None) };
        let bearer = format!("Bearer {}", token.expose());
        let answer = self.http.send(self.http.get(url).header("authorization", bearer)).await?;
        object(&answer, "the person's data").map(Some)
    }

    async fn ask_metadata(&self) -> Result<Metadata, ProviderFault> {
        const WHAT: &str = "the discovery document";
        let mut url = self.issuer.clone();
        let path = format!("{}/.well-known/openid-configuration", url.path().trim_end_matches('/'));
        url.set_path(&path);
        let answer = self.http.send(self.http.get(&url)).await?;
        ok(&answer, WHAT)?;
        let metadata: Metadata = serde_json::from_slice(&answer.body)
            .map_err(|_| ProviderFault::Garbage { what: WHAT })?;
        if metadata.issuer != self.config.issuer {
            let found = metadata.issuer.chars().take(WORD_CHARS_MAX).collect();
            return Err(ProviderFault::Issuer { found });
        }
        let is_plain_allowed = self.issuer.scheme() == "http";
        let is_good = |url: &Url| is_secure(url) && (url.scheme() == "https" || is_plain_allowed);
        if !metadata.endpoints().all(is_good) {
            return Err(ProviderFault::Garbage { what: "an address in the discovery document" });
        }
        Ok(metadata)
    }

    async fn ask_keys(&self, url: &Url) -> Result<Keys, ProviderFault> {
        const WHAT: &str = "the set of keys";
        let answer = self.http.send(self.http.get(url)).await?;
        ok(&answer, WHAT)?;
        let keys = Keys::read(&answer.body).filter(|keys| !keys.is_empty());
        keys.ok_or(ProviderFault::Garbage { what: WHAT })
    }
}

impl Metadata {
    fn endpoints(&self) -> impl Iterator<Item = &Url> {
        let always = [&self.authorization_endpoint, &self.token_endpoint, &self.jwks_uri];
        let maybe = [&self.userinfo_endpoint, &self.end_session_endpoint];
        always.into_iter().chain(maybe.into_iter().flatten())
    }

    /// The default, where a provider does not say (RFC 8414, 2).
    fn takes_basic(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_ref();
        methods.is_none_or(|methods| methods.iter().any(|one| one == "client_secret_basic"))
    }
}

fn tokens(answer: &Answer) -> Result<Tokens, ProviderFault> {
    const WHAT: &str = "the exchange of the code";
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    if (400..500).contains(&answer.status)
        && let Ok(Refusal { error }) = serde_json::from_slice(&answer.body)
    {
        return Err(ProviderFault::NoToken(word(&error)));
    }
    let mut body = object(answer, WHAT)?;
    let mut text = |name: &str| match body.remove(name) {
        Some(Value::String(text)) => Some(Secret::new(text)),
        Some(_) | None => None,
    };
    let id_token = text("id_token").ok_or(ProviderFault::Garbage { what: WHAT })?;
    // One that is not for the header `Bearer` is of no use to us.
    Ok(Tokens { id_token, access_token: text("access_token").filter(is_bearer) })
}

/// RFC 6750, 2.1.
fn is_bearer(token: &Secret) -> bool {
    let text = token.expose();
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_graphic())
}

fn object(answer: &Answer, what: &'static str) -> Result<Map<String, Value>, ProviderFault> {
    ok(answer, what)?;
    serde_json::from_slice(&answer.body).map_err(|_| ProviderFault::Garbage { what })
}

fn ok(answer: &Answer, what: &'static str) -> Result<(), ProviderFault> {
    match answer.status {
        200 => Ok(()),
        status => Err(ProviderFault::Status { what, status }),
    }
}

/// As RFC 6749, 2.3.1 wants id and secret in the header.
fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A word from elsewhere as it may stand in a log.
pub(crate) fn word(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    text.chars().filter(plain).take(WORD_CHARS_MAX).collect()
}

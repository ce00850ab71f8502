//! Logging in by an OpenID Connect provider: code and PKCE, nothing of it in the browser but one
//! cookie without authority.
//!
//! ```text
//! page ── POST /api/v1/oidc ──▶ portal: cookie; address with state, nonce, challenge
//! browser ── that address ──▶ provider: who are you? ── 303 /oidc/callback?code&state ──▶ browser
//! browser ── /oidc/callback, cookie ──▶ portal ── code, verifier ──▶ provider: ID token
//!                                       portal: judges it, finds the account, begins a session
//! ```

mod admit;
mod claims;
mod config;
mod flow;
mod http;
mod keys;
mod keystone;
mod person;
mod provider;
mod token;

use std::{net::IpAddr, sync::Arc, time::Duration};

use beamdesk_store::StoreError;
use beamdesk_types::{Secret, SessionId};
use tokio::sync::Semaphore;
use tracing::{info, warn};
use url::Url;

use self::{
    claims::claims,
    flow::{FLOW_LIFE, Flow},
    keystone::Keystone,
    provider::{Metadata, Provider, word},
    token::{Expected, IdToken, id_token, logout_token},
};
pub use self::{
    config::{
        Button, KeystoneConfig, LocalLogin, OidcConfig, ProviderConfigError, ProvidersConfig,
        Stations,
    },
    provider::ProviderFault,
    token::TokenFault,
};
use crate::{
    Auth, AuthError, Login,
    secret::{digest, fresh},
};

/// Logins that are with a provider at once; each takes a connection and some 100 KiB.
const LOGINS_MAX: usize = 32;
const LOGINS_RETRY: Duration = Duration::from_secs(2);
/// Codes of providers have some hundred characters.
const CODE_BYTES_MAX: usize = 4096;
/// Where the provider sends browsers back to, below the portal's origin.
const CALLBACK: &str = "/oidc/callback";

/// Who proves who somebody is, besides passwords. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Providers {
    pub(crate) oidc: Option<Arc<Oidc>>,
    pub(crate) keystone: Option<Arc<Keystone>>,
}

#[derive(Debug)]
pub(crate) struct Oidc {
    provider: Provider,
    /// Each permit is one login that is with the provider.
    turns: Semaphore,
}

/// How people may log in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginWays {
    pub local: LocalLogin,
    /// What stands on the button that leads to the provider.
    pub oidc: Option<Button>,
    pub keystone: bool,
}

/// A login that begins.
#[derive(Debug, Clone)]
pub struct Departure {
    /// The provider's page.
    pub url: Url,
    /// For a cookie that only `/oidc/callback` reads.
    pub flow: Secret,
    pub flow_life: Duration,
}

/// What the provider sent the browser back with (RFC 6749, 4.1.2).
#[derive(Debug, Default)]
pub struct Arrival {
    pub code: Option<Secret>,
    pub state: Option<String>,
    pub error: Option<String>,
    /// RFC 9207.
    pub issuer: Option<String>,
}

/// Why nobody is logged in.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    #[error("no such provider is configured")]
    Off,
    /// The cookie is missing or over, or the answer belongs to another login.
    #[error("the login took too long, or was begun in another browser or tab")]
    Expired,
    /// A word of RFC 6749, 4.1.2.1.
    #[error("the provider says {0}")]
    Denied(String),
    #[error("the identity provider: {0}")]
    Provider(#[from] ProviderFault),
    #[error("the provider's token is refused: {0}")]
    Token(#[from] TokenFault),
    /// Of a token of Keystone's.
    #[error("the token is not taken: {0}")]
    NotTaken(&'static str),
    #[error("in no group that may log in")]
    NoAccess,
    #[error("the account is disabled")]
    Disabled,
    #[error("too many logins at once")]
    TooMany { retry_after: Duration },
    #[error(transparent)]
    Auth(#[from] AuthError),
}

impl From<StoreError> for ProofError {
    fn from(error: StoreError) -> Self {
        Self::Auth(error.into())
    }
}

impl Providers {
    /// Checks the configuration and reads the files that it names. Asks nobody: a provider that is
    /// away must not keep the portal from starting. Blocking; call it at the start.
    pub fn open(config: &ProvidersConfig) -> Result<Self, ProviderConfigError> {
        let oidc = config.oidc.as_ref().map(Provider::open).transpose()?;
        let keystone = config.keystone.as_ref().map(Keystone::open).transpose()?;
        Ok(Self {
            oidc: oidc
                .map(|provider| Arc::new(Oidc { provider, turns: Semaphore::new(LOGINS_MAX) })),
            keystone: keystone.map(Arc::new),
        })
    }

    fn local(&self) -> LocalLogin {
        self.oidc.as_ref().map(|oidc| oidc.provider.config.local_login).unwrap_or_default()
    }
}

impl Auth {
    pub fn login_ways(&self) -> LoginWays {
        let providers = &self.config().providers;
        LoginWays {
            local: providers.local(),
            oidc: providers.oidc.as_ref().map(|oidc| oidc.provider.config.button.clone()),
            keystone: providers.keystone.is_some(),
        }
    }

    /// Begins a login on a page of this origin of the portal's.
    pub async fn begin_oidc(&self, origin: &str) -> Result<Departure, ProofError> {
        let Provider { config, .. } = &self.oidc()?.provider;
        let metadata = self.oidc()?.provider.metadata().await?;
        let flow = Flow::begin(origin, &fresh()?, self.now());
        let key = &self.config().handle_key;
        let mut scopes = vec!["openid"];
        scopes.extend(config.scopes.iter().map(String::as_str).filter(|scope| *scope != "openid"));
        let mut url = metadata.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &config.client_id)
            .append_pair("redirect_uri", &format!("{origin}{CALLBACK}"))
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &flow.state(key))
            .append_pair("nonce", &flow.nonce(key))
            .append_pair("code_challenge", &flow.challenge(key))
            .append_pair("code_challenge_method", "S256");
        Ok(Departure { url, flow: flow.cookie(), flow_life: FLOW_LIFE })
    }

    /// Ends a login: whoever the provider vouches for gets a session, with the role and the stations
    /// of the groups that the provider names now.
    pub async fn finish_oidc(
        &self,
        flow: Option<&str>,
        arrival: Arrival,
        address: IpAddr,
    ) -> Result<Login, ProofError> {
        let oidc = self.oidc()?;
        let provider = &oidc.provider;
        let key = &self.config().handle_key;
        let flow = flow.and_then(|text| Flow::read(text, self.now())).ok_or(ProofError::Expired)?;
        let state = arrival.state.as_deref().unwrap_or_default();
        if !flow.is_state(key, state) {
            return Err(ProofError::Expired);
        }
        if let Some(error) = &arrival.error {
            return Err(ProofError::Denied(word(error)));
        }
        let _turn = oidc
            .turns
            .try_acquire()
            .map_err(|_| ProofError::TooMany { retry_after: LOGINS_RETRY })?;
        let metadata = provider.metadata().await?;
        check_issuer(&arrival, &metadata, &provider.config.issuer)?;
        let code = arrival.code.filter(|code| code.expose().len() <= CODE_BYTES_MAX);
        let code = code.ok_or(ProofError::Expired)?;
        let redirect_uri = format!("{}{CALLBACK}", flow.origin);
        let tokens = provider.exchange(code.expose(), &redirect_uri, &flow.verifier(key)).await?;
        let token = self.believed(provider, &tokens.id_token, &flow.nonce(key)).await?;
        let claims = claims(provider, &token, tokens.access_token).await?;
        self.admit(&provider.config, &token, &claims, address).await
    }

    /// Where the browser goes after this session was ended, so that the provider's own ends as well.
    /// `None`: the session does not stand on the provider's, or the provider has no such page.
    pub async fn oidc_farewell(
        &self,
        session: SessionId,
        origin: &str,
    ) -> Result<Option<Url>, AuthError> {
        let Some(oidc) = &self.config().providers.oidc else { return Ok(None) };
        let config = &oidc.provider.config;
        let of = self.store().provider_session(session).await?;
        if of.is_none_or(|of| of.issuer != config.issuer) {
            return Ok(None);
        }
        let metadata = oidc.provider.known_metadata().await;
        let page = metadata.and_then(|metadata| metadata.end_session_endpoint.clone());
        // By the client's name and not by an ID token: tokens are not kept, and not put into addresses.
        Ok(page.map(|mut url| {
            url.query_pairs_mut()
                .append_pair("client_id", &config.client_id)
                .append_pair("post_logout_redirect_uri", &format!("{origin}/"));
            url
        }))
    }

    /// Ends the sessions that stand on a session of the provider's that ended
    /// (OpenID Connect Back-Channel Logout 1.0). Says how many there were.
    pub async fn oidc_back_channel(&self, text: &str) -> Result<u64, ProofError> {
        let provider = &self.oidc()?.provider;
        let expected = expected(provider);
        let now = self.now();
        let mut judged = logout_token(text, &*provider.keys(false).await?, &expected, now);
        if is_by_another_key(&judged) {
            judged = logout_token(text, &*provider.keys(true).await?, &expected, now);
        }
        let token = judged?;
        let hash = digest(&format!("{}|{}", provider.config.issuer, token.id));
        if !self.store().use_logout_token(&hash, token.over, now).await? {
            return Err(TokenFault::Used.into());
        }
        let (subject, sid) = (token.subject.as_deref(), token.sid.as_deref());
        let issuer = &provider.config.issuer;
        let ended = self.store().end_provider_sessions(issuer, subject, sid, now).await?;
        info!(sessions = ended, "The identity provider ended sessions");
        self.note(
            "provider",
            "logged_out",
            format!("issuer:{issuer}"),
            format!("{ended} sessions"),
        )
        .await?;
        Ok(ended)
    }

    fn oidc(&self) -> Result<&Oidc, ProofError> {
        self.config().providers.oidc.as_deref().ok_or(ProofError::Off)
    }

    /// The token, when it is good by the provider's keys; by fresh ones, if those we had do not fit.
    async fn believed(
        &self,
        provider: &Provider,
        text: &Secret,
        nonce: &str,
    ) -> Result<IdToken, ProofError> {
        let (expected, now) = (expected(provider), self.now());
        let judge = |keys: &keys::Keys| id_token(text.expose(), keys, &expected, nonce, now);
        let mut judged = judge(&*provider.keys(false).await?);
        if is_by_another_key(&judged) {
            judged = judge(&*provider.keys(true).await?);
        }
        if let Err(fault) = &judged {
            warn!(error = %fault, "An ID token was refused");
            let issuer = format!("issuer:{}", provider.config.issuer);
            self.note("unknown", "login_refused", issuer, fault.to_string()).await?;
        }
        Ok(judged?)
    }
}

fn expected(provider: &Provider) -> Expected<'_> {
    Expected {
        issuer: &provider.config.issuer,
        client_id: &provider.config.client_id,
        algorithms: &provider.algorithms,
    }
}

/// Whether fresh keys might judge otherwise.
fn is_by_another_key<T>(judged: &Result<T, TokenFault>) -> bool {
    matches!(judged, Err(TokenFault::Key | TokenFault::Signature))
}

/// RFC 9207: that the answer is of the provider that was asked.
fn check_issuer(arrival: &Arrival, metadata: &Metadata, issuer: &str) -> Result<(), TokenFault> {
    match &arrival.issuer {
        Some(said) if said != issuer => Err(TokenFault::Claim("iss")),
        None if metadata.says_issuer => Err(TokenFault::Claim("iss")),
        Some(_) | None => Ok(()),
    }
}

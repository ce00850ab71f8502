//! Keystone's tokens as proof of who somebody is (Identity API v3, `GET /v3/auth/tokens`).

use std::{collections::BTreeSet, time::Duration};

use beamdesk_types::{Role, StationId, Timestamp};
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::{Mutex, Semaphore},
    time::Instant,
};
use url::Url;

use super::{
    ProofError,
    config::{KeystoneConfig, ProviderConfigError, secret, secure, value},
    http::Http,
    person,
    provider::ProviderFault,
};

/// Fernet tokens have some 200 characters, and Keystone knows no longer ones than this.
const TOKEN_BYTES_MAX: usize = 8 << 10;
/// Validations at once; Keystone has other things to do.
const VALIDATIONS_MAX: usize = 8;
const RETRY: Duration = Duration::from_secs(2);
/// The portal's own token is renewed so long before its end.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
const JSON: &str = "application/json";

#[derive(Debug)]
pub(crate) struct Keystone {
    config: KeystoneConfig,
    secret: SecretString,
    issuer: String,
    tokens: Url,
    http: Http,
    /// The portal's own token and its end; held while a new one is asked for.
    own: Mutex<Option<(HeaderValue, Instant)>>,
    turns: Semaphore,
}

/// Who has a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) subject: String,
    pub(crate) name: String,
    /// `None`: is not let in.
    pub(crate) role: Option<Role>,
    pub(crate) stations: Option<Vec<StationId>>,
}

#[derive(Deserialize)]
struct Body {
    token: Token,
}

#[derive(Deserialize)]
struct Token {
    user: Named,
    project: Option<Named>,
    #[serde(default)]
    roles: Vec<Named>,
    #[serde(default)]
    methods: Vec<String>,
    #[serde(rename = "OS-TRUST:trust")]
    trust: Option<serde_json::Value>,
    expires_at: Timestamp,
    issued_at: Timestamp,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    #[serde(default)]
    name: String,
    domain: Option<Domain>,
}

#[derive(Deserialize)]
struct Domain {
    id: String,
}

impl Keystone {
    pub(crate) fn open(config: &KeystoneConfig) -> Result<Self, ProviderConfigError> {
        let mut tokens = secure("keystone", "auth_url", &config.auth_url)?;
        let root = tokens.path().trim_end_matches('/').trim_end_matches("/v3").to_owned();
        let id = &config.application_credential_id;
        if id.is_empty() || !id.bytes().all(|c| c.is_ascii_graphic()) {
            let why = "must be the id of an application credential".to_owned();
            return Err(value("keystone", "application_credential_id", why));
        }
        tokens.set_path(&format!("{root}/v3/auth/tokens"));
        let file = &config.application_credential_secret_file;
        Ok(Self {
            secret: secret("keystone", "application_credential_secret_file", file)?,
            http: Http::open("keystone", &tokens, config.ca_file.as_deref())?,
            // One cloud has one name, however its address is written.
            issuer: format!("keystone:{}", config.auth_url.trim_end_matches('/')),
            tokens,
            config: config.clone(),
            own: Mutex::default(),
            turns: Semaphore::new(VALIDATIONS_MAX),
        })
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Who has this token, by Keystone's own word.
    pub(crate) async fn person(&self, token: &SecretString) -> Result<Person, ProofError> {
        let text = token.expose_secret();
        let is_token = !text.is_empty()
            && text.len() <= TOKEN_BYTES_MAX
            && text.bytes().all(|c| c.is_ascii_graphic());
        let subject = HeaderValue::from_str(text).ok().filter(|_| is_token);
        let mut subject = subject.ok_or(ProofError::NotTaken("it is no token"))?;
        subject.set_sensitive(true);
        let _turn =
            self.turns.try_acquire().map_err(|_| ProofError::TooMany { retry_after: RETRY })?;
        let mut own = self.own_token(None).await?;
        let mut answer = self.validate(&own, &subject).await?;
        if answer.status == 401 {
            // Ours was revoked before its time.
            own = self.own_token(Some(&own)).await?;
            answer = self.validate(&own, &subject).await?;
        }
        match answer.status {
            200 => {}
            404 => return Err(ProofError::NotTaken("Keystone does not know it")),
            status => {
                return Err(ProviderFault::Status { what: "the validation", status }.into());
            }
        }
        let body: Body = serde_json::from_slice(&answer.body)
            .map_err(|_| ProviderFault::Garbage { what: "the validation" })?;
        judge(&self.config, body.token)
    }

    async fn validate(
        &self,
        own: &HeaderValue,
        subject: &HeaderValue,
    ) -> Result<super::http::Answer, ProviderFault> {
        let request = self.http.get(&self.tokens);
        let request = request.header("x-auth-token", own).header("x-subject-token", subject);
        Ok(self.http.send(request).await?)
    }

    /// The portal's own token; a new one when there is none, it ends soon, or it is `not` that one.
    async fn own_token(&self, not: Option<&HeaderValue>) -> Result<HeaderValue, ProviderFault> {
        let mut own = self.own.lock().await;
        if let Some((token, end)) = own.as_ref()
            && Instant::now() < *end
            && Some(token) != not
        {
            return Ok(token.clone());
        }
        let asked = Instant::now();
        let body = json!({ "auth": { "identity": {
            "methods": ["application_credential"],
            "application_credential": {
                "id": self.config.application_credential_id,
                "secret": self.secret.expose_secret(),
            },
        } } });
        let answer = self.http.send(self.http.post(&self.tokens, JSON, body.to_string())).await?;
        if answer.status != 201 {
            return Err(ProviderFault::Status {
                what: "the portal's own login",
                status: answer.status,
            });
        }
        let garbage = ProviderFault::Garbage { what: "the portal's own login" };
        let body: Body = serde_json::from_slice(&answer.body).map_err(|_| garbage.clone())?;
        let mut token = token_of(&answer.headers).ok_or(garbage)?;
        token.set_sensitive(true);
        // How long it lasts, by Keystone's clock alone: ours may be off.
        let life = body.token.expires_at.duration_since(body.token.issued_at);
        let life = Duration::try_from(life).unwrap_or_default().saturating_sub(RENEW_BEFORE);
        *own = Some((token.clone(), asked + life));
        Ok(token)
    }
}

fn token_of(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get("x-subject-token").cloned()
}

/// What somebody with this token may do here. Only a person's own log-in says who is there: not what
/// a program was given to act in somebody's place.
fn judge(config: &KeystoneConfig, token: Token) -> Result<Person, ProofError> {
    if token.trust.is_some() {
        return Err(ProofError::NotTaken("it was given in trust"));
    }
    if token.methods.iter().any(|method| method == "application_credential") {
        return Err(ProofError::NotTaken("it is of an application credential"));
    }
    let domain = token.user.domain.map(|domain| domain.id);
    if !config.domains.is_empty() && !domain.is_some_and(|id| config.domains.contains(&id)) {
        return Err(ProofError::NotTaken("it is of another domain"));
    }
    let roles: BTreeSet<String> = token.roles.into_iter().map(|role| role.name).collect();
    let projects: BTreeSet<String> = token.project.into_iter().map(|project| project.id).collect();
    Ok(Person {
        role: if config.roles.is_empty() {
            config.role_of_others
        } else {
            person::role(&roles, &config.roles, config.role_of_others)
        },
        stations: person::stations(&projects, &config.stations),
        name: person::account_name(&token.user.name),
        subject: token.user.id,
    })
}

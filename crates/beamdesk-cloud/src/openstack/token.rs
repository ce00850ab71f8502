//! The token: one for all calls, renewed before it ends, by one call while the others go on.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use beamdesk_types::Timestamp;
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::{
    ApiError, Service, Trouble,
    access::Access,
    answer::Said,
    catalog::Catalog,
    http::{Answer, Http, Missed, Question},
    repeat::{Limits, Plan, Try, repeat},
    retry::Kind,
};
use crate::RequestId;

/// A token is renewed this long before its end, or after four fifths of a short life.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// When a renewal failed and the token is still good.
const RENEW_AGAIN: Duration = Duration::from_secs(20);
/// Of a renewal: the one who makes it has a good token and waits for a better one.
const RENEW_MAX: Duration = Duration::from_secs(10);
/// Keystone may lock a user who fails too often (its `lockout_failure_attempts`).
const REFUSED_WAIT: Duration = Duration::from_secs(30);
/// One login for each call that a service refuses would flood Keystone.
const REJECT_AGAIN: Duration = Duration::from_secs(10);
/// Keystone says no end of a token that has none.
const LIFE_ENDLESS: Duration = Duration::from_secs(3600);
/// Below, we would do nothing but renew.
const LIFE_MIN: Duration = Duration::from_secs(5);

/// Whom Keystone takes us for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub user_id: String,
    pub user_name: String,
    pub project_id: String,
    pub project_name: String,
    pub roles: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Token {
    /// Marked as sensitive, so that it is not printed.
    pub(super) value: HeaderValue,
    pub(super) identity: Identity,
    pub(super) catalog: Catalog,
    /// By which it was had.
    pub(super) access: Access,
    renew_at: Instant,
    ends_at: Instant,
}

#[derive(Debug)]
pub(super) struct Tokens {
    state: Mutex<State>,
    /// Held by the one who logs in.
    login: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    access: Access,
    token: Option<Arc<Token>>,
    renewed_last: Option<Instant>,
    rejected_last: Option<Instant>,
    refused: Option<Refused>,
}

#[derive(Debug)]
struct Refused {
    at: Instant,
    why: String,
}

impl Tokens {
    pub(super) fn new(access: Access) -> Self {
        let state =
            State { access, token: None, renewed_last: None, rejected_last: None, refused: None };
        Self { state: Mutex::new(state), login: tokio::sync::Mutex::new(()) }
    }

    /// A token that is good now.
    pub(super) async fn token(&self, http: &Http, limits: Limits) -> Result<Arc<Token>, ApiError> {
        let now = Instant::now();
        match self.held(now) {
            Held::Good(token) => return Ok(token),
            Held::Due(token) => {
                // One renews, the others go on with what there is.
                let Ok(_one) = self.login.try_lock() else { return Ok(token) };
                self.state().renewed_last = Some(now);
                let soon = Limits { until: limits.until.min(now + RENEW_MAX), ..limits };
                return match self.log_in(http, soon).await {
                    Ok(newer) => Ok(newer),
                    Err(error) => {
                        warn!(%error, "The cloud's token was not renewed, the old one goes on");
                        Ok(token)
                    }
                };
            }
            Held::None => {}
        }
        let Ok(_one) = timeout_at(limits.until, self.login.lock()).await else {
            let waited = Instant::now().duration_since(now);
            return Err(ApiError::new(Trouble::Slow(waited)).of(Service::Identity));
        };
        match self.held(Instant::now()) {
            Held::Good(token) | Held::Due(token) => Ok(token),
            Held::None => self.log_in(http, limits).await,
        }
    }

    /// A service did not accept it. True: there is another, or one is to be had. False: one was
    /// exchanged for the same reason a moment ago, and another would be refused as well.
    pub(super) fn reject(&self, token: &Arc<Token>) -> bool {
        let mut state = self.state();
        if !state.token.as_ref().is_some_and(|held| Arc::ptr_eq(held, token)) {
            return true;
        }
        let now = Instant::now();
        if state.rejected_last.is_some_and(|last| now.duration_since(last) < REJECT_AGAIN) {
            return false;
        }
        state.rejected_last = Some(now);
        state.token = None;
        true
    }

    fn held(&self, now: Instant) -> Held {
        let state = self.state();
        let Some(token) = state.token.as_ref().filter(|token| now < token.ends_at) else {
            return Held::None;
        };
        let tried = state.renewed_last.is_some_and(|last| now.duration_since(last) < RENEW_AGAIN);
        let token = Arc::clone(token);
        if now < token.renew_at || tried { Held::Good(token) } else { Held::Due(token) }
    }

    async fn log_in(&self, http: &Http, limits: Limits) -> Result<Arc<Token>, ApiError> {
        let access = self.access_now()?;
        let began = Instant::now();
        let request = RequestId::of_operation();
        let question = question(&access, &request)?;
        let mut read = None;
        let asked = repeat(
            Plan {
                // A second token does no harm.
                kind: Kind::Repeatable,
                service: Service::Identity,
                call: "POST /auth/tokens".to_owned(),
                request: request.clone(),
                limits,
            },
            LoginTry { http, question: &question },
            &mut |answer| {
                read = Some(Granted::read(answer)?);
                Ok(())
            },
        )
        .await;
        let granted = match (asked, read) {
            (Ok(_), Some(granted)) => granted,
            (Ok(_), None) => {
                return Err(ApiError::new(Trouble::Garbage("empty".to_owned())));
            }
            (Err(error), _) => return Err(self.refused(error, &access)),
        };
        let Granted { value, body } = granted;
        let life = body.life();
        let token = Arc::new(Token {
            value,
            identity: body.identity(),
            catalog: body.catalog,
            access,
            // By Keystone's clock alone, counted by ours from when we asked: ours may be wrong.
            renew_at: began + life - RENEW_BEFORE.min(life / 5),
            ends_at: began + life,
        });
        debug!(user = token.identity.user_name, project = token.identity.project_name,
            life_s = life.as_secs(), request.id = %request, "Logged in to the cloud");
        let mut state = self.state();
        state.token = Some(Arc::clone(&token));
        state.refused = None;
        Ok(token)
    }

    /// The access as its file says now; an error while Keystone's last refusal is fresh and
    /// nothing has changed.
    fn access_now(&self) -> Result<Access, ApiError> {
        let mut state = self.state();
        let access = match state.access.again() {
            Ok(access) => access,
            Err(error) => return Err(ApiError::new(Trouble::Access(error))),
        };
        let same = access.login.body() == state.access.login.body();
        let fresh = |refused: &&Refused| Instant::now().duration_since(refused.at) < REFUSED_WAIT;
        if let Some(refused) = state.refused.as_ref().filter(fresh).filter(|_| same) {
            let trouble = Trouble::Credentials(refused.why.clone());
            return Err(ApiError::new(trouble).of(Service::Identity));
        }
        state.access = access.clone();
        Ok(access)
    }

    /// Tells credentials that are wrong from a Keystone that is.
    fn refused(&self, error: ApiError, access: &Access) -> ApiError {
        // 404: an application credential, a project or a user that is gone. Keystone says so in
        // its own form; anything else that answers 404 is no Keystone.
        let refused = matches!(error.status(), Some(401 | 403))
            || error.status() == Some(404) && error.code().is_some();
        if !refused {
            return error;
        }
        let why = access.login.name();
        let at = Instant::now();
        self.state().refused = Some(Refused { at, why: why.clone() });
        error.with(Trouble::Credentials(why))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; what it holds is whole at any time.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Held {
    Good(Arc<Token>),
    /// Good, and to be renewed.
    Due(Arc<Token>),
    None,
}

fn question(access: &Access, request: &RequestId) -> Result<Question, ApiError> {
    let mut url = access.auth_url.clone();
    url.set_path(&format!("{}/auth/tokens", access.auth_url.path().trim_end_matches('/')));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(value) = HeaderValue::from_str(request.as_str()) {
        headers.insert("x-openstack-request-id", value);
    }
    let body = serde_json::to_vec(&access.login.body())
        .map_err(|error| ApiError::new(Trouble::Question(error.to_string())))?;
    Ok(Question { method: Method::POST, url, headers, body: Some(body.into()) })
}

struct LoginTry<'a> {
    http: &'a Http,
    question: &'a Question,
}

impl Try for LoginTry<'_> {
    async fn once(&mut self, limit: Duration) -> Result<Result<Answer, Missed>, ApiError> {
        Ok(self.http.once(self.question, limit).await)
    }
}

/// Keystone's answer (Identity API v3, *Password authentication with scoped authorization*).
struct Granted {
    value: HeaderValue,
    body: Body,
}

#[derive(Deserialize)]
struct Outer {
    token: Body,
}

#[derive(Deserialize)]
struct Body {
    issued_at: Timestamp,
    expires_at: Option<Timestamp>,
    #[serde(default)]
    catalog: Catalog,
    user: Named,
    project: Option<Named>,
    #[serde(default)]
    roles: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    name: String,
}

impl Granted {
    fn read(answer: &Answer) -> Result<Self, String> {
        let mut value = answer.headers.get("x-subject-token").cloned().ok_or("without a token")?;
        value.set_sensitive(true);
        let outer: Outer = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
        Ok(Self { value, body: outer.token })
    }
}

impl Body {
    fn life(&self) -> Duration {
        let Some(expires_at) = self.expires_at else { return LIFE_ENDLESS };
        let life = expires_at.duration_since(self.issued_at);
        Duration::try_from(life).unwrap_or_default().max(LIFE_MIN)
    }

    fn identity(&self) -> Identity {
        let project = self.project.as_ref();
        Identity {
            user_id: self.user.id.clone(),
            user_name: self.user.name.clone(),
            project_id: project.map(|p| p.id.clone()).unwrap_or_default(),
            project_name: project.map(|p| p.name.clone()).unwrap_or_default(),
            roles: self.roles.iter().map(|role| role.name.clone()).collect(),
        }
    }
}

/// What a service says when it refuses a token that Keystone has just made.
pub(super) fn not_accepted(service: Service, said: Said) -> ApiError {
    let why =
        "it refuses a token that Keystone has just made: the credential may lack access rules";
    ApiError::new(Trouble::Credentials(why.to_owned())).of(service).answered(401, None, said)
}

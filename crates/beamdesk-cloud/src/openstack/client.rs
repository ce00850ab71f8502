//! The client: asks any service of a cloud, with a good token, in a version that both speak.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tracing::{debug, info, warn};
use url::{Host, Url};

use super::{
    Access, ApiError, Call, Identity, Microversion, Service, Trouble,
    answer::Said,
    catalog::{self, Speaks},
    http::{Answer, Http, Missed, Question},
    page,
    repeat::{Limits, Plan, Try, repeat},
    retry::Kind,
    token::{Token, Tokens, not_accepted},
    version::Offered,
};
use crate::RequestId;

/// How long and how often a client asks. The defaults are for a reconciler that comes back anyway.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Of one call, over all its tries and waits.
    pub deadline: Duration,
    /// Of one try. Creating a server takes Nova up to 20 s when it is busy.
    pub try_timeout: Duration,
    /// Six tries wait some 3 s in all: as long as a service's restart, behind a balancer.
    pub tries: u32,
    /// Calls at once: enough to keep Nova busy, too few to fill the queues of its API (a default
    /// Nova has one worker of some hundred green threads for each core).
    pub calls: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(60),
            try_timeout: Duration::from_secs(30),
            tries: 6,
            calls: 16,
        }
    }
}

/// Cheap to clone; all clones share token, connections and limits.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: Http,
    tokens: Tokens,
    settings: Settings,
    calls: Semaphore,
    versions: Mutex<BTreeMap<Service, (Offered, Microversion)>>,
}

impl Client {
    /// Logs in, so that wrong credentials are known at once.
    ///
    /// # Errors
    /// Keystone cannot be reached or refuses, or the site's certificates cannot be read.
    pub async fn connect(access: Access, settings: Settings) -> Result<Self, ApiError> {
        if in_the_clear(&access.auth_url) {
            warn!("The cloud is asked without TLS: who is on the way can read the credentials");
        }
        let client = Self {
            inner: Arc::new(Inner {
                http: Http::new(&access)?,
                tokens: Tokens::new(access),
                settings,
                calls: Semaphore::new(settings.calls.max(1)),
                versions: Mutex::new(BTreeMap::new()),
            }),
        };
        client.identity().await?;
        Ok(client)
    }

    /// Who we are by the token that is in use.
    pub async fn identity(&self) -> Result<Identity, ApiError> {
        Ok(self.token().await?.identity.clone())
    }

    /// Where a service is; [`Trouble::NoService`] if the cloud has none for us.
    pub async fn endpoint(&self, service: Service) -> Result<Url, ApiError> {
        let token = self.token().await?;
        token.catalog.base(service, &token.access)
    }

    /// Paths are without the version: `/servers/detail`, `/ports`, `/images`.
    pub fn get(&self, service: Service, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::GET, service, path.into())
    }

    pub fn post(&self, service: Service, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::POST, service, path.into())
    }

    pub fn put(&self, service: Service, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::PUT, service, path.into())
    }

    pub fn patch(&self, service: Service, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::PATCH, service, path.into())
    }

    pub fn delete(&self, service: Service, path: impl Into<String>) -> Call<'_> {
        Call::new(self, Method::DELETE, service, path.into())
    }

    /// A whole list, page by page; `key` is its name in the answer (`servers`). A page that fails
    /// fails the list: a part of it would look as if the rest were gone.
    pub async fn pages<T: serde::de::DeserializeOwned + Send>(
        &self,
        service: Service,
        path: &str,
        query: &[(&str, String)],
        key: &str,
    ) -> Result<Vec<T>, ApiError> {
        page::all(self, service, path, query, key).await
    }

    /// Whether the service speaks this microversion (and any, if it has none).
    pub async fn supports(
        &self,
        service: Service,
        version: Microversion,
    ) -> Result<bool, ApiError> {
        let negotiated = self.negotiated(service, self.limits(None)).await?;
        Ok(negotiated.is_none_or(|(_, offered, _)| offered.has(version)))
    }

    /// The microversion in which the service is asked where a call says no other.
    pub async fn version(&self, service: Service) -> Result<Option<Microversion>, ApiError> {
        let negotiated = self.negotiated(service, self.limits(None)).await?;
        Ok(negotiated.map(|(_, _, version)| version))
    }

    async fn token(&self) -> Result<Arc<Token>, ApiError> {
        self.inner.tokens.token(&self.inner.http, self.limits(None)).await
    }

    pub(super) fn limits(&self, deadline: Option<Duration>) -> Limits {
        let settings = self.inner.settings;
        let deadline = deadline.unwrap_or(settings.deadline);
        Limits {
            until: Instant::now() + deadline,
            one: settings.try_timeout,
            tries: settings.tries.max(1),
        }
    }

    /// The header that says the microversion.
    pub(super) async fn version_header(
        &self,
        service: Service,
        wanted: Option<Microversion>,
        limits: Limits,
    ) -> Result<Option<(HeaderName, HeaderValue)>, ApiError> {
        let Some((speaks, offered, version)) = self.negotiated(service, limits).await? else {
            return Ok(None);
        };
        let version = wanted.unwrap_or(version);
        if !offered.has(version) {
            return Err(mismatch(service, &offered.to_string(), version, version));
        }
        let value = HeaderValue::from_str(&format!("{} {version}", speaks.name))
            .map_err(|error| ApiError::new(Trouble::Question(error.to_string())))?;
        Ok(Some((HeaderName::from_static("openstack-api-version"), value)))
    }

    /// What the service speaks, asked once and again after it has said 406.
    async fn negotiated(
        &self,
        service: Service,
        limits: Limits,
    ) -> Result<Option<(Speaks, Offered, Microversion)>, ApiError> {
        let Some(speaks) = service.speaks() else { return Ok(None) };
        let known = self.versions().get(&service).copied();
        if let Some((offered, version)) = known {
            return Ok(Some((speaks, offered, version)));
        }
        let request = RequestId::of_operation();
        let asked = Asked { path: Path::Root, ..Asked::get(service, request) };
        let mut read = None;
        let told = |answer: &Answer| {
            // A service without microversions has a document, too; garbage has none.
            serde_json::from_slice::<serde::de::IgnoredAny>(&answer.body)
                .map_err(|error| error.to_string())?;
            read = Some(Offered::read(&answer.body));
            Ok(())
        };
        let mut told = told;
        self.ask(asked, limits, &mut told).await?;
        let Some(offered) = read.flatten() else {
            return Err(mismatch(service, "no microversions", speaks.needs, speaks.knows));
        };
        let Some(version) = offered.choose(speaks.needs, speaks.knows) else {
            return Err(mismatch(service, &offered.to_string(), speaks.needs, speaks.knows));
        };
        self.versions().insert(service, (offered, version));
        Ok(Some((speaks, offered, version)))
    }

    /// Asks with all tries; `read` takes the answer in.
    pub(super) async fn ask(
        &self,
        asked: Asked,
        limits: Limits,
        read: &mut (dyn FnMut(&Answer) -> Result<(), String> + Send),
    ) -> Result<Answer, ApiError> {
        let service = asked.service;
        let plan = Plan {
            kind: asked.kind,
            service,
            call: format!("{} {}", asked.method, asked.path),
            request: asked.request.clone(),
            limits,
        };
        let (call, request, kind) = (plan.call.clone(), asked.request.clone(), asked.kind);
        let began = Instant::now();
        let one = Authorised { client: &self.inner, asked, limits, logged_in_again: false };
        let answer = repeat(plan, one, read).await;
        // Errors are logged by who handles them.
        if let Ok(Answer { status, .. }) = &answer {
            let duration_ms = began.elapsed().as_millis();
            if kind == Kind::Read {
                debug!(call, %service, status, duration_ms, request.id = %request, "Asked the cloud");
            } else {
                info!(call, %service, status, duration_ms, request.id = %request, "Told the cloud");
            }
        }
        if answer.as_ref().is_err_and(|error| error.status() == Some(406)) {
            // It was upgraded or put back while we knew its versions.
            self.versions().remove(&service);
        }
        answer
    }

    fn versions(&self) -> MutexGuard<'_, BTreeMap<Service, (Offered, Microversion)>> {
        // Nothing panics while it is held; what it holds is whole at any time.
        self.inner.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Beyond this machine without TLS.
fn in_the_clear(address: &Url) -> bool {
    let here = match address.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    address.scheme() != "https" && !here
}

fn mismatch(service: Service, has: &str, needs: Microversion, knows: Microversion) -> ApiError {
    ApiError::new(Trouble::Versions { has: has.to_owned(), needs, knows }).of(service)
}

/// One question to a service.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) kind: Kind,
    pub(super) service: Service,
    pub(super) path: Path,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
    pub(super) request: RequestId,
}

#[derive(Debug)]
pub(super) enum Path {
    /// Where the service tells of its versions.
    Root,
    Below(String),
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => f.write_str("/"),
            Self::Below(path) => f.write_str(path),
        }
    }
}

impl Asked {
    fn get(service: Service, request: RequestId) -> Self {
        Self {
            method: Method::GET,
            kind: Kind::Read,
            service,
            path: Path::Root,
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            request,
        }
    }
}

/// One try with a good token; a token that is refused is exchanged for a new one, once.
struct Authorised<'a> {
    client: &'a Inner,
    asked: Asked,
    limits: Limits,
    logged_in_again: bool,
}

impl Try for Authorised<'_> {
    async fn once(&mut self, limit: Duration) -> Result<Result<Answer, Missed>, ApiError> {
        let until = Instant::now() + limit;
        loop {
            let token = self.client.tokens.token(&self.client.http, self.limits).await?;
            let question = self.question(&token)?;
            let left = until.saturating_duration_since(Instant::now());
            let Ok(Ok(_turn)) = timeout(left, self.client.calls.acquire()).await else {
                return Ok(Err(Missed::Unsent("too many calls wait for their turn".to_owned())));
            };
            let left = until.saturating_duration_since(Instant::now());
            let answer = match self.client.http.once(&question, left).await {
                Ok(answer) if self.is_unauthorised(&answer, &token) => answer,
                seen => return Ok(seen),
            };
            let stale = self.client.tokens.reject(&token) && !self.logged_in_again;
            if !stale {
                return Err(not_accepted(self.asked.service, Said::read(&answer.body)));
            }
            self.logged_in_again = true;
        }
    }
}

impl Authorised<'_> {
    fn is_unauthorised(&self, answer: &Answer, token: &Token) -> bool {
        let gone = || token.access.login.is_missed_in(&Said::read(&answer.body).message);
        match answer.status {
            401 => true,
            404 => self.asked.service == Service::Identity && gone(),
            _ => false,
        }
    }

    fn question(&self, token: &Token) -> Result<Question, ApiError> {
        let asked = &self.asked;
        let base = token.catalog.base(asked.service, &token.access)?;
        let mut url = match &asked.path {
            Path::Root => catalog::root(&base),
            Path::Below(path) => {
                let mut url = base.clone();
                url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
                url
            }
        };
        if !asked.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&asked.query);
        }
        let mut headers = asked.headers.clone();
        headers.insert("x-auth-token", token.value.clone());
        if let Ok(value) = HeaderValue::from_str(asked.request.as_str()) {
            headers.insert("x-openstack-request-id", value);
        }
        headers.insert("accept", HeaderValue::from_static("application/json"));
        Ok(Question { method: asked.method.clone(), url, headers, body: asked.body.clone() })
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::in_the_clear;

    #[test]
    fn credentials_in_the_clear_are_warned_of_unless_they_stay_here() {
        let clear = |text: &str| in_the_clear(&Url::parse(text).unwrap());
        assert!(!clear("https://keystone.example/v3"));
        assert!(!clear("http://127.0.0.1:5000/v3"));
        assert!(!clear("http://[::1]:5000/v3"));
        assert!(!clear("http://localhost:5000/v3"));
        assert!(clear("http://keystone.example/v3"));
        assert!(clear("http://10.0.0.1/v3"));
    }
}

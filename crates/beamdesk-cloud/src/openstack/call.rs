//! One call to a service, as it is put together.

use std::{fmt::Display, time::Duration};

use beamdesk_types::Secret;
use bytes::Bytes;
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::{
    Serialize,
    de::{DeserializeOwned, IgnoredAny},
};

use super::{
    ApiError, Client, Microversion, Service, Trouble,
    client::{Asked, Path},
    http::Answer,
    retry::Kind,
};
use crate::RequestId;

/// Ends with [`send`](Self::send), [`done`](Self::done), [`found`](Self::found) or
/// [`gone`](Self::gone).
///
/// What is repeated after which failure is told by the method: reads after all that passes, `PUT`
/// and `DELETE` as well, `POST` and `PATCH` only when they were surely not carried out, unless
/// [`safe_to_repeat`](Self::safe_to_repeat). All carry the [`RequestId`] of the operation.
#[derive(Debug)]
#[must_use = "a call does nothing until it is sent"]
pub struct Call<'a> {
    client: &'a Client,
    method: Method,
    service: Service,
    path: String,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Option<Result<Bytes, String>>,
    version: Option<Microversion>,
    harmless: bool,
    deadline: Option<Duration>,
    request: Option<RequestId>,
}

impl<'a> Call<'a> {
    pub(super) fn new(client: &'a Client, method: Method, service: Service, path: String) -> Self {
        Self {
            client,
            method,
            service,
            path,
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
            version: None,
            harmless: false,
            deadline: None,
            request: None,
        }
    }

    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        self.query.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn json(mut self, body: &impl Serialize) -> Self {
        self.body = Some(serde_json::to_vec(body).map(Bytes::from).map_err(|e| e.to_string()));
        self.headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        self
    }

    pub fn bytes(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = Some(Ok(body.into()));
        self.content_type(content_type)
    }

    /// Instead of `application/json`, for Glance's patches.
    pub fn content_type(mut self, content_type: &'static str) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        self
    }

    /// A header whose value is not printed, as `X-Subject-Token`.
    pub fn secret_header(mut self, name: &'static str, value: &Secret) -> Self {
        match HeaderValue::from_str(value.expose()) {
            Ok(mut value) => {
                value.set_sensitive(true);
                self.headers.insert(HeaderName::from_static(name), value);
            }
            Err(_) => self.body = Some(Err(format!("{name} is no header"))),
        }
        self
    }

    /// In this microversion, and not in the highest that both speak.
    pub fn version(mut self, version: Microversion) -> Self {
        self.version = Some(version);
        self
    }

    /// Carrying it out twice does no harm.
    pub fn safe_to_repeat(mut self) -> Self {
        self.harmless = true;
        self
    }

    /// Over all tries and waits.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    pub(super) fn request(mut self, request: RequestId) -> Self {
        self.request = Some(request);
        self
    }

    /// The answer, read.
    pub async fn send<T: DeserializeOwned + Send>(self) -> Result<T, ApiError> {
        let mut read = None;
        let service = self.service;
        self.run(&mut |answer| {
            read = Some(serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?);
            Ok(())
        })
        .await?;
        read.ok_or_else(|| ApiError::new(Trouble::Garbage("empty".to_owned())).of(service))
    }

    /// Without looking at the answer, but for whether it is one.
    pub async fn done(self) -> Result<(), ApiError> {
        self.run(&mut |answer| {
            if answer.body.is_empty() {
                return Ok(());
            }
            let any = serde_json::from_slice::<IgnoredAny>(&answer.body);
            any.map(drop).map_err(|error| error.to_string())
        })
        .await?;
        Ok(())
    }

    /// The answer, or `None` for a 404.
    pub async fn found<T: DeserializeOwned + Send>(self) -> Result<Option<T>, ApiError> {
        match self.send().await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// For removing: false if there was nothing any more. A removal that was repeated after a
    /// lost answer finds nothing, too.
    pub async fn gone(self) -> Result<bool, ApiError> {
        match self.done().await {
            Ok(()) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn run(
        self,
        read: &mut (dyn FnMut(&Answer) -> Result<(), String> + Send),
    ) -> Result<Answer, ApiError> {
        let request = self.request.unwrap_or_else(RequestId::of_operation);
        let service = self.service;
        let told = |error: ApiError| {
            error.of(service).call(format!("{} {}", self.method, self.path), request.clone())
        };
        let question = |why: &str| Err(told(ApiError::new(Trouble::Question(why.to_owned()))));
        if !well_formed(&self.path) {
            return question("its path must begin with / and have no .., ? or #");
        }
        let body = match self.body {
            Some(Ok(body)) => Some(body),
            Some(Err(why)) => return question(&why),
            None => None,
        };
        let limits = self.client.limits(self.deadline);
        let header = self.client.version_header(service, self.version, limits).await;
        let mut headers = self.headers;
        if let Some((name, value)) = header.map_err(told)? {
            headers.insert(name, value);
        }
        let asked = Asked {
            kind: kind(&self.method, self.harmless),
            method: self.method,
            service,
            path: Path::Below(self.path),
            query: self.query,
            headers,
            body,
            request,
        };
        self.client.ask(asked, limits, read).await
    }
}

/// RFC 9110, 9.2.2; `PATCH` is not idempotent (RFC 5789).
fn kind(method: &Method, harmless: bool) -> Kind {
    if matches!(*method, Method::GET | Method::HEAD) {
        Kind::Read
    } else if harmless || matches!(*method, Method::PUT | Method::DELETE) {
        Kind::Repeatable
    } else {
        Kind::Once
    }
}

/// Ids and names come from elsewhere: one that is no single part of a path must not make another.
fn well_formed(path: &str) -> bool {
    path.starts_with('/')
        && !path.contains(['?', '#', '\\'])
        && !path.contains("//")
        && path.chars().all(|c| !c.is_control())
        && path.split('/').all(|part| !matches!(part, "." | ".."))
        && !path.to_ascii_lowercase().contains("%2")
}

#[cfg(test)]
mod tests {
    use reqwest::Method;

    use super::{Kind, kind, well_formed};

    #[test]
    fn what_may_be_repeated_is_told_by_the_method() {
        assert_eq!(kind(&Method::GET, false), Kind::Read);
        assert_eq!(kind(&Method::PUT, false), Kind::Repeatable);
        assert_eq!(kind(&Method::DELETE, false), Kind::Repeatable);
        assert_eq!(kind(&Method::POST, false), Kind::Once);
        assert_eq!(kind(&Method::PATCH, false), Kind::Once);
        assert_eq!(kind(&Method::POST, true), Kind::Repeatable);
    }

    #[test]
    fn a_path_stays_below_its_service() {
        for good in ["/servers", "/servers/0-a/action", "/metadefs/namespaces/OS::Compute::X"] {
            assert!(well_formed(good), "{good}");
        }
        for bad in [
            "",
            "servers",
            "/servers/../flavors",
            "/servers//x",
            "/servers?x=1",
            "/a#b",
            "/a\\b",
            "/a/%2e%2e/b",
            "/a%2Fb",
            "/a\n",
            "/.",
            "//host/x",
        ] {
            assert!(!well_formed(bad), "{bad}");
        }
    }
}

//! Whose pages may call: an exact list from configuration, and requests no foreign page can make.

use std::sync::Arc;

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};

use crate::HttpError;

/// Sent by our own pages; a foreign page cannot add it without asking first, which is refused.
pub const X_BEAMDESK: HeaderName = HeaderName::from_static("x-beamdesk");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// More would be a mistake in the configuration; the list is searched for each request.
const ORIGINS_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginsError {
    #[error("not an origin as browsers write it, like https://desk.example.org: {0:?}")]
    NotAnOrigin(String),
    #[error("more than {ORIGINS_MAX} origins")]
    TooMany,
}

/// Origins whose pages are ours, compared byte by byte with what the browser sends. SR-15.
#[derive(Debug, Clone, Default)]
pub struct Origins(Arc<[String]>);

impl Origins {
    /// Takes each only in the form a browser sends: lower case, no default port, no path.
    pub fn new<I>(origins: I) -> Result<Self, OriginsError>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let list: Vec<String> = origins.into_iter().map(Into::into).collect();
        if list.len() > ORIGINS_MAX {
            return Err(OriginsError::TooMany);
        }
        for origin in &list {
            if !is_origin(origin) {
                return Err(OriginsError::NotAnOrigin(origin.clone()));
            }
        }
        Ok(Self(list.into()))
    }

    /// The one `Origin` of a request, when it is listed.
    pub fn check<'a>(&'a self, headers: &HeaderMap) -> Option<&'a str> {
        let sent = only(headers, &header::ORIGIN)?;
        self.0.iter().find(|origin| origin.as_bytes() == sent.as_bytes()).map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Refuses requests that change something unless they come from our own pages. SR-23.
///
/// They need the header [`X_BEAMDESK`] `: 1`, JSON when they have a body, `Sec-Fetch-Site`
/// `same-origin` or `none` when present, and a listed `Origin` when present.
pub fn require_same_origin<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    origins: &Origins,
) -> Router<S> {
    let origins = origins.clone();
    router.layer(middleware::from_fn(move |request, next| checked(origins.clone(), request, next)))
}

async fn checked(origins: Origins, request: Request, next: Next) -> Response {
    match same_origin(request.method(), request.headers(), &origins) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// The rule of [`require_same_origin`] for one request.
pub fn same_origin(
    method: &Method,
    headers: &HeaderMap,
    origins: &Origins,
) -> Result<(), HttpError> {
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let foreign =
        || HttpError::forbidden("cross_origin", "only the project's own pages may do this");
    if only(headers, &X_BEAMDESK).is_none_or(|value| value != "1") {
        return Err(foreign());
    }
    if headers.contains_key(SEC_FETCH_SITE) {
        let site = only(headers, &SEC_FETCH_SITE);
        if site.is_none_or(|site| site != "same-origin" && site != "none") {
            return Err(foreign());
        }
    }
    if headers.contains_key(header::ORIGIN) && origins.check(headers).is_none() {
        return Err(foreign());
    }
    if has_body(headers) && !is_json(headers) {
        return Err(HttpError::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    Ok(())
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes);
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.contains_key(header::CONTENT_TYPE)
        || length.is_some_and(|length| length != b"0")
}

/// `application/json` alone, or with a character set of UTF-8.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = only(headers, &header::CONTENT_TYPE).and_then(|v| v.to_str().ok()) else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    essence.eq_ignore_ascii_case("application/json")
        && parts.all(|parameter| parameter.eq_ignore_ascii_case("charset=utf-8"))
}

/// The value of a header that came exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// `scheme "://" host [":" port]` in the one spelling that browsers send.
fn is_origin(text: &str) -> bool {
    let (rest, default_port) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (rest, "443"),
        (None, Some(rest)) => (rest, "80"),
        (None, None) => return false,
    };
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, after)) => {
            let is_v6 = v6.parse::<std::net::Ipv6Addr>().is_ok_and(|ip| ip.to_string() == v6);
            let port = if after.is_empty() { None } else { after.strip_prefix(':') };
            if !is_v6 || (!after.is_empty() && port.is_none()) {
                return false;
            }
            ("v6", port)
        }
        None => match rest.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        },
    };
    let is_host_char = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b".-_".contains(&c);
    let host_ok = !host.is_empty() && host.bytes().all(is_host_char);
    let port_ok = port.is_none_or(|port| {
        port != default_port && port.parse::<u16>().is_ok_and(|n| n > 0 && n.to_string() == port)
    });
    host_ok && port_ok
}

#[cfg(test)]
mod tests {
    use super::Origins;

    #[test]
    fn only_origins_as_browsers_write_them_are_configured() {
        for good in [
            "https://desk.example.org",
            "https://desk.example.org:8443",
            "http://localhost:8080",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "https://[2001:db8::1]",
        ] {
            assert!(Origins::new([good]).is_ok(), "{good}");
        }
        for bad in [
            "",
            "null",
            "*",
            "desk.example.org",
            "https://",
            "https://desk.example.org/",
            "https://Desk.example.org",
            "https://desk.example.org:443",
            "http://localhost:80",
            "https://a:b",
            "https://a:0",
            "https://a:080",
            "https://user@a",
            "https://a b",
            "wss://a",
            "https://[::0001]",
            "https://[::1]x",
            "https://*.example.org",
            "https://a?b",
        ] {
            assert!(Origins::new([bad]).is_err(), "{bad}");
        }
    }
}

//! Reads and writes cookies.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};

/// Of one request; a browser keeps fewer for a site.
const COOKIES_MAX: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    Strict,
    Lax,
}

/// A cookie to be set: always `Secure`, always for the whole host.
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie<'a> {
    /// `__Host-…` wherever no domain is needed, `__Secure-…` otherwise.
    pub name: &'a str,
    pub value: &'a str,
    /// Kept from scripts. Only what is no secret may say `false`.
    pub http_only: bool,
    pub same_site: SameSite,
    /// `None`: until the browser ends.
    pub max_age: Option<Duration>,
    /// Only for a cookie shared by hosts of one site.
    pub domain: Option<&'a str>,
}

impl<'a> Cookie<'a> {
    /// `HttpOnly`, `SameSite=Strict`, for this host and until the browser ends.
    pub fn new(name: &'a str, value: &'a str) -> Self {
        Self {
            name,
            value,
            http_only: true,
            same_site: SameSite::Strict,
            max_age: None,
            domain: None,
        }
    }

    /// The same cookie, taken back.
    #[must_use]
    pub fn removed(self) -> Self {
        Self { value: "", max_age: Some(Duration::ZERO), ..self }
    }

    /// For a `Set-Cookie` header. `None`: name, value or domain hold what a cookie cannot.
    pub fn header(&self) -> Option<HeaderValue> {
        let is_plain = |text: &str| text.bytes().all(is_cookie_byte);
        let domain_ok = self.domain.is_none_or(|domain| {
            !self.name.starts_with("__Host-")
                && !domain.is_empty()
                && domain.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'.' || c == b'-')
        });
        if self.name.is_empty() || !is_plain(self.name) || !is_plain(self.value) || !domain_ok {
            return None;
        }
        let mut text = format!("{}={}; Path=/; Secure", self.name, self.value);
        if self.http_only {
            text.push_str("; HttpOnly");
        }
        text.push_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
        });
        if let Some(max_age) = self.max_age {
            text.push_str(&format!("; Max-Age={}", max_age.as_secs()));
        }
        if let Some(domain) = self.domain {
            text.push_str("; Domain=");
            text.push_str(domain);
        }
        HeaderValue::from_str(&text).ok()
    }
}

impl std::fmt::Debug for Cookie<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cookie").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The value of the cookie with this name.
///
/// `None` too when there are several: another host of the site may have planted the second.
pub fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).take(COOKIES_MAX);
    let mut found = None;
    for pair in pairs {
        let Some((key, value)) = pair.trim_matches(' ').split_once('=') else { continue };
        if key == name && found.replace(value).is_some() {
            return None;
        }
    }
    found
}

/// RFC 6265, 4.1.1: `cookie-octet`, narrowed by `=` in neither name nor value.
fn is_cookie_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\' | b'=')
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{Cookie, SameSite, value};

    fn headers(lines: &[&'static str]) -> HeaderMap {
        let values = lines.iter().map(|line| (header::COOKIE, HeaderValue::from_static(line)));
        values.collect()
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let sent = headers(&["a=1; __Host-sid=x.y; b=2", "c=3"]);
        assert_eq!(value(&sent, "__Host-sid"), Some("x.y"));
        assert_eq!(value(&sent, "c"), Some("3"));
        assert_eq!(value(&sent, "sid"), None);
        assert_eq!(value(&sent, ""), None);
    }

    #[test]
    fn two_cookies_of_one_name_are_none() {
        assert_eq!(value(&headers(&["a=1; a=2"]), "a"), None);
        assert_eq!(value(&headers(&["a=1", "a=1"]), "a"), None);
    }

    #[test]
    fn attributes_are_written_and_injection_is_refused() {
        let cookie = Cookie::new("__Host-gws", "abc");
        let text = cookie.header().unwrap();
        assert_eq!(text, "__Host-gws=abc; Path=/; Secure; HttpOnly; SameSite=Strict");
        let bind = Cookie {
            same_site: SameSite::Lax,
            domain: Some("example.org"),
            ..Cookie::new("__Secure-bind", "v")
        };
        let text = "__Secure-bind=v; Path=/; Secure; HttpOnly; SameSite=Lax; Domain=example.org";
        assert_eq!(bind.header().unwrap(), text);
        assert!(
            cookie.clone().removed().header().unwrap().to_str().unwrap().ends_with("Max-Age=0")
        );
        for bad in ["a;b", "a b", "a\r\nb", "a,b", "\"a\"", "ä"] {
            assert!(Cookie::new("n", bad).header().is_none(), "{bad:?}");
            assert!(Cookie::new(bad, "v").header().is_none(), "{bad:?}");
        }
        let domain = Some("example.org");
        assert!(Cookie { domain, ..Cookie::new("__Host-x", "v") }.header().is_none());
    }
}

//! SR-23, the rule itself.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use beamdesk_http::{Origins, origin::same_origin};

fn status(method: &Method, headers: &[(&'static str, &'static str)]) -> u16 {
    let origins = Origins::new(["https://portal.example.org"]).unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    same_origin(method, &map, &origins).map_or_else(|error| error.status.as_u16(), |()| 200)
}

#[test]
fn simple_requests() {
    let ours = ("x-beamdesk", "1");
    let json = ("content-type", "application/json");
    let length = ("content-length", "2");
    for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        for (headers, expected) in [
            (vec![], 403),
            (vec![json, length], 403),
            (vec![("x-beamdesk", "true")], 403),
            (vec![ours], 200),
            (vec![ours, json, length], 200),
            (vec![ours, ("content-type", "Application/JSON; Charset=UTF-8"), length], 200),
            (vec![ours, length], 415),
            (vec![ours, ("content-length", "0")], 200),
            (vec![ours, ("transfer-encoding", "chunked")], 415),
            (vec![ours, ("content-type", "text/plain"), length], 415),
            (vec![ours, ("content-type", "text/plain")], 415),
            (vec![ours, ("content-type", "application/jsonx"), length], 415),
            (vec![ours, ("content-type", "text/plain; application/json"), length], 415),
            (vec![ours, json, json, length], 415),
            (vec![ours, ("sec-fetch-site", "same-origin")], 200),
            (vec![ours, ("sec-fetch-site", "none")], 200),
            (vec![ours, ("sec-fetch-site", "same-site")], 403),
            (vec![ours, ("sec-fetch-site", "cross-site")], 403),
            (vec![ours, ("sec-fetch-site", "Same-Origin")], 403),
            (vec![ours, ("origin", "https://portal.example.org")], 200),
            (vec![ours, ("origin", "https://PORTAL.example.org")], 403),
            (vec![ours, ("origin", "https://portal.example.org:443")], 403),
            (vec![ours, ("origin", "http://portal.example.org")], 403),
            (vec![ours, ("origin", "null")], 403),
            (vec![ours, ("origin", "")], 403),
        ] {
            assert_eq!(status(&method, &headers), expected, "{method} {headers:?}");
        }
    }
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(status(&method, &[("origin", "https://evil.org")]), 200, "reads change nothing");
    }
}

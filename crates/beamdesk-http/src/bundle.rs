//! The built web pages, inside the program. A debug build reads them from `web/dist` each time.

use std::borrow::Cow;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
#[allow_missing = true]
struct Dist;

/// Names under it hold a hash of the content, so a copy never grows old.
const HASHED: &str = "assets/";
const FOREVER: &str = "public, max-age=31536000, immutable";
/// May be kept, but is asked about each time.
const REVALIDATE: &str = "no-cache";

/// Whether there are pages at all: a build without the web tools has none.
pub fn is_built() -> bool {
    Dist::get("index.html").is_some()
}

/// A file by its path in the address, with or without the first `/`. `None`: there is no such.
///
/// Pages are no files: [`page`] serves them where they belong.
pub fn asset(path: &str, request: &HeaderMap) -> Option<Response> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let is_hidden = path.split('/').any(|segment| segment.is_empty() || segment.starts_with('.'));
    if is_hidden || path.ends_with(".html") {
        return None;
    }
    let file = Dist::get(path)?;
    Some(answer(path, file.data, file.metadata.sha256_hash(), request))
}

/// A page of the bundle, `index.html` or `viewer.html`.
pub fn page(name: &str, request: &HeaderMap) -> Response {
    match Dist::get(name) {
        Some(file) => answer(name, file.data, file.metadata.sha256_hash(), request),
        None => not_built(),
    }
}

fn answer(
    path: &str,
    content: Cow<'static, [u8]>,
    hash: [u8; 32],
    request: &HeaderMap,
) -> Response {
    let [tag @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash;
    let tag = format!("\"{}\"", hex::encode(tag));
    let is_held = request
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|held| held.trim().trim_start_matches("W/") == tag);
    let mut response = Response::new(if is_held {
        Body::empty()
    } else {
        Body::from(match content {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        })
    });
    if is_held {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let cache = if path.starts_with(HASHED) { FOREVER } else { REVALIDATE };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type(path)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(
        header::ETAG,
        HeaderValue::from_str(&tag).expect("quoted digits are a header value"),
    );
    response
}

fn not_built() -> Response {
    const PAGE: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
        <title>Beamdesk</title><h1>The pages are not built</h1>\
        <p>This program was built without its web pages. \
        Run <code>cargo xtask up</code>, or <code>npm run build</code> in <code>web</code> and \
        build it again.</p></html>";
    let mut response = Response::new(Body::from(PAGE));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let html = HeaderValue::from_static(media_type(".html"));
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response
}

/// The few kinds our build makes; anything else is only bytes.
fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

    use super::{answer, asset};

    #[test]
    fn hashed_files_are_kept_forever_and_pages_are_asked_about() {
        let request = HeaderMap::new();
        let script = answer("assets/app-1.js", b"x".as_slice().into(), [1; 32], &request);
        let cache = &script.headers()[header::CACHE_CONTROL];
        assert_eq!(cache, "public, max-age=31536000, immutable");
        assert_eq!(script.headers()[header::CONTENT_TYPE], "text/javascript; charset=utf-8");
        let page = answer("index.html", b"x".as_slice().into(), [1; 32], &request);
        assert_eq!(page.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(page.status(), StatusCode::OK);
    }

    #[test]
    fn a_held_copy_is_not_sent_again() {
        let first = answer("index.html", b"x".as_slice().into(), [1; 32], &HeaderMap::new());
        let tag = first.headers()[header::ETAG].clone();
        let request = HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)]);
        let again = answer("index.html", b"x".as_slice().into(), [1; 32], &request);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let newer = answer("index.html", b"y".as_slice().into(), [2; 32], &request);
        assert_eq!(newer.status(), StatusCode::OK);
        let other =
            HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static("\"\""))]);
        let sent = answer("index.html", b"x".as_slice().into(), [1; 32], &other);
        assert_eq!(sent.status(), StatusCode::OK);
    }

    #[test]
    fn nothing_outside_the_bundle_is_served() {
        let none = HeaderMap::new();
        for path in ["/../Cargo.toml", "../package.json", "//etc/passwd", "/.keep", "/viewer.html"]
        {
            assert!(asset(path, &none).is_none(), "{path}");
        }
    }
}

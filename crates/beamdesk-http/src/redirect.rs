//! Redirects inside our own pages only. SR-19.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

const PATH_BYTES_MAX: usize = 512;

/// 303 to a path of this host. `None`: the path could lead elsewhere.
pub fn see_other(path: &str) -> Option<Response> {
    if !is_internal(path) {
        return None;
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_str(path).ok()?);
    Some(response)
}

/// `/` and segments of plain characters: nothing a browser would normalise into something else.
pub fn is_internal(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    path.len() <= PATH_BYTES_MAX
        && (rest.is_empty()
            || rest.split('/').all(|segment| {
                !segment.is_empty() && !segment.starts_with('.') && segment.bytes().all(is_plain)
            }))
}

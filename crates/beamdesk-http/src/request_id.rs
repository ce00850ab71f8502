//! An id for each request: in its log span, its answer and its error body.

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use tracing::{Instrument as _, debug, info_span};

use crate::HttpError;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Made here and never taken from outside, so that nobody writes into our logs by it.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    fn fresh() -> Self {
        Self(uuid::Uuid::now_v7().simple().to_string().into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The id of the request being handled by this task.
pub fn current() -> Option<RequestId> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Gives each request an id and a span, and each error answer a JSON body.
///
/// Put it outside all other layers, so that their refusals have an id too.
pub fn request_ids<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(middleware::from_fn(with_id))
}

async fn with_id(request: Request, next: Next) -> Response {
    let id = RequestId::fresh();
    // The path only: a query may hold what must not be logged.
    let span =
        info_span!("request", id = %id, method = %request.method(), path = request.uri().path());
    let handled = CURRENT.scope(id.clone(), async move {
        let response = next.run(request).await;
        debug!(status = response.status().as_u16(), "Answered");
        if is_bare_error(&response) { in_json(response) } else { response }
    });
    let mut response = handled.instrument(span).await;
    let value = HeaderValue::from_str(id.as_str()).expect("hexadecimal digits are a header value");
    response.headers_mut().insert(X_REQUEST_ID, value);
    response
}

/// Whether the framework answered by itself: an error that is neither ours nor a page.
fn is_bare_error(response: &Response) -> bool {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    is_error && !has_made_body(response.headers())
}

fn has_made_body(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|c| c.starts_with(b"application/json") || c.starts_with(b"text/html"))
}

/// The same answer, its headers included, with a body of ours.
fn in_json(response: Response) -> Response {
    let (mut parts, _body) = response.into_parts();
    let (made, body) = HttpError::of_status(parts.status).into_response().into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(made.headers);
    Response::from_parts(parts, body)
}

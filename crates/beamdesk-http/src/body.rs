//! Bounds on request bodies: how long, and how slow.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    BoxError, Router,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use hyper::body::{Frame, SizeHint};
use tokio::time::Sleep;

use crate::HttpError;

/// The largest JSON we take is a list of some hundred ids.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// From the end of the header to the end of the body, over the slowest line we mean to serve.
const BODY_TIME_MAX: Duration = Duration::from_secs(20);

/// Why a body was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("the body is too long")]
    TooLong,
    #[error("the body came too slowly")]
    TooSlow,
}

impl BodyError {
    pub fn http(self) -> HttpError {
        match self {
            Self::TooLong => HttpError::of_status(StatusCode::PAYLOAD_TOO_LARGE),
            Self::TooSlow => HttpError::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_too_slow",
                "the request took too long to arrive",
            ),
        }
    }
}

/// Answers 413 at once when the length says too much, and cuts a body off that says nothing.
pub fn limit_bodies<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    bytes_max: usize,
) -> Router<S> {
    // Ours counts before axum's would.
    let router = router.layer(axum::extract::DefaultBodyLimit::disable());
    router.layer(middleware::from_fn(move |request, next| limited(bytes_max, request, next)))
}

/// Reads a whole body.
pub async fn read(body: Body, bytes_max: usize) -> Result<Bytes, HttpError> {
    match axum::body::to_bytes(body, bytes_max).await {
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(match cause_of(&error) {
            Some(cause) => cause.http(),
            // Either longer than `bytes_max` or broken off; nobody reads the second answer.
            None => BodyError::TooLong.http(),
        }),
    }
}

async fn limited(bytes_max: usize, request: Request, next: Next) -> Response {
    if declared(request.headers()).is_some_and(|length| length > u64_of(bytes_max)) {
        let close = HeaderValue::from_static("close");
        return BodyError::TooLong.http().with_header(header::CONNECTION, close).into_response();
    }
    let deadline = Box::pin(tokio::time::sleep(BODY_TIME_MAX));
    let request =
        request.map(|inner| Body::new(BoundedBody { inner, left: u64_of(bytes_max), deadline }));
    next.run(request).await
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn u64_of(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn cause_of(error: &(dyn std::error::Error + 'static)) -> Option<BodyError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(cause) = error.downcast_ref::<BodyError>() {
            return Some(*cause);
        }
        next = error.source();
    }
    None
}

struct BoundedBody {
    inner: Body,
    left: u64,
    deadline: Pin<Box<Sleep>>,
}

impl HttpBody for BoundedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let late = self.deadline.as_mut().poll(cx).is_ready();
                return if late {
                    Poll::Ready(Some(Err(BodyError::TooSlow.into())))
                } else {
                    Poll::Pending
                };
            }
        };
        match frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| u64_of(data.len()));
                match self.left.checked_sub(length) {
                    Some(left) => {
                        self.left = left;
                        Poll::Ready(Some(Ok(frame)))
                    }
                    None => Poll::Ready(Some(Err(BodyError::TooLong.into()))),
                }
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, extract::Request, http::StatusCode, routing::post};
    use futures_util::{StreamExt as _, stream};
    use tokio::time::Instant;
    use tower::ServiceExt as _;

    use super::{BODY_TIME_MAX, limit_bodies, read};

    /// Answers with what a handler sees that reads all it can get.
    async fn status_of(body: Body) -> StatusCode {
        let all = |body: Body| async {
            read(body, usize::MAX).await.map(|bytes| bytes.len().to_string())
        };
        let router = limit_bodies(Router::new().route("/", post(all)), 10);
        let request = Request::post("/").body(body).unwrap();
        router.oneshot(request).await.unwrap().status()
    }

    fn pieces(pieces: &'static [&'static str]) -> Body {
        Body::from_stream(stream::iter(pieces).map(|piece| Ok::<_, std::io::Error>(*piece)))
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_is_cut_at_the_bound() {
        assert_eq!(status_of(pieces(&["01234", "56789"])).await, StatusCode::OK);
        assert_eq!(
            status_of(pieces(&["01234", "56789", "x"])).await,
            StatusCode::PAYLOAD_TOO_LARGE
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_cut_in_time() {
        let begun = Instant::now();
        let first = stream::iter([Ok::<_, std::io::Error>("0")]);
        let silent = Body::from_stream(first.chain(stream::pending()));
        assert_eq!(status_of(silent).await, StatusCode::REQUEST_TIMEOUT);
        assert!(begun.elapsed() >= BODY_TIME_MAX && begun.elapsed() < BODY_TIME_MAX * 2);
    }
}

//! JSON in and out, with refusals as [`HttpError`].

use axum::{
    extract::{FromRequest, Request},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Serialize, de::DeserializeOwned};
use tracing::error;

use crate::{BODY_BYTES_MAX, HttpError, body, origin};

/// Like `axum::Json`, but every refusal is an [`HttpError`] that does not repeat what was sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, HttpError> {
        if !origin::is_json(request.headers()) {
            return Err(HttpError::of_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let bytes = body::read(request.into_body(), BODY_BYTES_MAX).await?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self(value)),
            // Only the place: serde's text may quote a value, which may be a password.
            Err(error) => Err(HttpError::bad_request(
                "bad_json",
                format!("not the expected JSON, line {} column {}", error.line(), error.column()),
            )),
        }
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => {
                ([(axum::http::header::CONTENT_TYPE, "application/json")], bytes).into_response()
            }
            Err(error) => {
                error!(%error, "Could not write an answer as JSON");
                HttpError::internal().into_response()
            }
        }
    }
}

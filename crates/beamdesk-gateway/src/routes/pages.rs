//! The viewer's page and its files.

use axum::{
    extract::{Path, State},
    http::{HeaderMap, Method, Uri},
    response::{IntoResponse as _, Response},
};
use beamdesk_http::{HttpError, bundle};
use beamdesk_types::{DesktopId, RecordingId};
use tracing::debug;

use crate::state::Gateway;

/// The same page for every desktop: what it may show, the attach decides.
pub(super) async fn viewer(
    Path(desktop): Path<String>,
    request: HeaderMap,
) -> Result<Response, HttpError> {
    let _: DesktopId = desktop.parse().map_err(|_| HttpError::not_found())?;
    Ok(bundle::page("viewer.html", &request))
}

/// The same page for every recording: what it may play, the file's route decides.
pub(super) async fn player(
    Path(recording): Path<String>,
    request: HeaderMap,
) -> Result<Response, HttpError> {
    let _: RecordingId = recording.parse().map_err(|_| HttpError::not_found())?;
    Ok(bundle::page("player.html", &request))
}

pub(super) async fn asset(
    State(gateway): State<Gateway>,
    method: Method,
    address: Uri,
    request: HeaderMap,
) -> Response {
    let is_read = matches!(method, Method::GET | Method::HEAD);
    let file = if is_read { bundle::asset(address.path(), &request) } else { None };
    file.unwrap_or_else(|| {
        debug!(gateway.name = %gateway.name, path = address.path(), "No such file");
        HttpError::not_found().into_response()
    })
}

/// Says only that the process serves.
pub(super) async fn health() -> &'static str {
    "ok\n"
}

/// For load balancers: whether to send anybody here.
pub(super) async fn ready(State(gateway): State<Gateway>) -> Result<&'static str, HttpError> {
    if gateway.is_draining() { Err(HttpError::unavailable()) } else { Ok("ok\n") }
}

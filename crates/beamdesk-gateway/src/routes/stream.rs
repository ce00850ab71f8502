//! `GET /d/{desktop}/stream`: from the upgrade to the first message, then the relay takes over.

use axum::{
    Extension,
    extract::{Path, State, WebSocketUpgrade, ws::WebSocket},
    http::HeaderMap,
    response::Response,
};
use beamdesk_http::{HttpError, server::Place};
use beamdesk_proto::wire::{DOWN_BYTES_MAX, UP_BYTES_MAX};
use beamdesk_types::DesktopId;
use tokio::time::Instant;
use tracing::{Instrument as _, info_span};

use super::cookie;
use crate::{relay, state::Gateway};

/// Enough for one read of a busy socket, and small before anybody has proved anything.
const READ_BUFFER_BYTES: usize = 16 << 10;

/// Without a listed `Origin`, and a cookie that an attach is waiting for, there is no upgrade.
pub(super) async fn stream(
    State(gateway): State<Gateway>,
    Path(desktop): Path<String>,
    place: Option<Extension<Place>>,
    request: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, HttpError> {
    let refused = || HttpError::forbidden("refused", "connect again from the portal");
    if gateway.origins.check(&request).is_none() {
        return Err(refused());
    }
    let desktop: DesktopId = desktop.parse().map_err(|_| HttpError::not_found())?;
    let handle = cookie::handle(&request, desktop).ok_or_else(refused)?;
    let now = Instant::now().into_std();
    if !gateway.attaches(|attaches| attaches.expects(desktop, handle.expose(), now)) {
        return Err(refused());
    }
    let upgrade = upgrade
        .map_err(|_| HttpError::bad_request("not_a_websocket", "this address is a WebSocket"))?;
    let span = info_span!("stream", desktop.id = %desktop, stream.id = tracing::field::Empty);
    let streams = gateway.streams.clone();
    Ok(upgrade
        .max_message_size(UP_BYTES_MAX)
        .max_frame_size(UP_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES)
        // Each message goes out by itself; the next is not read before it is gone.
        .write_buffer_size(0)
        .max_write_buffer_size(2 * DOWN_BYTES_MAX)
        .on_upgrade(move |socket: WebSocket| {
            let viewed = async move {
                relay::run(&gateway, desktop, &handle, socket).await;
                drop(place);
            };
            streams.track_future(viewed.instrument(span))
        }))
}

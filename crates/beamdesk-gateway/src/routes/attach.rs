//! `POST /d/{desktop}/attach`: the cookie's handle is rotated, and a nonce allows one WebSocket.

use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, header},
    response::{IntoResponse as _, Response},
};
use beamdesk_http::{HttpError, Json};
use beamdesk_types::{DesktopId, RecordingPolicy, ResumeRequest};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::{error, warn};

use super::cookie;
use crate::{
    portal::{self, PortalError},
    state::Gateway,
};

/// 256 random bits.
const VALUE_BYTES: usize = 32;

/// The body, which may be left out.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attach {
    /// Where people may record: do so.
    #[serde(default)]
    record: bool,
}

#[derive(Serialize)]
struct Attached {
    nonce: String,
    /// Whether this viewer may record, or must.
    recording: RecordingPolicy,
}

pub(super) async fn attach(
    State(gateway): State<Gateway>,
    Path(desktop): Path<String>,
    request: HeaderMap,
    body: Bytes,
) -> Result<Response, HttpError> {
    let desktop: DesktopId = desktop.parse().map_err(|_| HttpError::not_found())?;
    if gateway.is_closed() {
        // The viewer tries again, and is sent to another gateway.
        return Err(HttpError::unavailable());
    }
    let asked: Attach = match body.as_ref() {
        b"" => Attach::default(),
        json => serde_json::from_slice(json)
            .map_err(|_| HttpError::bad_request("bad_json", "not the expected JSON"))?,
    };
    let refused = || {
        HttpError::forbidden("refused", "connect again from the portal")
            .with_header(header::SET_COOKIE, cookie::remove_handle(desktop))
    };
    let handle = cookie::handle(&request, desktop).ok_or_else(refused)?;
    let bind = cookie::bind(&request);
    let resumed = gateway.portal.resume(&ResumeRequest { handle, bind }).await;
    let grant = match resumed {
        Ok(grant) => grant,
        Err(PortalError::Refused) => return Err(refused()),
        // The handle is still good, so the cookie stays.
        Err(PortalError::TooMany { retry_after }) => return Err(HttpError::too_many(retry_after)),
        Err(error) => {
            portal::note(&error, "resume");
            return Err(HttpError::unavailable());
        }
    };
    // The handle of one desktop under the name of another: nothing of ours sends that.
    if grant.desktop != desktop {
        warn!(desktop.id = %desktop, "A resume handle came under another desktop's name");
        return Err(refused());
    }
    let next = cookie::set_handle(desktop, &grant.handle).ok_or_else(HttpError::internal)?;
    let nonce = fresh_value()?;
    let recording = match gateway.shelf {
        Some(_) => grant.recording,
        None => RecordingPolicy::Off,
    };
    let now = Instant::now().into_std();
    let has_room = gateway.leases(|leases| leases.granted(grant.stream, now))
        && gateway.attaches(|attaches| attaches.add(grant, nonce.clone(), asked.record, now));
    if !has_room {
        warn!("No room for another stream");
        // The handle was rotated all the same: without the next one nothing can be resumed.
        return Err(HttpError::unavailable().with_header(header::SET_COOKIE, next));
    }
    Ok(([(header::SET_COOKIE, next)], Json(Attached { nonce, recording })).into_response())
}

pub(super) fn fresh_value() -> Result<String, HttpError> {
    let mut bytes = [0; VALUE_BYTES];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(hex::encode(bytes)),
        Err(error) => {
            error!(%error, "The system gives no random numbers");
            Err(HttpError::internal())
        }
    }
}

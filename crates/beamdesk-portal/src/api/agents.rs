//! What agents of servers elsewhere ask, on the listener of monitors: an identity, and its renewal.
//! They show no certificate; what they send says who they are.

use std::time::Duration;

use axum::{
    Extension, Router,
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::post,
};
use beamdesk_auth::AgentRefused;
use beamdesk_http::{HttpError, Json, Peer, body};
use beamdesk_types::AgentIdentity;
use serde::de::DeserializeOwned;

use crate::{
    App,
    api::error::ApiError,
    app::agents::{self, Refusal},
};

/// A certificate request, a certificate and a secret have some 3 KiB.
const REQUEST_BYTES_MAX: usize = 16 << 10;
/// An agent that asks as it should is never too early after this.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The routes for agents.
pub(super) fn agents_routes() -> Router<App> {
    Router::new().route("/agent/v1/enrol", post(enrol)).route("/agent/v1/renew", post(renew))
}

async fn enrol(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Result<Response, ApiError> {
    let request = match read(body).await {
        Ok(request) => request,
        Err(error) => return Ok(error.into_response()),
    };
    Ok(answer(agents::enrol(&app, &request, peer.address.ip().to_canonical()).await?))
}

async fn renew(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    body: Body,
) -> Result<Response, ApiError> {
    let request = match read(body).await {
        Ok(request) => request,
        Err(error) => return Ok(error.into_response()),
    };
    Ok(answer(agents::renew(&app, &request, peer.address.ip().to_canonical()).await?))
}

/// Says nothing of what was sent: it may hold a secret.
async fn read<T: DeserializeOwned>(body: Body) -> Result<T, HttpError> {
    let bytes = body::read(body, REQUEST_BYTES_MAX).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let text = format!("not the expected JSON, line {line} column {column}");
        HttpError::bad_request("bad_json", text)
    })
}

fn answer(outcome: Result<AgentIdentity, Refusal>) -> Response {
    match outcome {
        Ok(identity) => Json(identity).into_response(),
        Err(Refusal::TooMany) => HttpError::too_many(RETRY_AFTER).into_response(),
        Err(Refusal::Request(text)) => {
            HttpError::bad_request("invalid_request", text).into_response()
        }
        Err(Refusal::Refused(refused)) => refusal(refused).into_response(),
    }
}

/// An agent's log is where these words are read: they say who can mend it.
fn refusal(refused: AgentRefused) -> HttpError {
    match refused {
        AgentRefused::Unknown => HttpError::forbidden(
            "unknown",
            "no portal here issued this secret, or its desktop is gone",
        ),
        AgentRefused::Used => HttpError::forbidden(
            "secret_used",
            "the seed's secret was used before; if not by this server, tell an administrator of \
             Beamdesk that somebody has read its seed",
        ),
        AgentRefused::Expired => HttpError::forbidden(
            "secret_expired",
            "the seed's secret is too old; who stops and starts the desktop in the portal gets a \
             new server",
        ),
        AgentRefused::Misused => HttpError::forbidden(
            "secret_misused",
            "the seed's secret is not for this desktop and generation",
        ),
        AgentRefused::Superseded => {
            HttpError::forbidden("superseded", "this desktop has another server by now")
        }
        AgentRefused::OtherKey => {
            HttpError::forbidden("other_key", "this desktop's agent has another key")
        }
        AgentRefused::NotRunning => HttpError::conflict(
            "not_running",
            "the desktop is not meant to run now; ask again later",
        ),
    }
}

//! What gateways ask, over mutual TLS: who they are stands in their certificate.

use axum::{
    Router,
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::post,
};
use beamdesk_auth::{RedeemError, Redeemed, agent_server_name, gateway_name_of};
use beamdesk_http::{BODY_BYTES_MAX, HttpError, Json, Peer, limit_bodies, request_ids};
use beamdesk_store::StoreError;
use beamdesk_types::{
    GatewayName, Grant, LeaseAnswer, PlayAllowed, PlayCheck, PlayGrant, PlayRequest,
    RecordingAnswer, RecordingBegin, RecordingBegun, RecordingPolicy, RecordingSync, RedeemRequest,
    Refusal, RenewRequest, ResumeRequest,
};
use tracing::{info, warn};

use crate::{App, PortalError, api::error::ApiError};

/// Streams one gateway may renew in one call; each takes some 40 bytes of the body.
const STREAMS_MAX: usize = 10_000;
/// Recordings one gateway may speak of in one call, of each kind.
const RECORDINGS_MAX: usize = 5_000;

/// The routes for gateways.
pub(crate) fn internal_router(app: App) -> Router {
    let routes = Router::new()
        .route("/internal/v1/tickets/redeem", post(redeem))
        .route("/internal/v1/streams/resume", post(resume))
        .route("/internal/v1/leases/renew", post(renew))
        .route("/internal/v1/recordings/begin", post(begin_recording))
        .route("/internal/v1/recordings/sync", post(sync_recordings))
        .route("/internal/v1/recordings/redeem", post(redeem_play))
        .route("/internal/v1/recordings/allowed", post(may_play))
        .with_state(app);
    request_ids(limit_bodies(routes, BODY_BYTES_MAX))
}

/// The gateway that its verified certificate names.
struct Gateway(GatewayName);

impl<S: Send + Sync> FromRequestParts<S> for Gateway {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HttpError> {
        let peer = parts.extensions.get::<Peer>();
        let certificate = peer.and_then(|peer| peer.certificate.as_ref());
        let name = certificate.and_then(|certificate| gateway_name_of(certificate));
        name.map(Self).ok_or_else(|| HttpError::forbidden("not_a_gateway", "only for gateways"))
    }
}

async fn redeem(
    State(app): State<App>,
    Gateway(gateway): Gateway,
    Json(request): Json<RedeemRequest>,
) -> Response {
    let policy = app.store.recording_policy().await;
    granted(app.auth.redeem(&request, &gateway).await, policy, &gateway)
}

async fn resume(
    State(app): State<App>,
    Gateway(gateway): Gateway,
    Json(request): Json<ResumeRequest>,
) -> Response {
    let policy = app.store.recording_policy().await;
    granted(app.auth.resume(&request, &gateway).await, policy, &gateway)
}

async fn renew(
    State(app): State<App>,
    Gateway(gateway): Gateway,
    Json(request): Json<RenewRequest>,
) -> Result<Json<LeaseAnswer>, ApiError> {
    if request.streams.len() > STREAMS_MAX || request.closed.len() > STREAMS_MAX {
        return Err(PortalError::Invalid { field: "streams", why: "too many at once" }.into());
    }
    Ok(Json(app.auth.renew(&request, &gateway).await?))
}

async fn begin_recording(
    State(app): State<App>,
    Gateway(gateway): Gateway,
    Json(request): Json<RecordingBegin>,
) -> Result<Response, ApiError> {
    let RecordingBegin { recording, stream } = request;
    Ok(match app.store.begin_recording(&gateway, stream, recording).await? {
        Some(started) => {
            info!(recording.id = %recording, stream.id = %stream, "Recording started");
            Json(RecordingBegun { started }).into_response()
        }
        None => {
            info!(stream.id = %stream, gateway.name = %gateway, "Refused a recording");
            refused()
        }
    })
}

async fn sync_recordings(
    State(app): State<App>,
    Gateway(gateway): Gateway,
    Json(request): Json<RecordingSync>,
) -> Result<Json<RecordingAnswer>, ApiError> {
    let held = request.held.as_ref().map_or(0, Vec::len);
    let most = request.states.len().max(request.removed.len()).max(held);
    if most > RECORDINGS_MAX {
        return Err(PortalError::Invalid { field: "recordings", why: "too many at once" }.into());
    }
    let orders = app.store.sync_recordings(&gateway, &request).await?;
    let now = app.clock.now();
    Ok(Json(RecordingAnswer { end: orders.end, remove: orders.remove, now }))
}

async fn redeem_play(
    State(app): State<App>,
    Gateway(gateway): Gateway,
    Json(request): Json<PlayRequest>,
) -> Response {
    match app.auth.redeem_play(&request, &gateway).await {
        Ok(play) => Json(PlayGrant {
            recording: play.recording,
            session: play.session,
            purpose: play.purpose,
            desktop_name: play.desktop_name,
        })
        .into_response(),
        Err(error) => not_granted(error, "a recording", &gateway),
    }
}

async fn may_play(
    State(app): State<App>,
    _: Gateway,
    Json(request): Json<PlayCheck>,
) -> Result<Response, ApiError> {
    Ok(match app.auth.may_play(&request).await? {
        Some(now) => Json(PlayAllowed { now }).into_response(),
        None => refused(),
    })
}

fn granted(
    outcome: Result<Redeemed, RedeemError>,
    policy: Result<RecordingPolicy, StoreError>,
    gateway: &GatewayName,
) -> Response {
    let redeemed = match outcome {
        Ok(redeemed) => redeemed,
        Err(error) => return not_granted(error, "a stream", gateway),
    };
    let recording = match policy {
        Ok(policy) => policy,
        // Where each stream is to be recorded, none may slip by because a question failed.
        Err(error) => return not_granted(RedeemError::Auth(error.into()), "a stream", gateway),
    };
    let desktop = redeemed.desktop;
    let Some(address) = desktop.address else {
        warn!(desktop.id = %desktop.id, "Refused a stream: the desktop has no address");
        return refused();
    };
    info!(
        stream.id = %redeemed.stream, desktop.id = %desktop.id, gateway.name = %gateway,
        user.name = redeemed.user_name, "Granted a stream"
    );
    Json(Grant {
        stream: redeemed.stream,
        user: redeemed.user,
        user_name: redeemed.user_name,
        desktop: desktop.id,
        desktop_name: desktop.name,
        generation: desktop.generation,
        address,
        agent_name: agent_server_name(desktop.id, desktop.generation),
        recording,
        handle: redeemed.handle,
    })
    .into_response()
}

fn not_granted(error: RedeemError, what: &'static str, gateway: &GatewayName) -> Response {
    match error {
        RedeemError::Refused(reason) => {
            warn!(gateway.name = %gateway, reason = reason.as_str(), what, "Refused");
            refused()
        }
        RedeemError::TooMany { retry_after } => HttpError::too_many(retry_after).into_response(),
        RedeemError::Auth(error) => {
            warn!(gateway.name = %gateway, %error, what, "Could not judge");
            HttpError::unavailable().into_response()
        }
    }
}

/// The same for every reason but too many resumes, after which the handle is still good.
fn refused() -> Response {
    (StatusCode::FORBIDDEN, Json(Refusal { refused: true })).into_response()
}

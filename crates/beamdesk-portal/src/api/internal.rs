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
use beamdesk_types::{
    GatewayName, Grant, LeaseAnswer, RedeemRequest, Refusal, RenewRequest, ResumeRequest,
};
use tracing::{info, warn};

use crate::{App, PortalError, api::error::ApiError};

/// Streams one gateway may renew in one call; each takes some 40 bytes of the body.
const STREAMS_MAX: usize = 10_000;

/// The routes for gateways.
pub(crate) fn internal_router(app: App) -> Router {
    let routes = Router::new()
        .route("/internal/v1/tickets/redeem", post(redeem))
        .route("/internal/v1/streams/resume", post(resume))
        .route("/internal/v1/leases/renew", post(renew))
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
    granted(app.auth.redeem(&request, &gateway).await, &gateway)
}

async fn resume(
    State(app): State<App>,
    Gateway(gateway): Gateway,
    Json(request): Json<ResumeRequest>,
) -> Response {
    granted(app.auth.resume(&request, &gateway).await, &gateway)
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

fn granted(outcome: Result<Redeemed, RedeemError>, gateway: &GatewayName) -> Response {
    let redeemed = match outcome {
        Ok(redeemed) => redeemed,
        Err(RedeemError::Refused(reason)) => {
            warn!(gateway.name = %gateway, reason = reason.as_str(), "Refused a stream");
            return refused();
        }
        Err(RedeemError::TooMany { retry_after }) => {
            return HttpError::too_many(retry_after).into_response();
        }
        Err(RedeemError::Auth(error)) => {
            warn!(gateway.name = %gateway, %error, "Could not judge a stream");
            return HttpError::unavailable().into_response();
        }
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
        handle: redeemed.handle,
    })
    .into_response()
}

/// The same for every reason but too many resumes, after which the handle is still good.
fn refused() -> Response {
    (StatusCode::FORBIDDEN, Json(Refusal { refused: true })).into_response()
}

//! What monitors of nodes ask, over TLS: who they are stands in their certificate. Only who wants to
//! be let in has none. Agents of servers elsewhere ask here too.

use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::post,
};
use beamdesk_auth::node_name_of;
use beamdesk_http::{HttpError, Json, Peer, body, limit_bodies, request_ids};
use beamdesk_types::{EnrolAnswer, EnrolRequest, NodeName};

use crate::{
    App,
    api::{agents::agents_routes, error::ApiError},
    app::monitors::{self, Answered},
};

/// The longest report with 256 cards, every text as long as it may be, has some 500 KiB.
const REPORT_BYTES_MAX: usize = 512 << 10;

/// The routes for monitors and agents.
pub(crate) fn srm_router(app: App) -> Router {
    let routes = Router::new()
        .route("/srm/v1/enrol", post(enrol))
        .route("/srm/v1/reports", post(report))
        .route("/srm/v1/renew", post(renew))
        .merge(agents_routes())
        .with_state(app);
    // In time only. Each handler stops reading where its own bound is, and by then knows who sends:
    // a node with a report that is too long is put in quarantine.
    request_ids(limit_bodies(routes, usize::MAX))
}

/// The node that the monitor's verified certificate names.
struct Monitor(NodeName);

impl<S: Send + Sync> FromRequestParts<S> for Monitor {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HttpError> {
        let peer = parts.extensions.get::<Peer>();
        let certificate = peer.and_then(|peer| peer.certificate.as_ref());
        let name = certificate.and_then(|certificate| node_name_of(certificate));
        name.map(Self).ok_or_else(|| HttpError::forbidden("not_a_monitor", "only for monitors"))
    }
}

async fn report(
    State(app): State<App>,
    Monitor(node): Monitor,
    body: Body,
) -> Result<Response, ApiError> {
    let answered = match body::read(body, REPORT_BYTES_MAX).await {
        Ok(bytes) => monitors::report(&app, &node, &bytes).await?,
        Err(error) if error.status == StatusCode::PAYLOAD_TOO_LARGE => {
            monitors::too_long(&app, &node).await?
        }
        Err(error) => return Ok(error.into_response()),
    };
    Ok(http(answered))
}

async fn enrol(
    State(app): State<App>,
    Json(request): Json<EnrolRequest>,
) -> Result<Response, ApiError> {
    Ok(identity(monitors::enrol(&app, &request).await?))
}

async fn renew(State(app): State<App>, Monitor(node): Monitor) -> Result<Response, ApiError> {
    Ok(identity(monitors::renew(&app, &node).await?))
}

fn identity(outcome: Result<EnrolAnswer, Answered>) -> Response {
    match outcome {
        Ok(answer) => Json(answer).into_response(),
        Err(refused) => http(refused),
    }
}

fn http(answered: Answered) -> Response {
    match answered {
        Answered::Taken(answer) => Json(answer).into_response(),
        Answered::TooMany => HttpError::too_many(RETRY_AFTER).into_response(),
        Answered::Refused(refused) => {
            let status = match refused.code {
                "old_generation" | "machine" | "twin" => StatusCode::CONFLICT,
                "unreadable" | "absurd" | "clock" | "invalid_machine" | "invalid_name" => {
                    StatusCode::BAD_REQUEST
                }
                _ => StatusCode::FORBIDDEN,
            };
            HttpError::new(status, refused.code, refused.detail).into_response()
        }
    }
}

/// A monitor that keeps its interval is never too early after this.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

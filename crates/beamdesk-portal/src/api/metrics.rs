//! Metrics for a monitoring system, at `/metrics` of the public listener.
//!
//! Who may read: operators with their session, and who has the token an administrator made
//! (`POST /api/v1/metrics-token`), as `Authorization: Bearer …`.

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use beamdesk_http::Json;
use beamdesk_types::Secret;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        error::{Answer, Errors},
        extract::{Administrator, Operator},
    },
    app::{audit, metrics},
};

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
const SUBJECT: &str = "metrics_token";

/// The token by which a monitoring system reads metrics; shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MetricsToken {
    token: Secret,
}

/// The page itself; no part of the API's document, which is for pages.
pub(super) async fn metrics(State(app): State<App>, request: Request) -> Answer<Response> {
    let (mut parts, _) = request.into_parts();
    let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer "));
    let is_known = match token {
        Some(token) => app.auth.is_metrics_token(token.trim()).await?,
        None => false,
    };
    if !is_known {
        Operator::from_request_parts(&mut parts, &app).await?;
    }
    let text = metrics::page(&app).await?;
    Ok(([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response())
}

/// Makes the token for `/metrics`; one made before is good no more.
#[utoipa::path(post, path = "/metrics-token", tag = "administration",
    responses((status = OK, body = MetricsToken), Errors))]
pub(super) async fn new_metrics_token(
    State(app): State<App>,
    Administrator(actor): Administrator,
) -> Answer<Json<MetricsToken>> {
    let token = app.auth.new_metrics_token().await?;
    audit::note(&app, &actor, "metrics_token_made", SUBJECT.to_owned(), "").await?;
    Ok(Json(MetricsToken { token }))
}

/// Lets no token read `/metrics` any more.
#[utoipa::path(delete, path = "/metrics-token", tag = "administration",
    responses((status = NO_CONTENT), Errors))]
pub(super) async fn remove_metrics_token(
    State(app): State<App>,
    Administrator(actor): Administrator,
) -> Answer<StatusCode> {
    if app.auth.remove_metrics_token().await? {
        audit::note(&app, &actor, "metrics_token_removed", SUBJECT.to_owned(), "").await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

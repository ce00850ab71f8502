//! The first visit: the one-time link becomes the first administrator.

use axum::{extract::State, http::HeaderMap, response::Response};
use beamdesk_http::Json;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        error::{Answer, Errors},
        extract::From,
        session::{SessionView, begun},
    },
    app::audit,
};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SetupState {
    /// Whether there is no administrator yet.
    needed: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetUp {
    /// From the link that the program printed.
    #[schema(value_type = String)]
    token: SecretString,
    name: String,
    #[schema(value_type = String)]
    password: SecretString,
}

/// Whether this installation has no administrator yet.
#[utoipa::path(get, path = "/setup", tag = "setup",
    responses((status = OK, body = SetupState), Errors))]
pub(super) async fn setup_state(State(app): State<App>) -> Answer<Json<SetupState>> {
    Ok(Json(SetupState { needed: app.auth.is_setup_needed().await? }))
}

/// Makes the first administrator, logged in.
#[utoipa::path(post, path = "/setup", tag = "setup", request_body = SetUp,
    responses((status = OK, body = SessionView), Errors))]
pub(super) async fn set_up(
    State(app): State<App>,
    From(address): From,
    headers: HeaderMap,
    Json(body): Json<SetUp>,
) -> Answer<Response> {
    let token = body.token.expose_secret();
    let login = app.auth.complete_setup(token, &body.name, body.password, address).await?;
    info!(user.name = login.actor.name, "Set up the first administrator");
    audit::note(&app, &login.actor, "set_up", audit::user(login.actor.user), "").await?;
    begun(&app, &headers, &login).await
}

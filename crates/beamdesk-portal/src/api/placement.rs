//! How desktops are placed, for operators and administrators.

use axum::extract::State;
use beamdesk_http::Json;
use beamdesk_sched::Policy;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        error::{Answer, Errors},
        extract::{Administrator, Operator},
    },
    app::placement::{self as app_placement, PlacementSettings},
};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlacementView {
    settings: PlacementSettings,
    policies: Vec<PolicyView>,
    /// The policy of an installation that chose none.
    default_policy: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct PolicyView {
    name: String,
    /// One line, English.
    text: String,
}

/// How desktops are placed, and how they could be.
#[utoipa::path(get, path = "/placement", tag = "administration",
    responses((status = OK, body = PlacementView), Errors))]
pub(super) async fn placement(State(app): State<App>, _: Operator) -> Answer<Json<PlacementView>> {
    Ok(Json(view(app_placement::settings(&app).await?)))
}

/// Chooses how desktops are placed from now on.
#[utoipa::path(put, path = "/placement", tag = "administration",
    request_body = PlacementSettings, responses((status = OK, body = PlacementView), Errors))]
pub(super) async fn put_placement(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Json(settings): Json<PlacementSettings>,
) -> Answer<Json<PlacementView>> {
    Ok(Json(view(app_placement::put(&app, &actor, settings).await?)))
}

fn view(settings: PlacementSettings) -> PlacementView {
    let policy = |policy: Policy| PolicyView {
        name: policy.name().to_owned(),
        text: policy.explanation().to_owned(),
    };
    PlacementView {
        settings,
        policies: Policy::ALL.into_iter().map(policy).collect(),
        default_policy: PlacementSettings::default().policy,
    }
}

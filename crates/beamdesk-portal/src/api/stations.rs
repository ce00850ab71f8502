//! Stations (beamlines), for operators and administrators.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use beamdesk_http::Json;
use beamdesk_types::{Station, StationId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        error::{Answer, Errors},
        extract::{Administrator, Id, Operator},
    },
    app::stations as app_stations,
};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StationList {
    stations: Vec<Station>,
}

/// All stations.
#[utoipa::path(get, path = "/stations", tag = "administration",
    responses((status = OK, body = StationList), Errors))]
pub(super) async fn stations(State(app): State<App>, _: Operator) -> Answer<Json<StationList>> {
    Ok(Json(StationList { stations: app.store.stations().await? }))
}

/// Adds a station.
#[utoipa::path(post, path = "/stations", tag = "administration", request_body = Station,
    responses((status = CREATED, body = Station), Errors))]
pub(super) async fn add_station(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Json(station): Json<Station>,
) -> Answer<Response> {
    let station = app_stations::add(&app, &actor, station).await?;
    Ok((StatusCode::CREATED, Json(station)).into_response())
}

/// Changes a station. Desktops that run stay where they are.
#[utoipa::path(put, path = "/stations/{id}", tag = "administration",
    params(("id" = StationId, Path)), request_body = Station,
    responses((status = OK, body = Station), Errors))]
pub(super) async fn put_station(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Id(id): Id<StationId>,
    Json(station): Json<Station>,
) -> Answer<Json<Station>> {
    Ok(Json(app_stations::replace(&app, &actor, &id, station).await?))
}

/// Removes a station that no desktop and no coming reservation has.
#[utoipa::path(delete, path = "/stations/{id}", tag = "administration",
    params(("id" = StationId, Path)), responses((status = NO_CONTENT), Errors))]
pub(super) async fn remove_station(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Id(id): Id<StationId>,
) -> Answer<StatusCode> {
    app_stations::remove(&app, &actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

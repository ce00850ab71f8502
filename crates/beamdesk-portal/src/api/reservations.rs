//! Reservations for beam time, for operators.

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use beamdesk_http::Json;
use beamdesk_types::{Reservation, ReservationId, SizeId, StationId, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        desktops::BAD_QUERY,
        error::{Answer, Errors},
        extract::{Id, Operator},
    },
    app::reservations as app_reservations,
};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Span {
    /// Only those that end after this; from now on, unless said.
    #[param(value_type = Option<String>, format = "date-time")]
    from: Option<Timestamp>,
    /// Only those that begin before this.
    #[param(value_type = Option<String>, format = "date-time")]
    to: Option<Timestamp>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReservationList {
    /// The first to begin first.
    reservations: Vec<Reservation>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewReservation {
    station: StationId,
    size: SizeId,
    /// How many desktops.
    count: u32,
    #[schema(value_type = String, format = "date-time")]
    from: Timestamp,
    #[schema(value_type = String, format = "date-time")]
    to: Timestamp,
    #[serde(default)]
    note: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReservationMade {
    reservation: Reservation,
    /// For how many of its desktops there is room right from its beginning, if everybody keeps to
    /// their term; for the others as soon as those who run without end have left.
    in_time: u32,
}

/// Reservations that are going on or to come.
#[utoipa::path(get, path = "/reservations", tag = "administration", params(Span),
    responses((status = OK, body = ReservationList), Errors))]
pub(super) async fn reservations(
    State(app): State<App>,
    _: Operator,
    span: Result<Query<Span>, QueryRejection>,
) -> Answer<Json<ReservationList>> {
    let Query(span) = span.map_err(|_| BAD_QUERY)?;
    let from = span.from.unwrap_or_else(|| app.clock.now());
    let mut reservations = app.store.reservations(from).await?;
    reservations.retain(|reservation| span.to.is_none_or(|to| reservation.from < to));
    Ok(Json(ReservationList { reservations }))
}

/// Holds room for a station's beam time. Refused when it could never be held.
#[utoipa::path(post, path = "/reservations", tag = "administration",
    request_body = NewReservation,
    responses((status = CREATED, body = ReservationMade), Errors))]
pub(super) async fn add_reservation(
    State(app): State<App>,
    Operator(actor): Operator,
    Json(body): Json<NewReservation>,
) -> Answer<Response> {
    let NewReservation { station, size, count, from, to, note } = body;
    let wanted = app_reservations::NewReservation { station, size, count, from, to, note };
    let (reservation, in_time) = app_reservations::add(&app, &actor, wanted).await?;
    Ok((StatusCode::CREATED, Json(ReservationMade { reservation, in_time })).into_response())
}

/// Lets its room go. Desktops that run in it stay.
#[utoipa::path(delete, path = "/reservations/{id}", tag = "administration",
    params(("id" = ReservationId, Path)), responses((status = NO_CONTENT), Errors))]
pub(super) async fn remove_reservation(
    State(app): State<App>,
    Operator(actor): Operator,
    Id(id): Id<ReservationId>,
) -> Answer<StatusCode> {
    app_reservations::remove(&app, &actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! Sizes desktops may have, for operators and administrators.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use beamdesk_http::Json;
use beamdesk_types::{Size, SizeId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        error::{Answer, Errors},
        extract::{Administrator, Id, Operator},
    },
    app::sizes as app_sizes,
};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SizeList {
    sizes: Vec<Size>,
}

/// All sizes, also those that are not offered.
#[utoipa::path(get, path = "/sizes", tag = "administration",
    responses((status = OK, body = SizeList), Errors))]
pub(super) async fn sizes(State(app): State<App>, _: Operator) -> Answer<Json<SizeList>> {
    Ok(Json(SizeList { sizes: app.store.sizes().await? }))
}

/// Adds a size.
#[utoipa::path(post, path = "/sizes", tag = "administration", request_body = Size,
    responses((status = CREATED, body = Size), Errors))]
pub(super) async fn add_size(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Json(size): Json<Size>,
) -> Answer<Response> {
    let size = app_sizes::add(&app, &actor, size).await?;
    Ok((StatusCode::CREATED, Json(size)).into_response())
}

/// Changes a size. Desktops that have it take the change with their next server.
#[utoipa::path(put, path = "/sizes/{id}", tag = "administration", params(("id" = SizeId, Path)),
    request_body = Size, responses((status = OK, body = Size), Errors))]
pub(super) async fn put_size(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Id(id): Id<SizeId>,
    Json(size): Json<Size>,
) -> Answer<Json<Size>> {
    Ok(Json(app_sizes::replace(&app, &actor, &id, size).await?))
}

/// Removes a size that no desktop has.
#[utoipa::path(delete, path = "/sizes/{id}", tag = "administration",
    params(("id" = SizeId, Path)), responses((status = NO_CONTENT), Errors))]
pub(super) async fn remove_size(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Id(id): Id<SizeId>,
) -> Answer<StatusCode> {
    app_sizes::remove(&app, &actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

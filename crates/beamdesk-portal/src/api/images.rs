//! Images desktops start from, for operators and administrators.

use axum::extract::State;
use beamdesk_http::Json;
use beamdesk_types::{Image, ImageId};
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
pub(super) struct ImageList {
    images: Vec<Image>,
}

/// All images, also those that are not offered.
#[utoipa::path(get, path = "/images", tag = "administration",
    responses((status = OK, body = ImageList), Errors))]
pub(super) async fn images(State(app): State<App>, _: Operator) -> Answer<Json<ImageList>> {
    Ok(Json(ImageList { images: app.store.images().await? }))
}

/// Changes how an image is called and whether it is offered.
#[utoipa::path(put, path = "/images/{id}", tag = "administration",
    params(("id" = ImageId, Path)), request_body = Image,
    responses((status = OK, body = Image), Errors))]
pub(super) async fn put_image(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Id(id): Id<ImageId>,
    Json(image): Json<Image>,
) -> Answer<Json<Image>> {
    Ok(Json(app_sizes::replace_image(&app, &actor, &id, image).await?))
}

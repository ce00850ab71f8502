//! Desktops: list, ask for one, set its goal.

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use beamdesk_http::Json;
use beamdesk_types::{Desktop, DesktopId, GpuRequest, ImageId, Role, SizeId, StationId};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    App, PortalError,
    api::{
        error::{Answer, Errors},
        extract::{Id, User},
        view::{DesktopList, DesktopView, view_of, views},
    },
    app::{desktops as app_desktops, offers::Wish, policy::Act, terms},
};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Everybody's, for operators; else one's own.
    #[serde(default)]
    pub(super) all: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewDesktop {
    name: String,
    image: ImageId,
    size: SizeId,
    /// Whom it serves.
    #[serde(default)]
    station: Option<StationId>,
    /// What it needs of cards beyond its size.
    #[serde(default)]
    gpu: GpuRequest,
}

/// One of the two.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeDesktop {
    #[serde(default)]
    name: Option<String>,
    /// Another size, while it waits for room; it keeps its place in the queue.
    #[serde(default)]
    size: Option<SizeId>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExtendDesktop {
    /// How much longer; without, another term of its size.
    #[serde(default)]
    hours: Option<u32>,
}

/// One's own desktops, or everybody's.
#[utoipa::path(get, path = "/desktops", tag = "desktops", params(Which),
    responses((status = OK, body = DesktopList), Errors))]
pub(super) async fn desktops(
    State(app): State<App>,
    User(actor): User,
    which: Result<Query<Which>, QueryRejection>,
) -> Answer<Json<DesktopList>> {
    let Query(which) = which.map_err(|_| BAD_QUERY)?;
    let rows = rows(&app, &actor, &which).await?;
    Ok(Json(DesktopList { desktops: views(&app, &actor, rows).await? }))
}

/// Asks for a desktop. It is made in the background.
#[utoipa::path(post, path = "/desktops", tag = "desktops", request_body = NewDesktop,
    responses((status = CREATED, body = DesktopView), Errors))]
pub(super) async fn create_desktop(
    State(app): State<App>,
    User(actor): User,
    Json(body): Json<NewDesktop>,
) -> Answer<Response> {
    let NewDesktop { name, image, size, station, gpu } = body;
    let wanted = app_desktops::NewDesktop { name, wish: Wish { image, size, station, gpu } };
    let desktop = app_desktops::create(&app, &actor, wanted).await?;
    let view = view_of(&app, &actor, desktop).await?;
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// One desktop.
#[utoipa::path(get, path = "/desktops/{id}", tag = "desktops", params(("id" = DesktopId, Path)),
    responses((status = OK, body = DesktopView), Errors))]
pub(super) async fn desktop(
    State(app): State<App>,
    User(actor): User,
    Id(id): Id<DesktopId>,
) -> Answer<Json<DesktopView>> {
    let desktop = app_desktops::one(&app, &actor, id).await?;
    Ok(Json(view_of(&app, &actor, desktop).await?))
}

/// Gives it another name or, while it waits, another size.
#[utoipa::path(patch, path = "/desktops/{id}", tag = "desktops", params(("id" = DesktopId, Path)),
    request_body = ChangeDesktop, responses((status = OK, body = DesktopView), Errors))]
pub(super) async fn change_desktop(
    State(app): State<App>,
    User(actor): User,
    Id(id): Id<DesktopId>,
    Json(body): Json<ChangeDesktop>,
) -> Answer<Json<DesktopView>> {
    let desktop = match (body.name, body.size) {
        (Some(name), None) => app_desktops::rename(&app, &actor, id, &name).await?,
        (None, Some(size)) => app_desktops::resize(&app, &actor, id, size).await?,
        (Some(_), Some(_)) | (None, None) => {
            return Err(PortalError::Invalid { field: "body", why: "has a name or a size" }.into());
        }
    };
    Ok(Json(view_of(&app, &actor, desktop).await?))
}

/// Lets it run longer, as far as the calendar allows.
#[utoipa::path(post, path = "/desktops/{id}/extend", tag = "desktops",
    params(("id" = DesktopId, Path)), request_body = ExtendDesktop,
    responses((status = OK, body = DesktopView), Errors))]
pub(super) async fn extend_desktop(
    State(app): State<App>,
    User(actor): User,
    Id(id): Id<DesktopId>,
    Json(body): Json<ExtendDesktop>,
) -> Answer<Json<DesktopView>> {
    let desktop = terms::extend(&app, &actor, id, body.hours).await?;
    Ok(Json(view_of(&app, &actor, desktop).await?))
}

/// Deletes it. Wins over everything else; the home folder stays.
#[utoipa::path(delete, path = "/desktops/{id}", tag = "desktops", params(("id" = DesktopId, Path)),
    responses((status = ACCEPTED, body = DesktopView), Errors))]
pub(super) async fn remove_desktop(
    State(app): State<App>,
    User(actor): User,
    Id(id): Id<DesktopId>,
) -> Answer<Response> {
    ordered(&app, &actor, id, Act::Remove).await
}

/// Wants it running.
#[utoipa::path(post, path = "/desktops/{id}/start", tag = "desktops",
    params(("id" = DesktopId, Path)), responses((status = ACCEPTED, body = DesktopView), Errors))]
pub(super) async fn start_desktop(
    State(app): State<App>,
    User(actor): User,
    Id(id): Id<DesktopId>,
) -> Answer<Response> {
    ordered(&app, &actor, id, Act::Start).await
}

/// Wants it powered off.
#[utoipa::path(post, path = "/desktops/{id}/stop", tag = "desktops",
    params(("id" = DesktopId, Path)), responses((status = ACCEPTED, body = DesktopView), Errors))]
pub(super) async fn stop_desktop(
    State(app): State<App>,
    User(actor): User,
    Id(id): Id<DesktopId>,
) -> Answer<Response> {
    ordered(&app, &actor, id, Act::Stop).await
}

/// Powers it off and on again.
#[utoipa::path(post, path = "/desktops/{id}/restart", tag = "desktops",
    params(("id" = DesktopId, Path)), responses((status = ACCEPTED, body = DesktopView), Errors))]
pub(super) async fn restart_desktop(
    State(app): State<App>,
    User(actor): User,
    Id(id): Id<DesktopId>,
) -> Answer<Response> {
    ordered(&app, &actor, id, Act::Restart).await
}

/// Tries a failed one again.
#[utoipa::path(post, path = "/desktops/{id}/retry", tag = "desktops",
    params(("id" = DesktopId, Path)), responses((status = ACCEPTED, body = DesktopView), Errors))]
pub(super) async fn retry_desktop(
    State(app): State<App>,
    User(actor): User,
    Id(id): Id<DesktopId>,
) -> Answer<Response> {
    ordered(&app, &actor, id, Act::Retry).await
}

/// The rows that a list or an event stream shows.
pub(super) async fn rows(
    app: &App,
    actor: &beamdesk_types::Actor,
    which: &Which,
) -> Result<Vec<Desktop>, PortalError> {
    if !which.all {
        app_desktops::own(app, actor).await
    } else if actor.role >= Role::Operator {
        app_desktops::all(app).await
    } else {
        Err(PortalError::Forbidden)
    }
}

pub(super) const BAD_QUERY: PortalError =
    PortalError::Invalid { field: "query", why: "not understood" };

async fn ordered(
    app: &App,
    actor: &beamdesk_types::Actor,
    id: DesktopId,
    act: Act,
) -> Answer<Response> {
    let desktop = app_desktops::order(app, actor, id, act).await?;
    let view = view_of(app, actor, desktop).await?;
    Ok((StatusCode::ACCEPTED, Json(view)).into_response())
}

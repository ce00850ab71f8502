//! The cloud, for administrators: what it has, what in it is nobody's, consoles of servers.

use axum::{extract::State, http::StatusCode};
use beamdesk_cloud::PowerState;
use beamdesk_http::Json;
use beamdesk_types::{DesktopId, Drift, ImageId, Inventory, NodeName, SizeId, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App, PortalError,
    api::{
        error::{Answer, Errors},
        extract::{Administrator, Id},
    },
    app::cloud::{
        self as app_cloud, ImagePicture, Picture, Unclaimed,
        strays::{self, Adoption},
    },
    tasks::lifecycle::told,
};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CloudView {
    /// Absent: desktops run on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    inventory: Option<Inventory>,
    images: Vec<ImageView>,
    /// Servers of this deployment that no desktop claims; nothing is done to them unasked.
    unclaimed: Vec<UnclaimedView>,
    /// How many there are, where not all are shown.
    unclaimed_total: usize,
    /// Servers the cloud makes at once, at most; absent: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    builds_max: Option<usize>,
    /// Why the rest is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<TroubleView>,
}

/// The cloud did not answer as it should.
#[derive(Debug, Serialize, ToSchema)]
struct TroubleView {
    /// Stable word: `cloud_unavailable`, `cloud_credentials`, …
    code: String,
    /// What, who can mend it, and the request by which the cloud's logs tell more.
    detail: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct ImageView {
    id: ImageId,
    name: String,
    is_offered: bool,
    is_in_cloud: bool,
    /// Wanted: as the cloud says; found: as it is here.
    drift: Vec<Drift>,
}

#[derive(Debug, Serialize, ToSchema)]
struct UnclaimedView {
    desktop: DesktopId,
    /// The cloud's own name for it.
    server: String,
    /// What the cloud calls it, if it calls it anything.
    name: String,
    node: NodeName,
    generation: u32,
    /// `building`, `active`, `off`, `error` or `deleting`.
    state: String,
    /// A state that the cloud has and we have not.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<ImageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<SizeId>,
}

/// To whom an unclaimed server shall belong, and as what.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAdoption {
    owner: UserId,
    image: ImageId,
    size: SizeId,
    name: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConsoleLog {
    /// The end of it; absent: the cloud keeps none.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Console {
    /// Lets in whoever has it, for some minutes; absent: the cloud has no consoles.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// What the cloud has, beside what we know of it. A cloud in trouble is told, not hidden.
#[utoipa::path(get, path = "/cloud", tag = "administration",
    responses((status = OK, body = CloudView), Errors))]
pub(super) async fn cloud(State(app): State<App>, _: Administrator) -> Answer<Json<CloudView>> {
    let builds_max = app.cloud.builds_max();
    let view = match app_cloud::picture(&app).await {
        Ok(picture) => view(picture, builds_max),
        Err(PortalError::Cloud(error)) => CloudView {
            inventory: None,
            images: Vec::new(),
            unclaimed: Vec::new(),
            unclaimed_total: 0,
            builds_max,
            trouble: Some(TroubleView { code: error.code().to_owned(), detail: told(&error) }),
        },
        Err(error) => return Err(error.into()),
    };
    Ok(Json(view))
}

/// Makes a desktop of a server that nobody claims.
#[utoipa::path(post, path = "/cloud/unclaimed/{id}", tag = "administration",
    params(("id" = DesktopId, Path)), request_body = NewAdoption,
    responses((status = NO_CONTENT), Errors))]
pub(super) async fn adopt(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Id(id): Id<DesktopId>,
    Json(body): Json<NewAdoption>,
) -> Answer<StatusCode> {
    let NewAdoption { owner, image, size, name } = body;
    strays::adopt(&app, &actor, id, Adoption { owner, image, size, name }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a server that nobody claims.
#[utoipa::path(delete, path = "/cloud/unclaimed/{id}", tag = "administration",
    params(("id" = DesktopId, Path)), responses((status = NO_CONTENT), Errors))]
pub(super) async fn remove_unclaimed(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Id(id): Id<DesktopId>,
) -> Answer<StatusCode> {
    strays::remove(&app, &actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes the cloud's flavor of a size what the size says.
#[utoipa::path(post, path = "/cloud/sizes/{id}", tag = "administration",
    params(("id" = SizeId, Path)), responses((status = NO_CONTENT), Errors))]
pub(super) async fn mend_size(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Id(id): Id<SizeId>,
) -> Answer<StatusCode> {
    app_cloud::mend_size(&app, &actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes over what the cloud says of an image.
#[utoipa::path(post, path = "/cloud/images/{id}", tag = "administration",
    params(("id" = ImageId, Path)), responses((status = NO_CONTENT), Errors))]
pub(super) async fn take_image(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Id(id): Id<ImageId>,
) -> Answer<StatusCode> {
    app_cloud::take_image(&app, &actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The last lines that the server of a desktop wrote to its console.
#[utoipa::path(get, path = "/desktops/{id}/console-log", tag = "administration",
    params(("id" = DesktopId, Path)), responses((status = OK, body = ConsoleLog), Errors))]
pub(super) async fn console_log(
    State(app): State<App>,
    _: Administrator,
    Id(id): Id<DesktopId>,
) -> Answer<Json<ConsoleLog>> {
    Ok(Json(ConsoleLog { text: app_cloud::console_log(&app, id).await? }))
}

/// Opens the screen of a desktop's server, for rescue.
#[utoipa::path(post, path = "/desktops/{id}/console", tag = "administration",
    params(("id" = DesktopId, Path)), responses((status = OK, body = Console), Errors))]
pub(super) async fn open_console(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Id(id): Id<DesktopId>,
) -> Answer<Json<Console>> {
    Ok(Json(Console { url: app_cloud::console_url(&app, &actor, id).await? }))
}

fn view(picture: Picture, builds_max: Option<usize>) -> CloudView {
    let Picture { inventory, images, unclaimed, unclaimed_total } = picture;
    CloudView {
        inventory,
        images: images.into_iter().map(ImageView::from).collect(),
        unclaimed: unclaimed.into_iter().map(UnclaimedView::from).collect(),
        unclaimed_total,
        builds_max,
        trouble: None,
    }
}

impl From<ImagePicture> for ImageView {
    fn from(picture: ImagePicture) -> Self {
        let ImagePicture { id, name, is_offered, is_in_cloud, drift } = picture;
        Self { id, name, is_offered, is_in_cloud, drift }
    }
}

impl From<Unclaimed> for UnclaimedView {
    fn from(unclaimed: Unclaimed) -> Self {
        let Unclaimed { server, made_of } = unclaimed;
        Self {
            desktop: server.desktop,
            server: server.id.to_string(),
            name: made_of.name,
            node: server.node,
            generation: server.generation,
            state: state(&server.state).to_owned(),
            note: server.note.map(|note| note.code().to_owned()),
            owner: made_of.owner,
            image: made_of.image,
            size: made_of.size,
        }
    }
}

fn state(state: &PowerState) -> &'static str {
    match state {
        PowerState::Building => "building",
        PowerState::Active => "active",
        PowerState::Off => "off",
        PowerState::Error(_) => "error",
        PowerState::Deleting => "deleting",
    }
}

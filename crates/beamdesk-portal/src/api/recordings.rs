//! Recordings: list, play and download by a ticket, remove; and the policy.

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use beamdesk_http::Json;
use beamdesk_store::RecordingRow;
use beamdesk_types::{
    Actor, DesktopId, RecordingEnd, RecordingId, RecordingPolicy, RecordingUse, Secret, Timestamp,
    UserId,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App, PortalError,
    api::{
        bind::Bind,
        desktops::BAD_QUERY,
        error::{Answer, Errors},
        extract::{Administrator, Id, User},
    },
    app::{recordings as app_recordings, users},
};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordingsPage {
    /// Everybody's, for administrators; else one's own.
    #[serde(default)]
    #[param(required = false)]
    all: bool,
    /// Only those older than the one with this id.
    #[param(value_type = Option<String>)]
    before: Option<RecordingId>,
    /// At most 100.
    limit: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecordingList {
    /// Newest first.
    recordings: Vec<RecordingView>,
    policy: RecordingPolicy,
}

#[derive(Debug, Serialize, ToSchema)]
struct RecordingView {
    id: RecordingId,
    desktop: RecordedDesktop,
    user: RecordedUser,
    started: Timestamp,
    duration_ms: u64,
    bytes: u64,
    /// Why it ended; absent while it goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<RecordingEnd>,
    /// Made because the policy says so; only an administrator may remove it.
    required: bool,
    may: RecordingMay,
}

#[derive(Debug, Serialize, ToSchema)]
struct RecordedDesktop {
    id: DesktopId,
    /// As it was called then.
    name: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct RecordedUser {
    id: UserId,
    name: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct RecordingMay {
    /// Play and download.
    play: bool,
    remove: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPlayTicket {
    #[serde(rename = "use")]
    purpose: RecordingUse,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlayTicketView {
    /// Works once. Belongs into the body of a POST to `play_url`, and nowhere else.
    ticket: Secret,
    /// Where to post it.
    play_url: String,
    expires: Timestamp,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordingPolicyBody {
    policy: RecordingPolicy,
}

/// One's own recordings, or everybody's, newest first.
#[utoipa::path(get, path = "/recordings", tag = "recordings", params(RecordingsPage),
    responses((status = OK, body = RecordingList), Errors))]
pub(super) async fn recordings(
    State(app): State<App>,
    User(actor): User,
    page: Result<Query<RecordingsPage>, QueryRejection>,
) -> Answer<Json<RecordingList>> {
    let Query(page) = page.map_err(|_| BAD_QUERY)?;
    let limit = page.limit.unwrap_or(app_recordings::PAGE_ROWS);
    let limit = limit.clamp(1, app_recordings::PAGE_ROWS);
    let rows = app_recordings::list(&app, &actor, page.all, page.before, limit).await?;
    let recordings = views(&app, &actor, rows).await?;
    Ok(Json(RecordingList { recordings, policy: app.store.recording_policy().await? }))
}

/// A ticket to play or download a recording: good for 30 seconds, once, from this browser.
#[utoipa::path(post, path = "/recordings/{id}/tickets", tag = "recordings",
    params(("id" = RecordingId, Path)), request_body = NewPlayTicket,
    responses((status = CREATED, body = PlayTicketView), Errors))]
pub(super) async fn create_play_ticket(
    State(app): State<App>,
    User(actor): User,
    Id(id): Id<RecordingId>,
    headers: HeaderMap,
    Json(body): Json<NewPlayTicket>,
) -> Answer<Response> {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let bind = Bind::of(&headers)?;
    let issued = app_recordings::ticket(&app, &actor, id, body.purpose, origin, bind.value());
    let (issued, gateway) = issued.await?;
    let view = PlayTicketView {
        ticket: issued.ticket,
        play_url: format!("{gateway}/play"),
        expires: issued.expires,
    };
    let mut response = (StatusCode::CREATED, Json(view)).into_response();
    bind.set(&app, &mut response);
    Ok(response)
}

/// Removes a recording for good.
#[utoipa::path(delete, path = "/recordings/{id}", tag = "recordings",
    params(("id" = RecordingId, Path)), responses((status = NO_CONTENT), Errors))]
pub(super) async fn remove_recording(
    State(app): State<App>,
    User(actor): User,
    Id(id): Id<RecordingId>,
) -> Answer<StatusCode> {
    app_recordings::remove(&app, &actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether streams are recorded.
#[utoipa::path(get, path = "/recording-policy", tag = "recordings",
    responses((status = OK, body = RecordingPolicyBody), Errors))]
pub(super) async fn recording_policy(
    State(app): State<App>,
    _: User,
) -> Answer<Json<RecordingPolicyBody>> {
    Ok(Json(RecordingPolicyBody { policy: app.store.recording_policy().await? }))
}

/// Says whether streams are recorded: from the next connection on, but `off` ends those going on.
#[utoipa::path(put, path = "/recording-policy", tag = "administration",
    request_body = RecordingPolicyBody,
    responses((status = OK, body = RecordingPolicyBody), Errors))]
pub(super) async fn put_recording_policy(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Json(body): Json<RecordingPolicyBody>,
) -> Answer<Json<RecordingPolicyBody>> {
    app_recordings::set_policy(&app, &actor, body.policy).await?;
    Ok(Json(body))
}

async fn views(
    app: &App,
    actor: &Actor,
    rows: Vec<RecordingRow>,
) -> Result<Vec<RecordingView>, PortalError> {
    let names = if rows.iter().all(|row| row.user == actor.user) {
        Vec::new()
    } else {
        users::all(app).await?
    };
    let name = |id: UserId| {
        let other = names.iter().find(|user| user.id == id).map(|user| user.name.clone());
        if id == actor.user { actor.name.clone() } else { other.unwrap_or_default() }
    };
    let view = |row: RecordingRow| RecordingView {
        user: RecordedUser { id: row.user, name: name(row.user) },
        may: RecordingMay {
            play: app.config.place_of(&row.gateway, None).is_some(),
            remove: app_recordings::may_remove(actor, &row),
        },
        id: row.id,
        desktop: RecordedDesktop { id: row.desktop, name: row.desktop_name },
        started: row.started,
        duration_ms: u64::try_from(row.duration.as_millis()).unwrap_or(u64::MAX),
        bytes: row.bytes,
        end: row.end,
        required: row.required,
    };
    Ok(rows.into_iter().map(view).collect())
}

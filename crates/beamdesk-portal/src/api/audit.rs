//! What happened to whom, for administrators.

use axum::extract::{Query, State, rejection::QueryRejection};
use beamdesk_http::Json;
use beamdesk_types::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        desktops::BAD_QUERY,
        error::{Answer, Errors},
        extract::Administrator,
    },
};

/// Events of one page, unless asked for fewer.
const PAGE_EVENTS: u32 = 100;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    /// Only events older than the one with this id.
    before: Option<String>,
    /// At most 100.
    limit: Option<u32>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditList {
    /// Newest first.
    events: Vec<AuditView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct AuditView {
    id: String,
    at: Timestamp,
    actor: String,
    action: String,
    subject: String,
    detail: String,
}

/// What happened to whom, newest first.
#[utoipa::path(get, path = "/audit", tag = "administration", params(Page),
    responses((status = OK, body = AuditList), Errors))]
pub(super) async fn audit(
    State(app): State<App>,
    _: Administrator,
    page: Result<Query<Page>, QueryRejection>,
) -> Answer<Json<AuditList>> {
    let Query(page) = page.map_err(|_| BAD_QUERY)?;
    let limit = page.limit.unwrap_or(PAGE_EVENTS).clamp(1, PAGE_EVENTS);
    let entries = app.store.audit_events(page.before.as_deref(), limit).await?;
    let events = entries.into_iter().map(|entry| AuditView {
        id: entry.id,
        at: entry.event.at,
        actor: entry.event.actor,
        action: entry.event.action,
        subject: entry.event.subject,
        detail: entry.event.detail,
    });
    Ok(Json(AuditList { events: events.collect() }))
}

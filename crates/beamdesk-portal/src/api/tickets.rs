//! One-time tickets: from the portal's page to the gateway's.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use beamdesk_http::Json;
use beamdesk_types::{DesktopId, Secret, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App, PortalError,
    api::{
        bind::Bind,
        error::{Answer, Errors},
        extract::{Id, User},
    },
    app::{
        desktops,
        policy::{self, Act},
    },
};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TicketView {
    /// Works once. Belongs into the body of a POST to `connect_url`, and nowhere else.
    ticket: Secret,
    /// Where to post it.
    connect_url: String,
    expires: Timestamp,
}

/// A ticket to connect to one's own desktop: good for 30 seconds, once, from this browser.
#[utoipa::path(post, path = "/desktops/{id}/tickets", tag = "desktops",
    params(("id" = DesktopId, Path)), responses((status = CREATED, body = TicketView), Errors))]
pub(super) async fn create_ticket(
    State(app): State<App>,
    User(actor): User,
    Id(id): Id<DesktopId>,
    headers: HeaderMap,
) -> Answer<Response> {
    let desktop = desktops::one(&app, &actor, id).await?;
    policy::require(&actor, Act::Connect, &desktop)?;
    if !policy::is_possible(Act::Connect, &desktop) {
        return Err(PortalError::NotReady.into());
    }
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let gateway = app.config.gateway_of(origin).unwrap_or_default();
    let bind = Bind::of(&headers)?;
    let gateway_name = &app.config.gateway;
    let issued = app.auth.issue_ticket(&actor, &desktop, gateway_name, bind.value()).await?;
    let view = TicketView {
        ticket: issued.ticket,
        connect_url: format!("{gateway}/connect"),
        expires: issued.expires,
    };
    let mut response = (StatusCode::CREATED, Json(view)).into_response();
    bind.set(&app, &mut response);
    Ok(response)
}

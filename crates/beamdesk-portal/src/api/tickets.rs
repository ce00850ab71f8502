//! One-time tickets: from the portal's page to the gateway's.

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use beamdesk_auth::new_bind;
use beamdesk_http::{Cookie, Json, SameSite, cookies};
use beamdesk_types::{DesktopId, Secret, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    App, PortalError,
    api::{
        error::{Answer, Errors},
        extract::{Id, User},
        session::set_cookie,
    },
    app::{
        desktops,
        policy::{self, Act},
    },
};

/// Ties a ticket to the browser it was issued to. It opens nothing by itself.
const BIND_COOKIE: &str = "__Secure-bind";
/// Ours have 43 characters; what is longer is not ours.
const BIND_CHARS_MAX: usize = 64;

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
    let fresh = if bind(&headers).is_none() { Some(new_bind()?) } else { None };
    let bind = match &fresh {
        Some(fresh) => fresh.expose(),
        None => bind(&headers).unwrap_or_default(),
    };
    let issued = app.auth.issue_ticket(&actor, &desktop, &app.config.gateway, bind).await?;
    let view = TicketView {
        ticket: issued.ticket,
        connect_url: format!("{gateway}/connect"),
        expires: issued.expires,
    };
    let mut response = (StatusCode::CREATED, Json(view)).into_response();
    if let Some(fresh) = &fresh {
        set_cookie(&mut response, &bind_cookie(&app, fresh.expose()));
    }
    Ok(response)
}

/// Gives the browser a bind cookie, unless it has one.
pub(super) fn set_bind(
    app: &App,
    headers: &HeaderMap,
    response: &mut Response,
) -> Result<(), PortalError> {
    if bind(headers).is_none() {
        let fresh = new_bind()?;
        set_cookie(response, &bind_cookie(app, fresh.expose()));
    }
    Ok(())
}

/// `Lax`: it must come along when the portal's page posts to the gateway of the same site.
fn bind_cookie<'a>(app: &'a App, value: &'a str) -> Cookie<'a> {
    Cookie {
        same_site: SameSite::Lax,
        domain: app.config.bind_domain.as_deref(),
        ..Cookie::new(BIND_COOKIE, value)
    }
}

fn bind(headers: &HeaderMap) -> Option<&str> {
    let value = cookies::value(headers, BIND_COOKIE)?;
    (!value.is_empty() && value.len() <= BIND_CHARS_MAX).then_some(value)
}

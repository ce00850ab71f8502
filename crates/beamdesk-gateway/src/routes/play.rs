//! `POST /play`: a ticket from the portal's page becomes a cookie that opens one recording.

use axum::{
    Form,
    extract::{FromRequest as _, Request, State},
    http::{Method, header},
    response::Response,
};
use beamdesk_http::redirect;
use beamdesk_types::{PlayRequest, RecordingUse, Secret};
use serde::Deserialize;
use tokio::time::Instant;
use tracing::info;

use super::{attach::fresh_value, connect, cookie};
use crate::{
    portal,
    refusal::{self, Of},
    state::Gateway,
};

#[derive(Deserialize)]
struct PlayForm {
    ticket: Secret,
    #[serde(default)]
    lang: String,
    #[serde(default)]
    theme: String,
}

/// Any refusal, for whatever reason, is the same page.
pub(super) async fn play(State(gateway): State<Gateway>, request: Request) -> Response {
    let origin = gateway.portal_origins.check(request.headers()).map(str::to_owned);
    let back = origin.clone().or_else(|| gateway.portal_origins.iter().next().map(str::to_owned));
    let opened = match origin {
        Some(origin) if request.method() == Method::POST => open(&gateway, &origin, request).await,
        Some(_) | None => None,
    };
    opened.unwrap_or_else(|| refusal::page(Of::Recording, back.as_deref()))
}

async fn open(gateway: &Gateway, origin: &str, request: Request) -> Option<Response> {
    gateway.shelf.as_ref()?;
    let bind = cookie::bind(request.headers());
    let Form(form) = Form::<PlayForm>::from_request(request, &()).await.ok()?;
    if form.ticket.expose().len() > connect::TICKET_BYTES_MAX {
        return None;
    }
    let asked = PlayRequest { ticket: form.ticket, bind };
    let grant = match gateway.portal.redeem_play(&asked).await {
        Ok(grant) => grant,
        Err(error) => {
            portal::note(&error, "recording's ticket");
            return None;
        }
    };
    let recording = grant.recording;
    let address = match grant.purpose {
        RecordingUse::Play => format!("/r/{recording}"),
        RecordingUse::Download => format!("/r/{recording}/download"),
    };
    let mut response = redirect::see_other(&address)?;
    let value = fresh_value().ok()?;
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, cookie::set_play(recording, &value)?);
    connect::looks(&form.lang, &form.theme, headers);
    cookie::set_portal(headers, origin);
    let now = Instant::now().into_std();
    gateway.plays(|plays| plays.add(value, &grant, now));
    info!(recording.id = %recording, purpose = grant.purpose.as_str(), "Opened a recording");
    Some(response)
}

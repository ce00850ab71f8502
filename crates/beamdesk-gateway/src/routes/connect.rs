//! `POST /connect`: a ticket from the portal's page becomes a cookie and a clean address.

use axum::{
    Form,
    extract::{FromRequest as _, Request, State},
    http::{HeaderMap, Method, header},
    response::Response,
};
use beamdesk_http::redirect;
use beamdesk_types::{Grant, RedeemRequest, Secret};
use serde::Deserialize;
use tokio::time::Instant;
use tracing::{info, warn};

use super::cookie;
use crate::{portal, refusal, state::Gateway};

/// 256 bits in base64url are 43 characters.
pub(super) const TICKET_BYTES_MAX: usize = 256;

#[derive(Deserialize)]
struct ConnectForm {
    ticket: Secret,
    #[serde(default)]
    lang: String,
    #[serde(default)]
    theme: String,
}

/// Any refusal, for whatever reason, is the same page.
pub(super) async fn connect(State(gateway): State<Gateway>, request: Request) -> Response {
    let origin = gateway.portal_origins.check(request.headers()).map(str::to_owned);
    let back = origin.clone().or_else(|| gateway.portal_origins.iter().next().map(str::to_owned));
    let opened = match origin {
        Some(origin) if request.method() == Method::POST => open(&gateway, &origin, request).await,
        Some(_) | None => None,
    };
    opened.unwrap_or_else(|| refusal::page(refusal::Of::Desktop, back.as_deref()))
}

async fn open(gateway: &Gateway, origin: &str, request: Request) -> Option<Response> {
    let bind = cookie::bind(request.headers());
    let Form(form) = Form::<ConnectForm>::from_request(request, &()).await.ok()?;
    if form.ticket.expose().len() > TICKET_BYTES_MAX {
        return None;
    }
    let redeemed = gateway.portal.redeem(&RedeemRequest { ticket: form.ticket, bind }).await;
    let grant = match redeemed {
        Ok(grant) => grant,
        Err(error) => {
            portal::note(&error, "ticket");
            return None;
        }
    };
    let mut response = redirect::see_other(&format!("/d/{}", grant.desktop))?;
    answer(&grant, &form.lang, &form.theme, response.headers_mut())?;
    cookie::set_portal(response.headers_mut(), origin);
    let now = Instant::now().into_std();
    if !gateway.leases(|leases| leases.granted(grant.stream, now)) {
        warn!("No room for another stream");
        return None;
    }
    info!(stream.id = %grant.stream, desktop.id = %grant.desktop, "Redeemed a ticket");
    Some(response)
}

fn answer(grant: &Grant, lang: &str, theme: &str, answer: &mut HeaderMap) -> Option<()> {
    answer.append(header::SET_COOKIE, cookie::set_handle(grant.desktop, &grant.handle)?);
    looks(lang, theme, answer);
    Some(())
}

/// How the pages should look: as the portal does.
pub(super) fn looks(lang: &str, theme: &str, answer: &mut HeaderMap) {
    if matches!(lang, "en" | "zh") {
        cookie::set_word(answer, cookie::LANGUAGE, lang);
    }
    if matches!(theme, "light" | "dark" | "system") {
        cookie::set_word(answer, cookie::THEME, theme);
    }
}

//! The gateway's cookies: one resume handle per desktop, one value per recording that is played, how
//! the page should look, and the way back.

use axum::http::{HeaderMap, HeaderValue, header};
use beamdesk_http::{Cookie, SameSite, cookies};
use beamdesk_types::{DesktopId, RecordingId, Secret};

/// Set by the portal; binds a ticket to the browser that asked for it.
const BIND: &str = "__Secure-bind";
pub(super) const LANGUAGE: &str = "beamdesk-lang";
pub(super) const THEME: &str = "beamdesk-theme";
const PORTAL: &str = "beamdesk-portal";

/// Longer is none of ours, and goes to nobody.
const VALUE_BYTES_MAX: usize = 512;

/// Value of the browser's bind cookie; empty when it sent none.
pub(super) fn bind(request: &HeaderMap) -> Secret {
    Secret::new(bounded(request, BIND).unwrap_or_default().to_owned())
}

/// The resume handle the browser holds for a desktop.
pub(super) fn handle(request: &HeaderMap, desktop: DesktopId) -> Option<Secret> {
    let value = bounded(request, &name_of(desktop))?;
    (!value.is_empty()).then(|| Secret::new(value.to_owned()))
}

/// `None`: the portal gave a handle that no cookie can hold.
pub(super) fn set_handle(desktop: DesktopId, handle: &Secret) -> Option<HeaderValue> {
    let is_bounded = (1..=VALUE_BYTES_MAX).contains(&handle.expose().len());
    if is_bounded { Cookie::new(&name_of(desktop), handle.expose()).header() } else { None }
}

pub(super) fn remove_handle(desktop: DesktopId) -> HeaderValue {
    let cookie = Cookie::new(&name_of(desktop), "").removed().header();
    cookie.expect("a desktop's id has no character that a cookie cannot hold")
}

/// The value the browser holds for a recording that it was let into.
pub(super) fn play(request: &HeaderMap, recording: RecordingId) -> Option<&str> {
    bounded(request, &play_name_of(recording)).filter(|value| !value.is_empty())
}

/// `None`: never, for a value made here.
pub(super) fn set_play(recording: RecordingId, value: &str) -> Option<HeaderValue> {
    Cookie::new(&play_name_of(recording), value).header()
}

/// A word the viewer's script reads to look as the portal did; no secret.
pub(super) fn set_word(answer: &mut HeaderMap, name: &str, word: &str) {
    let cookie = Cookie { http_only: false, ..Cookie::new(name, word) };
    if let Some(value) = cookie.header() {
        answer.append(header::SET_COOKIE, value);
    }
}

/// Where the viewer's page links back to; no secret. Only for an origin that was checked.
pub(super) fn set_portal(answer: &mut HeaderMap, origin: &str) {
    let lasting = Cookie { same_site: SameSite::Lax, ..Cookie::new(PORTAL, origin) };
    let cookie = Cookie { http_only: false, ..lasting };
    if let Some(value) = cookie.header() {
        answer.append(header::SET_COOKIE, value);
    }
}

fn name_of(desktop: DesktopId) -> String {
    format!("__Host-gws-{desktop}")
}

fn play_name_of(recording: RecordingId) -> String {
    format!("__Host-rec-{recording}")
}

fn bounded<'a>(request: &'a HeaderMap, name: &str) -> Option<&'a str> {
    cookies::value(request, name).filter(|value| value.len() <= VALUE_BYTES_MAX)
}

//! The portal's pages, and everything that is wrapped around all answers.

use axum::{
    Router,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use beamdesk_http::{
    BODY_BYTES_MAX, ContentSecurityPolicy, HttpError, bundle, limit_bodies, request_ids,
    security_headers,
};

use crate::{App, api, config::PortalConfigError};

/// Everything a browser can ask of the portal.
pub(crate) fn public_router(app: &App) -> Result<Router, PortalConfigError> {
    let origins = app.config.portal_origins()?;
    // Forms with tickets go to the gateways, and to nobody else.
    let policy = ContentSecurityPolicy { form_action: app.config.gateway_origins() };
    let router = api::router(app.clone(), &origins).fallback(page);
    let router = limit_bodies(router, BODY_BYTES_MAX);
    Ok(request_ids(security_headers(router, &policy.text())))
}

/// A file of the bundle, or the one page that makes all others.
async fn page(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path();
    let is_page = !["/api/", "/internal/", "/assets/"].iter().any(|dir| path.starts_with(dir));
    if method != Method::GET && method != Method::HEAD {
        let bare = StatusCode::METHOD_NOT_ALLOWED;
        return if is_page { bare.into_response() } else { HttpError::not_found().into_response() };
    }
    match bundle::asset(path, &headers) {
        Some(file) => file,
        None if is_page => bundle::page("index.html", &headers),
        None => HttpError::not_found().into_response(),
    }
}

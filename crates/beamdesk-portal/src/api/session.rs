//! Logging in and out, and one's password.

use std::net::IpAddr;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use beamdesk_auth::Login;
use beamdesk_http::{Cookie, Json, SameSite};
use beamdesk_types::{Role, UserId};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::ToSchema;

use crate::{
    App, PortalError,
    api::{
        bind::{Bind, set_cookie},
        error::{Answer, Errors},
        extract::{From, SESSION_COOKIE, User},
        oidc::{ProviderPage, own_origin},
    },
    app::audit,
};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionView {
    user: Me,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Me {
    id: UserId,
    name: String,
    role: Role,
    /// `en`, `zh`, or empty: what the browser asks for.
    language: String,
    /// `system`, `light` or `dark`.
    theme: String,
    /// Logs in by an identity provider, and has no password of this installation.
    provided: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogIn {
    name: String,
    #[schema(value_type = String)]
    password: SecretString,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangePassword {
    #[schema(value_type = String)]
    old: SecretString,
    #[schema(value_type = String)]
    new: SecretString,
}

/// Who is logged in.
#[utoipa::path(get, path = "/session", tag = "session",
    responses((status = OK, body = SessionView), Errors))]
pub(super) async fn session(
    State(app): State<App>,
    User(actor): User,
) -> Answer<Json<SessionView>> {
    Ok(Json(SessionView { user: me(&app, actor.user).await? }))
}

/// Logs in with name and password.
#[utoipa::path(post, path = "/session", tag = "session", request_body = LogIn,
    responses((status = OK, body = SessionView), Errors))]
pub(super) async fn log_in(
    State(app): State<App>,
    From(address): From,
    headers: HeaderMap,
    Json(body): Json<LogIn>,
) -> Answer<Response> {
    let login = app.auth.login(&body.name, body.password, address).await?;
    info!(user.name = login.actor.name, "Logged in");
    audit::note(&app, &login.actor, "logged_in", audit::user(login.actor.user), text(address))
        .await?;
    begun(&app, &headers, &login).await
}

/// Logs out: ends this session, and within seconds all streams that it began. Where the session stands
/// on one of the identity provider, the answer says on which page that ends, too.
#[utoipa::path(delete, path = "/session", tag = "session",
    responses((status = NO_CONTENT), (status = OK, body = ProviderPage), Errors))]
pub(super) async fn log_out(
    State(app): State<App>,
    User(actor): User,
    headers: HeaderMap,
) -> Answer<Response> {
    let page = app.auth.oidc_farewell(actor.session, &own_origin(&app, &headers)).await?;
    app.auth.logout(actor.session).await?;
    app.events().changed();
    audit::note(&app, &actor, "logged_out", audit::user(actor.user), "").await?;
    let mut response = match page {
        Some(url) => Json(ProviderPage { url: url.into() }).into_response(),
        None => StatusCode::NO_CONTENT.into_response(),
    };
    set_cookie(&mut response, &session_cookie("").removed());
    Ok(response)
}

/// Changes one's password. All sessions end, and this browser gets a new one.
#[utoipa::path(post, path = "/session/password", tag = "session", request_body = ChangePassword,
    responses((status = OK, body = SessionView), Errors))]
pub(super) async fn change_password(
    State(app): State<App>,
    User(actor): User,
    headers: HeaderMap,
    Json(body): Json<ChangePassword>,
) -> Answer<Response> {
    let login = app.auth.change_password(&actor, body.old, body.new).await?;
    app.events().changed();
    audit::note(&app, &actor, "password_changed", audit::user(actor.user), "").await?;
    begun(&app, &headers, &login).await
}

/// The answer that begins a session: its cookie, and the bind cookie if there is none yet.
pub(super) async fn begun(app: &App, headers: &HeaderMap, login: &Login) -> Answer<Response> {
    let view = SessionView { user: me(app, login.actor.user).await? };
    let mut response = Json(view).into_response();
    begun_by(app, headers, login, &mut response)?;
    Ok(response)
}

/// Adds the cookies of a session that begins.
pub(super) fn begun_by(
    app: &App,
    headers: &HeaderMap,
    login: &Login,
    response: &mut Response,
) -> Result<(), PortalError> {
    let left = login.expires.duration_since(app.clock.now());
    let cookie = session_cookie(login.token.expose());
    let max_age = std::time::Duration::try_from(left).unwrap_or_default();
    set_cookie(response, &Cookie { max_age: Some(max_age), ..cookie });
    Bind::of(headers)?.set(app, response);
    Ok(())
}

pub(super) async fn me(app: &App, id: UserId) -> Result<Me, PortalError> {
    let user = app.store.user(id).await?.ok_or(PortalError::NotLoggedIn)?;
    let provided = app.store.issuer_of(id).await?.is_some();
    let (language, theme) = (user.language, user.theme);
    Ok(Me { id: user.id, name: user.name, role: user.role, language, theme, provided })
}

/// `Lax`, because a link from elsewhere must find the person logged in.
fn session_cookie(value: &str) -> Cookie<'_> {
    Cookie { same_site: SameSite::Lax, ..Cookie::new(SESSION_COOKIE, value) }
}

fn text(address: IpAddr) -> String {
    format!("from {address}")
}

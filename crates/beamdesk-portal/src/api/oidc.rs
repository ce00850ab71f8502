//! Logging in by an identity provider: the ways there are, leaving for the provider and coming back.

use axum::{
    Form, Json as PlainJson, Router,
    extract::{
        Query, State,
        rejection::{FormRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use beamdesk_auth::{Arrival, LocalLogin, ProofError};
use beamdesk_http::{Cookie, HttpError, Json, SameSite, cookies, redirect::see_other};
use beamdesk_types::Secret;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use utoipa::ToSchema;

use crate::{
    App, PortalError,
    api::{
        bind::set_cookie,
        error::{Answer, Errors, code_of},
        extract::From,
        session::{SessionView, begun, begun_by},
    },
    app::audit,
};

/// A login on its way to the provider and back. `Lax`: it must come along when the provider sends the
/// browser back.
const FLOW_COOKIE: &str = "__Host-oidc";

/// How people may log in here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LoginWaysView {
    /// Who may log in by a password of this installation: `everybody` or `administrators`.
    local: LocalWay,
    /// The button that leads to the identity provider; null: there is none.
    provider: Option<ProviderButton>,
    /// Whether `POST /session/keystone` takes tokens.
    keystone: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum LocalWay {
    Everybody,
    Administrators,
}

/// What stands on the button, in both languages of the pages.
#[derive(Debug, Serialize, ToSchema)]
struct ProviderButton {
    en: String,
    zh: String,
}

/// Where the browser goes next.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProviderPage {
    pub(super) url: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeystoneLogIn {
    /// As in the header `X-Auth-Token`.
    #[schema(value_type = String)]
    token: SecretString,
}

/// What the provider adds to the address it sends browsers back to. It may add more.
#[derive(Debug, Deserialize)]
struct Callback {
    code: Option<Secret>,
    state: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

#[derive(Debug, Deserialize)]
struct BackChannel {
    logout_token: Secret,
}

/// How people may log in.
#[utoipa::path(get, path = "/login-ways", tag = "session",
    responses((status = OK, body = LoginWaysView), Errors))]
pub(super) async fn login_ways(State(app): State<App>) -> Json<LoginWaysView> {
    let ways = app.auth.login_ways();
    Json(LoginWaysView {
        local: match ways.local {
            LocalLogin::Everybody => LocalWay::Everybody,
            LocalLogin::Administrators => LocalWay::Administrators,
        },
        provider: ways.oidc.map(|button| ProviderButton { en: button.en, zh: button.zh }),
        keystone: ways.keystone,
    })
}

/// Begins a login by the identity provider: the page goes to the address in the answer.
#[utoipa::path(post, path = "/oidc", tag = "session",
    responses((status = OK, body = ProviderPage), Errors))]
pub(super) async fn leave(State(app): State<App>, headers: HeaderMap) -> Answer<Response> {
    let departure = app.auth.begin_oidc(&own_origin(&app, &headers)).await?;
    let mut response = Json(ProviderPage { url: departure.url.into() }).into_response();
    let cookie = flow_cookie(departure.flow.expose());
    set_cookie(&mut response, &Cookie { max_age: Some(departure.flow_life), ..cookie });
    Ok(response)
}

/// Logs in with a token of OpenStack's Keystone, where that is allowed.
#[utoipa::path(post, path = "/session/keystone", tag = "session", request_body = KeystoneLogIn,
    responses((status = OK, body = SessionView), Errors))]
pub(super) async fn keystone(
    State(app): State<App>,
    From(address): From,
    headers: HeaderMap,
    Json(body): Json<KeystoneLogIn>,
) -> Answer<Response> {
    let login = app.auth.keystone_login(body.token, address).await?;
    info!(user.name = login.actor.name, "Logged in by a token of Keystone's");
    note(&app, &login.actor, address).await?;
    begun(&app, &headers, &login).await
}

/// What the provider, and browsers that it sends, ask for: no page of ours does, so these are outside
/// the rule for our own pages. What they carry proves itself: a state with its cookie, a signed token.
pub(super) fn router(app: App) -> Router {
    Router::new()
        .route("/oidc/callback", get(arrive))
        .route("/oidc/back-channel", post(back_channel))
        .with_state(app)
}

/// The browser comes back from the provider.
async fn arrive(
    State(app): State<App>,
    From(address): From,
    headers: HeaderMap,
    query: Result<Query<Callback>, QueryRejection>,
) -> Response {
    let arrived = async {
        // Twice the same name, or no text: not what was asked for.
        let Query(Callback { code, state, error, iss }) = query.map_err(|_| ProofError::Expired)?;
        let arrival = Arrival { code, state, error, issuer: iss };
        let flow = cookies::value(&headers, FLOW_COOKIE);
        let login = app.auth.finish_oidc(flow, arrival, address).await?;
        info!(user.name = login.actor.name, "Logged in by the identity provider");
        note(&app, &login.actor, address).await?;
        let mut response = internal_redirect("/");
        begun_by(&app, &headers, &login, &mut response)?;
        Ok::<_, PortalError>(response)
    };
    let mut response = match arrived.await {
        Ok(response) => response,
        Err(error) => {
            let code = code_of(&error);
            warn!(code, error = %error, "Nobody logged in by the identity provider");
            internal_redirect(&format!("/login/{code}"))
        }
    };
    set_cookie(&mut response, &flow_cookie("").removed());
    response
}

/// The provider says that a session of its own ended (OpenID Connect Back-Channel Logout 1.0, 2.5).
async fn back_channel(
    State(app): State<App>,
    form: Result<Form<BackChannel>, FormRejection>,
) -> Response {
    let Ok(Form(BackChannel { logout_token })) = form else {
        return HttpError::bad_request("bad_request", "logout_token is missing").into_response();
    };
    match app.auth.oidc_back_channel(logout_token.expose()).await {
        Ok(_) => {
            app.events().changed();
            ([(header::CACHE_CONTROL, "no-store")], StatusCode::OK).into_response()
        }
        Err(ProofError::Token(fault)) => {
            warn!(error = %fault, "A logout token was refused");
            let body = serde_json::json!({ "error": "invalid_request" });
            (StatusCode::BAD_REQUEST, PlainJson(body)).into_response()
        }
        Err(error) => crate::api::error::ApiError::from(error).into_response(),
    }
}

async fn note(
    app: &App,
    actor: &beamdesk_types::Actor,
    address: std::net::IpAddr,
) -> Result<(), PortalError> {
    // Another role ended this person's other sessions: their pages should see it.
    app.events().changed();
    audit::note(app, actor, "logged_in", audit::user(actor.user), format!("from {address}")).await
}

/// The origin of the page that asks; the first one, where a program asks.
pub(super) fn own_origin(app: &App, headers: &HeaderMap) -> String {
    let asked = headers.get(header::ORIGIN).map(axum::http::HeaderValue::as_bytes);
    let origins = &app.config.origins;
    let own = origins.iter().find(|pair| Some(pair.portal.as_bytes()) == asked);
    own.or(origins.first()).map(|pair| pair.portal.clone()).unwrap_or_default()
}

fn internal_redirect(path: &str) -> Response {
    see_other(path).unwrap_or_else(|| HttpError::internal().into_response())
}

fn flow_cookie(value: &str) -> Cookie<'_> {
    Cookie { same_site: SameSite::Lax, ..Cookie::new(FLOW_COOKIE, value) }
}

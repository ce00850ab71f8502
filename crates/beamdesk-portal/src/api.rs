//! HTTP only: routes, extractors, bodies, statuses. Decisions are in `app`.

mod agents;
mod audit;
mod bind;
mod cloud;
mod desktops;
mod error;
mod events;
mod extract;
mod images;
mod internal;
mod me;
mod metrics;
mod nodes;
mod offers;
mod oidc;
mod placement;
mod recordings;
mod reservations;
mod session;
mod setup;
mod sizes;
mod srm;
mod stations;
mod tickets;
mod users;
mod view;
mod whatif;

use axum::{Json, Router, routing::get};
use beamdesk_http::{HttpError, Origins, require_same_origin};
use utoipa::OpenApi as _;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::App;

pub(crate) use internal::internal_router;
pub(crate) use srm::srm_router;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Beamdesk portal",
        description = "Requests that change something need the header `X-Beamdesk: 1` and, with \
            a body, `Content-Type: application/json`."
    ),
    components(schemas(error::ErrorBody, error::ErrorDetail))
)]
struct Document;

fn routes() -> OpenApiRouter<App> {
    let v1 = OpenApiRouter::new()
        .routes(routes!(session::session, session::log_in, session::log_out))
        .routes(routes!(session::change_password))
        .routes(routes!(oidc::login_ways))
        .routes(routes!(oidc::leave))
        .routes(routes!(oidc::keystone))
        .routes(routes!(me::change_me))
        .routes(routes!(setup::setup_state, setup::set_up))
        .routes(routes!(desktops::desktops, desktops::create_desktop))
        .routes(routes!(desktops::desktop, desktops::change_desktop, desktops::remove_desktop))
        .routes(routes!(desktops::start_desktop))
        .routes(routes!(desktops::stop_desktop))
        .routes(routes!(desktops::restart_desktop))
        .routes(routes!(desktops::retry_desktop))
        .routes(routes!(desktops::extend_desktop))
        .routes(routes!(tickets::create_ticket))
        .routes(routes!(recordings::recordings))
        .routes(routes!(recordings::remove_recording))
        .routes(routes!(recordings::create_play_ticket))
        .routes(routes!(recordings::recording_policy, recordings::put_recording_policy))
        .routes(routes!(events::events))
        .routes(routes!(offers::offers))
        .routes(routes!(offers::check_offer))
        .routes(routes!(users::users, users::add_user))
        .routes(routes!(users::change_user))
        .routes(routes!(sizes::sizes, sizes::add_size))
        .routes(routes!(sizes::put_size, sizes::remove_size))
        .routes(routes!(images::images))
        .routes(routes!(images::put_image))
        .routes(routes!(stations::stations, stations::add_station))
        .routes(routes!(stations::put_station, stations::remove_station))
        .routes(routes!(reservations::reservations, reservations::add_reservation))
        .routes(routes!(reservations::remove_reservation))
        .routes(routes!(placement::placement, placement::put_placement))
        .routes(routes!(whatif::what_if))
        .routes(routes!(cloud::cloud))
        .routes(routes!(cloud::adopt, cloud::remove_unclaimed))
        .routes(routes!(cloud::mend_size))
        .routes(routes!(cloud::take_image))
        .routes(routes!(cloud::console_log))
        .routes(routes!(cloud::open_console))
        .routes(routes!(nodes::nodes))
        .routes(routes!(nodes::forget_node))
        .routes(routes!(nodes::node_history))
        .routes(routes!(nodes::put_maintenance))
        .routes(routes!(nodes::lift_quarantine))
        .routes(routes!(nodes::new_enrolment))
        .routes(routes!(metrics::new_metrics_token, metrics::remove_metrics_token))
        .routes(routes!(audit::audit));
    OpenApiRouter::with_openapi(Document::openapi()).nest("/api/v1", v1)
}

/// The OpenAPI document of the public API, as pretty JSON with a final line end.
pub fn openapi() -> String {
    let (_, document) = routes().split_for_parts();
    let mut text = serde_json::to_string_pretty(&document).expect("a document is always JSON");
    text.push('\n');
    text
}

/// The public API, with the check that requests come from our own pages.
pub(crate) fn router(app: App, origins: &Origins) -> Router {
    let (routes, _) = routes().split_for_parts();
    let from_provider = oidc::router(app.clone());
    let routes = routes
        .route("/api/openapi.json", get(document))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::metrics))
        .with_state(app);
    require_same_origin(routes, origins).merge(from_provider)
}

async fn document() -> ([(&'static str, &'static str); 1], String) {
    ([("content-type", "application/json")], openapi())
}

/// For load balancers: whether to send anybody here. Says no for a while before an orderly end.
async fn ready(state: axum::extract::State<App>) -> Result<Json<serde_json::Value>, HttpError> {
    if state.is_draining() {
        return Err(HttpError::unavailable());
    }
    let leads = state.leads();
    let Json(_) = health(state).await?;
    Ok(Json(serde_json::json!({ "ok": true, "leads": leads })))
}

/// Says whether the portal can work: whether its database answers.
async fn health(
    axum::extract::State(app): axum::extract::State<App>,
) -> Result<Json<serde_json::Value>, HttpError> {
    match app.store.administrators_count().await {
        Ok(_) => Ok(Json(serde_json::json!({ "ok": true }))),
        Err(error) => {
            tracing::warn!(%error, "Unhealthy: the database does not answer");
            Err(HttpError::unavailable())
        }
    }
}

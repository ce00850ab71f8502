//! What browsers may ask a gateway.

mod attach;
mod connect;
mod cookie;
mod pages;
mod play;
mod recording;
mod stream;

use axum::{
    Router,
    http::{HeaderValue, header},
    middleware::map_response,
    response::Response,
    routing::{any, get, post},
};
use beamdesk_http::{
    ContentSecurityPolicy, limit_bodies, request_ids, require_same_origin, security_headers,
};

use crate::state::Gateway;

/// A ticket and two words; the attach has no body.
const BODY_BYTES_MAX: usize = 4 << 10;

pub(crate) fn router(gateway: Gateway) -> Router {
    // Comes from the portal's origin by its nature, and checks that itself.
    let from_portal =
        Router::new().route("/connect", any(connect::connect)).route("/play", any(play::play));
    let own = Router::new()
        .route("/d/{desktop}/attach", post(attach::attach))
        .route("/d/{desktop}/stream", get(stream::stream))
        .route("/d/{desktop}", get(pages::viewer))
        .route("/r/{recording}", get(pages::player))
        .route("/r/{recording}/file", get(recording::file))
        .route("/r/{recording}/download", get(recording::download))
        .route("/healthz", get(pages::health))
        .route("/readyz", get(pages::ready))
        .fallback(pages::asset);
    let own = require_same_origin(own, &gateway.origins);
    let router = limit_bodies(from_portal.merge(own), BODY_BYTES_MAX).with_state(gateway);
    let router = security_headers(router, &ContentSecurityPolicy::default().text());
    // Nothing here links or posts elsewhere but the way back, which needs no referrer.
    request_ids(router.layer(map_response(without_referrer)))
}

async fn without_referrer(mut response: Response) -> Response {
    let none = HeaderValue::from_static("no-referrer");
    response.headers_mut().insert(header::REFERRER_POLICY, none);
    response
}

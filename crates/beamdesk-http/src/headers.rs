//! Headers that every answer carries: what a browser may do with it. SR-18.

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::Response,
};

use crate::Peer;

/// The policy of our pages: only our own files, no inline script or style, nobody may frame them.
#[derive(Debug, Clone, Default)]
pub struct ContentSecurityPolicy {
    /// Origins that forms may go to, besides the page's own.
    pub form_action: Vec<String>,
}

impl ContentSecurityPolicy {
    pub fn text(&self) -> String {
        let mut text = String::from(
            "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
             img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; \
             frame-ancestors 'none'; form-action 'self'",
        );
        for origin in &self.form_action {
            text.push(' ');
            text.push_str(origin);
        }
        text
    }
}

/// Set unless the handler set its own.
///
/// `Referrer-Policy` is not `no-referrer` here: under it a form that goes to another origin says
/// `Origin: null`, and the gateway could not tell the portal from a stranger.
const ALWAYS: [(HeaderName, &str); 7] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "strict-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
    (header::CACHE_CONTROL, "no-store"),
];

/// One year; only over TLS, where alone it means something.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Adds the headers to every answer of the router, its fallback and refusals included.
///
/// # Panics
/// When `csp` is not printable ASCII: it comes from checked configuration.
pub fn security_headers<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    csp: &str,
) -> Router<S> {
    let csp = HeaderValue::from_str(csp).expect("a policy is printable ASCII");
    router.layer(middleware::from_fn(move |request, next| with_headers(csp.clone(), request, next)))
}

async fn with_headers(csp: HeaderValue, request: Request, next: Next) -> Response {
    let tls = request.extensions().get::<Peer>().is_some_and(|peer| peer.tls);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(csp);
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if tls {
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(HSTS);
    }
    response
}

//! SR-18: what every answer says to the browser.

use reqwest::Method;
use serde_json::json;

use crate::system::{GATEWAY_ORIGIN, System};

#[tokio::test]
async fn every_response() {
    let system = System::start().await;
    let mut browser = system.administrator().await;
    let mut answers = Vec::new();
    for path in [
        "/",
        "/desktops",
        "/login",
        "/index.html",
        "/assets/none.js",
        "/..%2f..%2fetc/passwd",
        "/api",
        "/api/",
        "/api/v1/session",
        "/api/v1/desktops",
        "/api/v1/nowhere",
        "/api/v1/desktops/x",
        "/api/openapi.json",
        "/healthz",
        "/internal/v1/tickets/redeem",
    ] {
        answers.push(browser.get(path).await);
    }
    answers.push(browser.post("/api/v1/session", json!({ "bad": 1 })).await);
    answers.push(browser.send(Method::DELETE, "/api/v1/offers", None).await);
    answers.push(browser.send(Method::POST, "/", None).await);
    let bare = browser.request(Method::POST, "/api/v1/desktops");
    answers.push(browser.answer("no header", bare).await);
    for answer in &answers {
        let header = |name: &str| {
            answer.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned()
        };
        let what = &answer.what;
        let policy = header("content-security-policy");
        for part in [
            "default-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "script-src 'self' 'wasm-unsafe-eval'",
        ] {
            assert!(policy.contains(part), "{what}: {part} in {policy:?}");
        }
        assert!(!policy.contains("unsafe-inline"), "{what}");
        assert!(
            policy.contains(&format!("form-action 'self' {GATEWAY_ORIGIN}")),
            "{what}: {policy}"
        );
        assert_eq!(header("x-content-type-options"), "nosniff", "{what}");
        assert_eq!(header("cross-origin-opener-policy"), "same-origin", "{what}");
        assert_eq!(header("cross-origin-resource-policy"), "same-origin", "{what}");
        assert!(!header("x-request-id").is_empty(), "{what}");
        assert!(!header("cache-control").is_empty(), "{what}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{what}");
        assert!(!answer.headers.contains_key("server"), "{what}");
    }
    // What belongs to the API, or to gateways, is never answered with a page.
    for answer in answers.iter().filter(|answer| answer.what.contains("GET /internal")) {
        assert_eq!(answer.status, 404);
    }
    system.stop().await;
}

#[tokio::test]
async fn answers_of_the_api_are_not_kept() {
    let system = System::start().await;
    let mut browser = system.administrator().await;
    for path in ["/api/v1/session", "/api/v1/desktops", "/api/v1/users"] {
        let answer = browser.get(path).await;
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
    }
    system.stop().await;
}

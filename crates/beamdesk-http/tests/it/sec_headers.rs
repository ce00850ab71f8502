//! SR-18, for any router.

use axum::{Router, http::header, response::IntoResponse, routing::get};
use beamdesk_http::{ContentSecurityPolicy, HttpError, request_ids, security_headers};

use crate::client::Server;

#[tokio::test]
async fn every_answer_has_them_and_a_handler_may_be_stricter() {
    let own = || async { ([(header::REFERRER_POLICY, "no-referrer")], "own").into_response() };
    let router = Router::new()
        .route("/", get(|| async { "page" }))
        .route("/own", get(own))
        .route("/error", get(|| async { HttpError::internal() }));
    let policy = ContentSecurityPolicy { form_action: vec!["https://desk.example.org".to_owned()] };
    let server = Server::start(request_ids(security_headers(router, &policy.text()))).await;
    for (path, status) in [("/", 200), ("/own", 200), ("/error", 500), ("/none", 404)] {
        let answer = server.get(path).await.to_ascii_lowercase();
        assert!(answer.starts_with(&format!("http/1.1 {status}")), "{answer}");
        assert!(answer.contains("form-action 'self' https://desk.example.org\r\n"), "{answer}");
        for line in [
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "cross-origin-opener-policy: same-origin",
            "cross-origin-resource-policy: same-origin",
            "cache-control: no-store",
            "x-request-id: ",
        ] {
            assert!(answer.contains(line), "{path} {line}: {answer}");
        }
        assert!(!answer.contains("strict-transport-security"), "{path}: this is plain HTTP");
        let referrer = if path == "/own" { "no-referrer" } else { "strict-origin" };
        assert!(answer.contains(&format!("referrer-policy: {referrer}\r\n")), "{answer}");
    }
    let wrong = "DELETE / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = server.exchange(wrong).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 405") && answer.contains("allow: get"), "{answer}");
    assert!(answer.contains("nosniff") && answer.contains(r#""code":"method_not_allowed""#));
}

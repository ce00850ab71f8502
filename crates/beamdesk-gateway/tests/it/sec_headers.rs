//! SR-18: every answer says what a browser may do with it.

use crate::{
    browser::{Answer, Headers, request},
    world::{DESKTOP, PORTAL_ORIGIN, World},
};

#[tokio::test]
async fn every_response() {
    let world = World::new().await;
    let d = format!("/d/{DESKTOP}");
    let attach = format!("{d}/attach");
    let stream = format!("{d}/stream");
    let ours = ("x-beamdesk", "1");
    let from_portal = ("origin", PORTAL_ORIGIN);
    let cookie = format!("__Host-gws-{DESKTOP}=h0");
    let cases: [(&str, &str, Headers<'_>, u16); 22] = [
        ("GET", "/", &[], 404),
        ("GET", "/healthz", &[], 200),
        ("HEAD", "/healthz", &[], 200),
        ("POST", "/healthz", &[], 403),
        ("POST", "/healthz", &[ours], 405),
        ("GET", "/nothing", &[], 404),
        ("GET", "/assets/../../Cargo.toml", &[], 404),
        ("GET", "/viewer.html", &[], 404),
        ("GET", "/index.html", &[], 404),
        ("GET", "/d/not-an-id", &[], 404),
        ("GET", "/d/not-an-id/stream", &[("origin", "x")], 403),
        ("POST", "/d/not-an-id/attach", &[ours], 404),
        ("DELETE", &d, &[ours], 405),
        ("GET", &attach, &[], 405),
        ("POST", &attach, &[ours], 403),
        ("POST", &attach, &[ours, ("cookie", &cookie)], 200),
        ("POST", &attach, &[ours, ("content-length", "2147483648")], 413),
        ("GET", &stream, &[], 403),
        ("GET", "/connect", &[], 403),
        ("POST", "/connect", &[from_portal], 403),
        ("TRACE", "/", &[ours], 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", &[], 404),
    ];
    for (method, path, headers, status) in cases {
        let answer = request(world.gateway, method, path, headers, "").await;
        assert_eq!(answer.status, status, "{method} {path} {headers:?}");
        check(&format!("{method} {path}"), &answer);
    }
    // Pages are there when the web part is built, and say so when it is not.
    let page = request(world.gateway, "GET", &d, &[], "").await;
    assert!(matches!(page.status, 200 | 503));
    check("the viewer's page", &page);
    check("the redirect", &world.connect().await);
}

#[tokio::test]
async fn an_error_has_a_code_and_the_id_of_its_request() {
    let world = World::new().await;
    for (method, path) in [("GET", "/nothing"), ("POST", "/healthz"), ("DELETE", "/connectx")] {
        let answer = request(world.gateway, method, path, &[("x-request-id", "mine")], "").await;
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let id = answer.header("x-request-id").unwrap();
        assert_eq!(body["error"]["request_id"], id);
        assert_ne!(id, "mine", "nobody chooses what our log says");
        assert!(body["error"]["code"].is_string() && body["error"]["message"].is_string());
    }
}

#[tokio::test]
async fn transport_security_is_said_over_tls_alone() {
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let world = World::new().await;
    let plain = request(world.gateway, "GET", "/healthz", &[], "").await;
    assert_eq!(plain.header("strict-transport-security"), None);
    let tcp = tokio::net::TcpStream::connect(world.gateway_tls).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(&world.authority.client("x")));
    let mut tls = connector.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
    tls.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tls.read_to_string(&mut answer).await.unwrap();
    assert!(answer.to_ascii_lowercase().contains("strict-transport-security: max-age=31536000"));
}

fn check(what: &str, answer: &Answer) {
    let csp =
        answer.header("content-security-policy").unwrap_or_else(|| panic!("{what}: {answer:?}"));
    for part in [
        "default-src 'self'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ] {
        assert!(csp.contains(part), "{what}: {csp}");
    }
    assert!(!csp.contains("unsafe-inline") && !csp.contains("http"), "{what}: {csp}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{what}");
    }
    assert!(answer.header("permissions-policy").is_some(), "{what}");
    assert!(answer.header("cache-control").is_some(), "{what}");
    assert!(answer.header("x-request-id").is_some(), "{what}");
    assert!(answer.header("server").is_none(), "{what}");
}

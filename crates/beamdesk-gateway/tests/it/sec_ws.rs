//! SR-15: WebSockets from listed origins only, and only when an attach waits for them.

use beamdesk_gateway::Times;
use beamdesk_http::Limits;
use beamdesk_proto::{
    control::{GateHello, GateMessage, VERSION},
    wire::{HELLO_BYTES_MAX, json_message, kind, message},
};
use beamdesk_types::CloseReason;

use crate::{
    browser::{Viewer, request},
    world::{DESKTOP, OTHER, World},
};

#[tokio::test]
async fn cswsh() {
    let world = World::new().await;
    let (handle, nonce) = world.attached().await;
    let cookie = format!("__Host-gws-{DESKTOP}={handle}");
    let path = format!("/d/{DESKTOP}/stream");
    let own = world.origin.clone();
    let port = world.gateway.port();
    let table: Vec<String> = [
        "",
        " ",
        "null",
        "NULL",
        "undefined",
        "*",
        "file://",
        "data:",
        "about:blank",
        "//",
        "desk.example.org",
        "//desk.example.org",
        "https://",
        "https:///",
        "https:desk.example.org",
        "https://desk.example.org/",
        "https://desk.example.org/d",
        "https://desk.example.org?",
        "https://desk.example.org#",
        "https://desk.example.org.",
        "https://desk.example.org:443",
        "https://desk.example.org:8443",
        "https://desk.example.org:",
        "https://desk.example.org:0",
        "https://desk.example.org:00443",
        "http://desk.example.org",
        "ws://desk.example.org",
        "wss://desk.example.org",
        "ftp://desk.example.org",
        "HTTPS://desk.example.org",
        "https://DESK.example.org",
        "https://desk.example.ORG",
        "https://desk.Example.org",
        "https://evil.desk.example.org",
        "https://evildesk.example.org",
        "https://desk.example.org.evil.org",
        "https://desk.example.orgevil.org",
        "https://desk-example.org",
        "https://example.org",
        "https://org",
        "https://desk",
        "https://user@desk.example.org",
        "https://desk.example.org@evil.org",
        "https://user:pw@desk.example.org",
        "https://desk.example.org%2eevil.org",
        "https://desk.example.org%00.evil.org",
        "https://desk%2eexample.org",
        "https://desk.example.org\\.evil.org",
        "https://evil.org/https://desk.example.org",
        "https://evil.org?https://desk.example.org",
        "https://evil.org#desk.example.org",
        "https://desk.еxample.org",
        "https://dеsk.example.org",
        "https://xn--dsk-qla.example.org",
        "https://desk\u{3002}example.org",
        "https://[desk.example.org]",
        "https://127.0.0.1",
        "https://desk.example.org https://evil.org",
        "https://desk.example.org, https://evil.org",
        "https://evil.org https://desk.example.org",
        "https://desk.example.org;",
        "x",
        "chrome-extension://abcdefghijklmnop",
        "moz-extension://1-2-3",
        "https://portal.example.org",
        "blob:https://desk.example.org/1",
        "javascript://desk.example.org",
        "https://desk.example.org\t.",
    ]
    .iter()
    .map(|origin| (*origin).to_owned())
    .chain([
        format!("http://localhost:{port}"),
        format!("https://127.0.0.1:{port}"),
        format!("http://127.1:{port}"),
        format!("http://127.0.0.1:{}", port ^ 1),
        format!("{own}/"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
    ])
    .collect();
    assert!(table.len() >= 50);
    for origin in &table {
        let headers = [
            ("origin", origin.as_str()),
            ("cookie", cookie.as_str()),
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        // Byte by byte: a client library would refuse to send some of them.
        let answer = request(world.gateway, "GET", &path, &headers, "").await;
        assert_eq!(answer.status, 403, "{origin:?}");
    }
    for origins in
        [vec![], vec![own.as_str(), "https://evil.org"], vec![own.as_str(), own.as_str()]]
    {
        let mut headers = vec![("cookie", cookie.as_str())];
        headers.extend(origins.iter().map(|origin| ("origin", *origin)));
        let refused = Viewer::open(world.gateway, &path, &headers).await.err();
        assert_eq!(refused, Some(403), "{origins:?}");
    }
    assert!(!world.agent.was_dialled().await);
    // After all that the right page still opens its stream: the test can tell yes from no.
    world.opened(&handle, &nonce).await;
}

#[tokio::test]
async fn without_the_cookie_of_the_attach_there_is_no_upgrade() {
    let world = World::new().await;
    let (handle, nonce) = world.attached().await;
    assert_eq!(world.socket("h0").await.err(), Some(403), "the handle before it was rotated");
    assert_eq!(world.socket("").await.err(), Some(403));
    let own = world.origin.as_str();
    let cookie = format!("__Host-gws-{OTHER}={handle}; __Host-gws-{DESKTOP}=x");
    for (path, cookie) in [
        (format!("/d/{DESKTOP}/stream"), ""),
        (format!("/d/{OTHER}/stream"), cookie.as_str()),
        (format!("/d/{DESKTOP}/stream?nonce={nonce}"), ""),
    ] {
        let headers = [("origin", own), ("cookie", cookie)];
        assert_eq!(Viewer::open(world.gateway, &path, &headers).await.err(), Some(403), "{path}");
    }
    world.opened(&handle, &nonce).await;
}

#[tokio::test]
async fn a_nonce_opens_one_socket() {
    let world = World::new().await;
    let (handle, nonce) = world.attached().await;
    let mut late = world.socket(&handle).await.unwrap();
    let (_viewer, _agent) = world.opened(&handle, &nonce).await;
    late.hello(&nonce).await;
    assert_eq!(late.closed().await, Some((CloseReason::ProtocolError, true)));
    assert_eq!(world.socket(&handle).await.err(), Some(403));
}

#[tokio::test]
async fn a_wrong_first_message_opens_nothing() {
    let hello = |version, nonce: &str| {
        json_message(kind::GATE_HELLO, &GateHello { version, nonce: nonce.to_owned() })
    };
    let mut padded = format!("{{\"version\":{VERSION},\"nonce\":\"NONCE\",\"x\":\"");
    padded.push_str(&"a".repeat(HELLO_BYTES_MAX));
    padded.push_str("\"}");
    for bad in [
        hello(VERSION, "wrong"),
        hello(VERSION, ""),
        hello(VERSION + 1, "NONCE"),
        hello(0, "NONCE"),
        message(kind::GATE_HELLO, 0, padded.as_bytes()),
        message(
            kind::VIEWER,
            0,
            format!("{{\"version\":{VERSION},\"nonce\":\"NONCE\"}}").as_bytes(),
        ),
        message(kind::GATE_HELLO, 0, b"[]"),
        message(kind::GATE_HELLO, 0, b""),
        bytes::Bytes::new(),
    ] {
        let world = World::new().await;
        let (handle, nonce) = world.attached().await;
        let text = String::from_utf8_lossy(&bad).replace("NONCE", &nonce);
        // The replaced nonce is longer than the word: the length is written anew.
        let bytes = match text.get(8..) {
            Some(payload) => message(bad[0], 0, payload.as_bytes()),
            None => bad.clone(),
        };
        let mut viewer = world.socket(&handle).await.unwrap();
        viewer.send(bytes).await;
        assert_eq!(viewer.closed().await, Some((CloseReason::ProtocolError, true)), "{text:.80}");
        assert!(!world.agent.was_dialled().await);
    }
}

#[tokio::test]
async fn a_silent_socket_is_closed_before_anything_opens() {
    let hello = std::time::Duration::from_millis(300);
    let times = Times { hello, ..Times::default() };
    let world = World::with(times, Limits::default()).await;
    let (handle, _) = world.attached().await;
    let mut viewer = world.socket(&handle).await.unwrap();
    let closed = tokio::time::timeout(hello * 5, viewer.gate()).await.unwrap();
    let reason = CloseReason::ProtocolError;
    assert_eq!(closed, Some(GateMessage::Close { reason, retry: true }));
    assert!(!world.agent.was_dialled().await);
}

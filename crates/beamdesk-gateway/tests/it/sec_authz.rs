//! SR-14: whatever is not a plain yes from the portal opens nothing.

use std::time::Duration;

use beamdesk_gateway::Times;
use beamdesk_http::Limits;
use serde_json::{Value, json};

use crate::{
    pki::Authority,
    portal::{self, Answer, http},
    world::{AGENT, DESKTOP, STREAM, World},
};

fn answers(good: &Value) -> Vec<(&'static str, Answer)> {
    let raw = |text: String| Answer::Raw(text.into_bytes());
    let good_text = good.to_string();
    let without = |key: &str| {
        let mut grant = good.clone();
        grant.as_object_mut().unwrap().remove(key);
        Answer::Json(200, grant)
    };
    let with = |key: &str, value: Value| {
        let mut grant = good.clone();
        grant[key] = value;
        Answer::Json(200, grant)
    };
    let length = good_text.len();
    let padded = format!("{}{}", good_text, " ".repeat(300 << 10));
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    vec![
        ("refused", Answer::Json(403, json!({"refused": true}))),
        ("forbidden with a grant", Answer::Json(403, good.clone())),
        ("unauthorized with a grant", Answer::Json(401, good.clone())),
        ("not found", Answer::Json(404, good.clone())),
        ("created with a grant", Answer::Json(201, good.clone())),
        ("partial with a grant", Answer::Json(206, good.clone())),
        ("error with a grant", Answer::Json(500, good.clone())),
        ("bad gateway", Answer::Json(502, good.clone())),
        ("unavailable", Answer::Json(503, good.clone())),
        (
            "redirect",
            raw(format!(
                "HTTP/1.1 307 X\r\nlocation: /internal/v1/x\r\ncontent-length: {length}\r\n\r\n{good_text}"
            )),
        ),
        (
            "redirect to plain http",
            raw("HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n"
                .to_owned()),
        ),
        ("empty", raw("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned())),
        ("no content", raw("HTTP/1.1 204 OK\r\n\r\n".to_owned())),
        ("null", Answer::Json(200, Value::Null)),
        ("true", Answer::Json(200, json!(true))),
        ("a list", Answer::Json(200, json!([good]))),
        ("a wrapped grant", Answer::Json(200, json!({"grant": good}))),
        ("a refusal with 200", Answer::Json(200, json!({"refused": false}))),
        ("html", Answer::Raw(http(200, "<html>ok</html>"))),
        ("two documents", Answer::Raw(http(200, &format!("{good_text}{good_text}")))),
        ("deep nesting", Answer::Raw(http(200, &"[".repeat(100_000)))),
        ("too long", Answer::Raw(http(200, &padded))),
        (
            "cut short",
            raw(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{good_text}", length + 1)),
        ),
        (
            "cut in the grant",
            raw(format!("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{good_text:.20}")),
        ),
        ("broken chunks", raw(format!("{chunked}zz\r\n{good_text}\r\n0\r\n\r\n"))),
        ("no last chunk", raw(format!("{chunked}{length:x}\r\n{good_text}\r\n"))),
        ("endless header", raw(format!("HTTP/1.1 200 OK\r\nx: {}", "a".repeat(1 << 20)))),
        ("not HTTP", raw("SSH-2.0-x\r\n\r\n".to_owned())),
        ("silence", Answer::Drip(Vec::new())),
        (
            "a slow body",
            Answer::Drip(
                format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{{").into_bytes(),
            ),
        ),
        ("closes", Answer::Close),
        ("no TLS", Answer::Plain),
        ("no desktop", without("desktop")),
        ("no stream", without("stream")),
        ("no handle", without("handle")),
        ("no agent name", without("agent_name")),
        ("no address", without("address")),
        ("a wrong id", with("desktop", json!("x"))),
        ("an id that is not one", with("stream", json!(3))),
        ("an empty handle", with("handle", json!(""))),
        ("a handle with a line break", with("handle", json!("h1\r\nset-cookie: a=b"))),
        ("a handle with attributes", with("handle", json!("h1; Domain=evil.org"))),
        ("a huge handle", with("handle", json!("h".repeat(5000)))),
        ("a negative generation", with("generation", json!(-1))),
    ]
}

#[tokio::test]
async fn fail_closed() {
    let portal = Duration::from_millis(500);
    let world = World::with(Times { portal, ..Times::default() }, Limits::default()).await;
    let mut good = portal::grant(DESKTOP, STREAM, world.agent.address(), AGENT);
    good["handle"] = json!("h1");
    let answers = answers(&good);
    assert!(answers.len() >= 30);
    let mut opens = 0;
    for (name, answer) in answers {
        world.portal.answer_with(move |path, _| match &answer {
            Answer::Close | Answer::Plain => answer.clone(),
            Answer::Raw(_) | Answer::Json(..) | Answer::Drip(_) if path == "connect" => {
                Answer::Json(200, Value::Null)
            }
            Answer::Raw(_) | Answer::Json(..) | Answer::Drip(_) => answer.clone(),
        });
        let connected = world.connect().await;
        assert_eq!(connected.status, 403, "{name}: {connected:?}");
        assert!(connected.cookies().is_empty(), "{name}: {connected:?}");
        let attached = world.attach("h0").await;
        assert!(matches!(attached.status, 403 | 500 | 503), "{name}: {attached:?}");
        let handle = attached.cookie(&format!("__Host-gws-{DESKTOP}"));
        assert!(handle.is_none() && !attached.body.contains("nonce"), "{name}: {attached:?}");
        for socket in [world.socket("h0").await, world.socket("h1").await] {
            opens += usize::from(socket.is_ok());
        }
    }
    assert_eq!(opens, 0);
    assert!(!world.agent.was_dialled().await);
    world.portal.answer_normally();
    world.streaming().await;
}

#[tokio::test]
async fn a_portal_that_is_not_ours_is_not_asked() {
    for (same_authority, name) in [(false, portal::NAME), (true, "other.beamdesk.internal")] {
        let world = World::new().await;
        let authority = if same_authority { &world.authority } else { &Authority::fresh() };
        world.portal.use_identity_of(authority, name);
        let answer = world.connect().await;
        assert_eq!((answer.status, answer.cookies().len()), (403, 0));
        assert!(world.portal.asked("/internal/v1/tickets/redeem").is_empty(), "no ticket told");
    }
}

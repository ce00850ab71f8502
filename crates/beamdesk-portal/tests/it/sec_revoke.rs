//! SR-06, SR-13: what ends a person's right ends the streams, at the gateway's next lease.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    system::{System, gateway},
};

/// A granted stream of this browser's desktop.
async fn stream(system: &System, browser: &mut Browser, desktop: &str) -> Value {
    let path = format!("/api/v1/desktops/{desktop}/tickets");
    let ticket = browser.order(&path).await.expect(201);
    let body = json!({ "ticket": ticket["ticket"], "bind": browser.cookies["__Secure-bind"] });
    let (status, grant) = system.internal("/internal/v1/tickets/redeem", &body).await;
    assert_eq!(status, 200, "{grant}");
    grant
}

/// Why the lease of this stream ends, if it does.
async fn ended(system: &System, grant: &Value) -> Value {
    let body = json!({ "streams": [grant["stream"]], "closed": [] });
    let (status, answer) = system.internal("/internal/v1/leases/renew", &body).await;
    assert_eq!(status, 200, "{answer}");
    match answer["ended"].as_array().unwrap().as_slice() {
        [] => Value::Null,
        [end] => {
            assert_eq!(end["stream"], grant["stream"]);
            end["reason"].clone()
        }
        more => panic!("{more:?}"),
    }
}

#[tokio::test]
async fn logout_kills_streams() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut ada = system.account(&mut root, "ada", "user").await;
    let desktop = ada.ready_desktop("hers").await;
    let grant = stream(&system, &mut ada, &desktop).await;
    assert_eq!(ended(&system, &grant).await, Value::Null);
    ada.delete("/api/v1/session").await.expect(204);
    assert_eq!(ended(&system, &grant).await, "logged_out");
    system.stop().await;
}

#[tokio::test]
async fn a_disabled_account_loses_its_streams_and_sessions() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut ada = system.account(&mut root, "ada", "user").await;
    let me = ada.get("/api/v1/session").await.expect(200);
    let desktop = ada.ready_desktop("hers").await;
    let grant = stream(&system, &mut ada, &desktop).await;
    let path = format!("/api/v1/users/{}", me["user"]["id"].as_str().unwrap());
    root.send(Method::PATCH, &path, Some(json!({ "disabled": true }))).await.expect(200);
    assert_ne!(ended(&system, &grant).await, Value::Null);
    ada.get("/api/v1/session").await.refused(401, "unauthenticated");
    system.stop().await;
}

#[tokio::test]
async fn a_desktop_that_stops_or_restarts_ends_its_streams() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    for act in ["stop", "restart"] {
        let desktop = root.ready_desktop(act).await;
        let grant = stream(&system, &mut root, &desktop).await;
        assert_eq!(ended(&system, &grant).await, Value::Null);
        root.order(&format!("/api/v1/desktops/{desktop}/{act}")).await.expect(202);
        root.until_it(&desktop, |d| d["phase"] == "stopped" || d["generation"] == 2, act).await;
        assert_eq!(ended(&system, &grant).await, "desktop_gone", "{act}");
    }
    system.stop().await;
}

#[tokio::test]
async fn a_ticket_works_once_and_for_its_browser_alone() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let desktop = root.ready_desktop("x").await;
    let path = format!("/api/v1/desktops/{desktop}/tickets");
    let refused = json!({ "refused": true });

    let ticket = root.order(&path).await.expect(201);
    let body = json!({ "ticket": ticket["ticket"], "bind": "A".repeat(43) });
    let answer = system.internal("/internal/v1/tickets/redeem", &body).await;
    assert_eq!(answer, (403, refused.clone()), "another browser");
    let body = json!({ "ticket": ticket["ticket"], "bind": root.cookies["__Secure-bind"] });
    let answer = system.internal("/internal/v1/tickets/redeem", &body).await;
    assert_eq!(answer, (403, refused.clone()), "and then it is burned");

    let ticket = root.order(&path).await.expect(201);
    let body = json!({ "ticket": ticket["ticket"], "bind": root.cookies["__Secure-bind"] });
    let (status, grant) = system.internal("/internal/v1/tickets/redeem", &body).await;
    assert_eq!(status, 200);
    assert_eq!(grant["desktop"], desktop);
    assert_eq!(grant["agent_name"], format!("g1.{desktop}.agent.beamdesk.internal"));
    assert!(grant["address"].as_str().unwrap().ends_with(":7000"));
    let answer = system.internal("/internal/v1/tickets/redeem", &body).await;
    assert_eq!(answer, (403, refused), "once");
    system.stop().await;
}

#[tokio::test]
async fn too_many_resumes_are_told_from_refusals() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let desktop = root.ready_desktop("x").await;
    let mut grant = stream(&system, &mut root, &desktop).await;
    let path = "/internal/v1/streams/resume";
    let bind = root.cookies["__Secure-bind"].clone();
    for _ in 0..10 {
        let body = json!({ "handle": grant["handle"], "bind": bind });
        let (status, next) = system.internal(path, &body).await;
        assert_eq!(status, 200, "{next}");
        grant = next;
    }
    let body = json!({ "handle": grant["handle"], "bind": bind });
    let identity = system.authority().gateway_identity(&gateway()).unwrap();
    let answer = system.internal_text(&identity, path, &body).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\nretry-after: 10\r\n"), "{answer}");
    assert_eq!(ended(&system, &grant).await, Value::Null, "the stream goes on");
    // Everything else is the one refusal, also now: to another browser, and to nobody's handle.
    for body in [
        json!({ "handle": "x", "bind": bind }),
        json!({ "handle": grant["handle"], "bind": "A".repeat(43) }),
        json!({ "handle": grant["handle"], "bind": bind }),
    ] {
        let answer = system.internal(path, &body).await;
        assert_eq!(answer, (403, json!({ "refused": true })), "{body}");
    }
    system.stop().await;
}

#[tokio::test]
async fn only_gateways_may_ask() {
    let system = System::start().await;
    let somebody = "01900000-0000-7000-8000-000000000001".parse().unwrap();
    let agent = system.authority().agent_identity(somebody, 1).unwrap();
    let portal = system.authority().portal_identity().unwrap();
    let body = json!({ "streams": [], "closed": [] });
    let path = "/internal/v1/leases/renew";
    let (status, _) = system.internal_as(&portal, path, &body).await.unwrap();
    assert_eq!(status, 403, "a portal is no gateway");
    // An agent's certificate is for servers: TLS itself refuses it as a client's.
    let asked = system.internal_as(&agent, path, &body).await;
    assert!(asked.is_err(), "an agent got in: {asked:?}");
    system.stop().await;
}

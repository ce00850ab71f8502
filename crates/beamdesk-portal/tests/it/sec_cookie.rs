//! SR-02: what cookies say about themselves.

use serde_json::json;

use crate::system::{PASSWORD, System};

#[tokio::test]
async fn attributes() {
    let system = System::start().await;
    let mut browser = system.administrator().await;
    let id = browser.ready_desktop("x").await;
    browser.cookies.remove("__Secure-bind");
    browser.order(&format!("/api/v1/desktops/{id}/tickets")).await.expect(201);
    let change = json!({ "old": PASSWORD, "new": "another long one" });
    browser.post("/api/v1/session/password", change).await.expect(200);
    browser.delete("/api/v1/session").await.expect(204);
    let again = json!({ "name": "root", "password": "another long one" });
    browser.post("/api/v1/session", again).await.expect(200);

    let mut names = Vec::new();
    for line in &browser.set_cookies {
        let mut parts = line.split("; ");
        let name = parts.next().unwrap().split('=').next().unwrap();
        let said: Vec<&str> = parts.collect();
        for needed in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(said.contains(&needed), "{needed} in {line}");
        }
        assert!(!said.iter().any(|part| part.starts_with("Domain")), "{line}");
        match name {
            "__Host-sid" => assert!(said.iter().any(|part| part.starts_with("Max-Age")), "{line}"),
            "__Secure-bind" => {}
            other => panic!("an unknown cookie {other}"),
        }
        names.push(name.to_owned());
    }
    assert_eq!(names.iter().filter(|name| *name == "__Host-sid").count(), 4);
    assert_eq!(names.iter().filter(|name| *name == "__Secure-bind").count(), 2);
    system.stop().await;
}

#[tokio::test]
async fn a_login_always_begins_a_new_session() {
    let system = System::start().await;
    let mut browser = system.administrator().await;
    let first = browser.cookies["__Host-sid"].clone();
    let body = json!({ "name": "root", "password": PASSWORD });
    browser.post("/api/v1/session", body).await.expect(200);
    assert_ne!(browser.cookies["__Host-sid"], first);
    // One that a stranger planted is not taken over either.
    let mut planted = system.browser();
    planted.cookies.insert("__Host-sid".into(), "A".repeat(43));
    let body = json!({ "name": "root", "password": PASSWORD });
    planted.post("/api/v1/session", body).await.expect(200);
    assert_ne!(planted.cookies["__Host-sid"], "A".repeat(43));
    system.stop().await;
}

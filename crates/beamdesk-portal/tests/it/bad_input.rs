//! Bad input: each gets a clear answer to the person concerned, and nothing else is disturbed.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::system::{DEADLINE, PASSWORD, System};

#[tokio::test]
async fn a_table_of_it() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let id = root.ready_desktop("mine").await;
    let long = "x".repeat(65);
    let desktop = |name: &str, image: &str, size: &str| {
        Some(json!({ "name": name, "image": image, "size": size }))
    };
    let size = |id: &str, vcpus: u32, memory_mib: u64| {
        Some(json!({ "id": id, "name": "S", "vcpus": vcpus, "memory_mib": memory_mib,
            "disk_gib": 1, "enabled": true }))
    };
    let user = |name: &str, password: &str| {
        Some(json!({ "name": name, "password": password, "role": "user" }))
    };
    let missing = "01900000-0000-7000-8000-000000000001";
    let rows: Vec<(Method, String, Option<Value>, u16, &str)> = vec![
        (
            Method::POST,
            "session".into(),
            Some(json!({ "name": "root", "password": "wrong wrong" })),
            401,
            "wrong_login",
        ),
        (
            Method::POST,
            "session".into(),
            Some(json!({ "name": "nobody", "password": PASSWORD })),
            401,
            "wrong_login",
        ),
        (Method::POST, "session".into(), Some(json!({ "name": "root" })), 400, "bad_json"),
        (
            Method::POST,
            "session".into(),
            Some(json!({ "name": "root", "password": "x", "admin": true })),
            400,
            "bad_json",
        ),
        (Method::POST, "session".into(), None, 415, "not_json"),
        (
            Method::POST,
            "setup".into(),
            Some(json!({ "token": "x", "name": "eve", "password": PASSWORD })),
            403,
            "setup_refused",
        ),
        (
            Method::POST,
            "session/password".into(),
            Some(json!({ "old": "wrong wrong", "new": PASSWORD })),
            403,
            "wrong_password",
        ),
        (
            Method::POST,
            "session/password".into(),
            Some(json!({ "old": PASSWORD, "new": "short" })),
            400,
            "password_too_short",
        ),
        (
            Method::POST,
            "session/password".into(),
            Some(json!({ "old": PASSWORD, "new": "x".repeat(257) })),
            400,
            "password_too_long",
        ),
        (Method::PATCH, "me".into(), Some(json!({ "language": "fr" })), 400, "bad_json"),
        (Method::PATCH, "me".into(), Some(json!({ "language": "browser" })), 400, "bad_json"),
        (Method::POST, "desktops".into(), desktop("", "sim-desktop", "small"), 400, "invalid_name"),
        (
            Method::POST,
            "desktops".into(),
            desktop("   ", "sim-desktop", "small"),
            400,
            "invalid_name",
        ),
        (
            Method::POST,
            "desktops".into(),
            desktop(&long, "sim-desktop", "small"),
            400,
            "invalid_name",
        ),
        (
            Method::POST,
            "desktops".into(),
            desktop("a\u{202e}b", "sim-desktop", "small"),
            400,
            "invalid_name",
        ),
        (
            Method::POST,
            "desktops".into(),
            desktop("a\nb", "sim-desktop", "small"),
            400,
            "invalid_name",
        ),
        (Method::POST, "desktops".into(), desktop("a", "other", "small"), 400, "invalid_image"),
        (
            Method::POST,
            "desktops".into(),
            desktop("a", "sim-desktop", "other"),
            400,
            "invalid_size",
        ),
        (Method::POST, "desktops".into(), desktop("a", "../etc", "small"), 400, "bad_json"),
        (Method::GET, "desktops/not-an-id".into(), None, 404, "not_found"),
        (Method::GET, format!("desktops/{missing}"), None, 404, "not_found"),
        (Method::GET, format!("desktops/{}", id.to_uppercase()), None, 404, "not_found"),
        (Method::POST, format!("desktops/{missing}/start"), None, 404, "not_found"),
        (Method::POST, format!("desktops/{id}/retry"), None, 409, "not_now"),
        (Method::POST, format!("desktops/{id}/explode"), None, 404, "not_found"),
        (Method::PUT, format!("desktops/{id}"), Some(json!({})), 405, "method_not_allowed"),
        (Method::GET, "desktops?all=perhaps".into(), None, 400, "invalid"),
        (Method::GET, "audit?limit=-1".into(), None, 400, "invalid"),
        (Method::POST, "users".into(), user("Eve!", PASSWORD), 400, "invalid_name"),
        (Method::POST, "users".into(), user("eve", "short"), 400, "password_too_short"),
        (Method::POST, "users".into(), user("root", PASSWORD), 409, "taken"),
        (
            Method::PATCH,
            format!("users/{missing}"),
            Some(json!({ "disabled": true })),
            404,
            "not_found",
        ),
        (Method::POST, "sizes".into(), size("small", 1, 1024), 409, "taken"),
        (Method::POST, "sizes".into(), size("zero", 0, 1024), 400, "invalid_size"),
        (Method::POST, "sizes".into(), size("tiny", 1, 1), 400, "invalid_size"),
        (Method::POST, "sizes".into(), size("A B", 1, 1024), 400, "bad_json"),
        (Method::PUT, "sizes/small".into(), size("other", 1, 1024), 400, "invalid_id"),
        (Method::PUT, "sizes/none".into(), size("none", 1, 1024), 404, "not_found"),
        (Method::DELETE, "sizes/none".into(), None, 404, "not_found"),
        (Method::DELETE, "sizes/small".into(), None, 409, "in_use"),
        (
            Method::PUT,
            "images/none".into(),
            Some(json!({ "id": "none", "name": "N", "description": "", "enabled": true })),
            404,
            "not_found",
        ),
        (Method::GET, "nowhere".into(), None, 404, "not_found"),
    ];
    for (method, path, body, status, code) in rows {
        root.send(method, &format!("/api/v1/{path}"), body).await.refused(status, code);
    }
    let me = root.get("/api/v1/session").await.expect(200);
    let myself = format!("/api/v1/users/{}", me["user"]["id"].as_str().unwrap());
    let disabled = Some(json!({ "disabled": true }));
    root.send(Method::PATCH, &myself, disabled).await.refused(409, "last_administrator");
    // Nothing was disturbed.
    let list = root.get("/api/v1/desktops").await.expect(200);
    assert_eq!(list["desktops"].as_array().unwrap().len(), 1);
    assert_eq!(list["desktops"][0]["phase"], "ready");
    system.stop().await;
}

#[tokio::test]
async fn broken_json_is_told_by_its_place_and_never_repeated() {
    let system = System::start().await;
    let mut browser = system.browser();
    for body in
        ["", "{", "[]", "null", "{\"name\": \"root\", \"password\": hunter2secret}", "\u{0}"]
    {
        let request = browser
            .request(Method::POST, "/api/v1/session")
            .header("x-beamdesk", "1")
            .header("content-type", "application/json")
            .body(body);
        let answer = browser.answer(body, request).await;
        assert!(!answer.body.to_string().contains("hunter2"), "{}", answer.body);
        answer.refused(400, "bad_json");
    }
    system.stop().await;
}

#[tokio::test]
async fn a_body_of_two_gib_is_refused_by_its_length() {
    let system = System::start().await;
    let mut stream = TcpStream::connect(system.address).await.unwrap();
    let length = 2_u64 << 30;
    let head = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: x\r\nX-Beamdesk: 1\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    read.expect("answered at once, not after 2 GiB").unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\"body_too_large\""), "{answer}");
    system.stop().await;
}

#[tokio::test]
async fn guessing_passwords_is_slowed_down() {
    let system = System::start().await;
    system.administrator().await;
    let mut browser = system.browser();
    let mut statuses = Vec::new();
    for _ in 0..20 {
        let body = json!({ "name": "root", "password": "guess guess" });
        let answer = browser.post("/api/v1/session", body).await;
        statuses.push(answer.status);
        if answer.status == 429 {
            assert!(answer.headers.contains_key("retry-after"));
            answer.refused(429, "too_many");
            break;
        }
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    system.stop().await;
}

//! SR-23: what a page of another site can make a browser send changes nothing.

use reqwest::Method;
use serde_json::{Value, json};

use crate::system::System;

#[tokio::test]
async fn simple_requests() {
    let system = System::start().await;
    let mut browser = system.administrator().await;
    let id = browser.ready_desktop("kept").await;
    let document: Value = serde_json::from_str(&beamdesk_portal::openapi()).unwrap();
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            if method == Method::GET {
                continue;
            }
            let path = path.replace("{id}", &id);
            let body =
                json!({ "name": "eve", "image": "sim-desktop", "size": "small" }).to_string();
            type Headers = &'static [(&'static str, &'static str)];
            const JSON: (&str, &str) = ("content-type", "application/json");
            const OURS: (&str, &str) = ("x-beamdesk", "1");
            let forged: [(Headers, u16); 10] = [
                (&[JSON], 403),
                (&[JSON, ("x-beamdesk", "0")], 403),
                (&[JSON, OURS, ("x-beamdesk", "1")], 403),
                (&[JSON, OURS, ("sec-fetch-site", "cross-site")], 403),
                (&[JSON, OURS, ("sec-fetch-site", "same-site")], 403),
                (&[JSON, OURS, ("origin", "https://evil.example")], 403),
                (&[JSON, OURS, ("origin", "null")], 403),
                (&[OURS, ("content-type", "text/plain")], 415),
                (&[OURS, ("content-type", "application/x-www-form-urlencoded")], 415),
                (&[OURS, ("content-type", "multipart/form-data; boundary=x")], 415),
            ];
            for (headers, status) in forged {
                let mut request = browser.request(method.clone(), &path).body(body.clone());
                for (name, value) in headers {
                    request = request.header(*name, *value);
                }
                let answer = browser.answer(&format!("{method} {path} {headers:?}"), request).await;
                assert_eq!(answer.status, status, "{}: {}", answer.what, answer.body);
                tried += 1;
            }
        }
    }
    assert!(tried >= 180, "{tried} tried");
    let list = browser.get("/api/v1/desktops").await.expect(200);
    assert_eq!(list["desktops"].as_array().unwrap().len(), 1);
    assert_eq!(list["desktops"][0]["name"], "kept");
    assert_eq!(list["desktops"][0]["phase"], "ready");
    system.stop().await;
}

#[tokio::test]
async fn no_other_origin_is_told_anything() {
    let system = System::start().await;
    let mut browser = system.administrator().await;
    for path in ["/api/v1/session", "/api/v1/desktops"] {
        let request = browser
            .request(Method::OPTIONS, path)
            .header("origin", "https://evil.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "x-beamdesk,content-type");
        let answer = browser.answer("preflight", request).await;
        assert_eq!(answer.status, 403);
        let cors = answer.headers.keys().any(|name| name.as_str().starts_with("access-control"));
        assert!(!cors, "{:?}", answer.headers);
    }
    system.stop().await;
}

//! SR-23: requests that a foreign page can make change nothing.

use crate::{
    browser::{Headers, request},
    world::{DESKTOP, World},
};

#[tokio::test]
async fn simple_requests() {
    let world = World::new().await;
    let own = world.origin.as_str();
    let handle = world.connect().await.cookie(&format!("__Host-gws-{DESKTOP}")).unwrap();
    let cookie = format!("__Host-gws-{DESKTOP}={handle}");
    let path = format!("/d/{DESKTOP}/attach");
    let ours = ("x-beamdesk", "1");
    let cases: [(Headers<'_>, &str, u16); 16] = [
        (&[], "", 403),
        (&[("x-beamdesk", "0")], "", 403),
        (&[("x-beamdesk", "")], "", 403),
        (&[("x-beamdesk", "1, 1")], "", 403),
        (&[ours, ours], "", 403),
        (&[ours, ("origin", "null")], "", 403),
        (&[ours, ("origin", "https://evil.example.org")], "", 403),
        (&[ours, ("origin", own), ("origin", own)], "", 403),
        (&[ours, ("sec-fetch-site", "cross-site")], "", 403),
        (&[ours, ("sec-fetch-site", "same-site")], "", 403),
        (&[ours, ("sec-fetch-site", "")], "", 403),
        (&[ours, ("content-type", "text/plain")], "{}", 415),
        (&[ours, ("content-type", "application/x-www-form-urlencoded")], "a=b", 415),
        (&[ours, ("content-type", "multipart/form-data; boundary=x")], "--x--", 415),
        (&[ours, ("content-type", "application/json; charset=utf-7")], "{}", 415),
        (&[ours], "{}", 415),
    ];
    for (headers, body, status) in cases {
        let mut headers = headers.to_vec();
        headers.push(("cookie", &cookie));
        let answer = request(world.gateway, "POST", &path, &headers, body).await;
        assert_eq!(answer.status, status, "{headers:?} {body}");
        assert!(answer.cookies().is_empty());
    }
    assert!(world.portal.asked("/internal/v1/streams/resume").is_empty());
    let good = [ours, ("origin", own), ("sec-fetch-site", "same-origin"), ("cookie", &cookie)];
    assert_eq!(request(world.gateway, "POST", &path, &good, "").await.status, 200);
}

#[tokio::test]
async fn no_answer_allows_another_origin() {
    let world = World::new().await;
    let preflight = [
        ("origin", "https://evil.example.org"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "x-beamdesk"),
    ];
    let path = format!("/d/{DESKTOP}/attach");
    for method in ["OPTIONS", "GET", "POST"] {
        let answer = request(world.gateway, method, &path, &preflight, "").await;
        assert!(answer.status >= 400);
        assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control-")));
    }
}

//! From the portal's form to a clean address and a cookie.

use beamdesk_types::DesktopId;

use crate::{
    browser::{Headers, request},
    portal,
    world::{DESKTOP, OTHER_PORTAL_ORIGIN, PORTAL_ORIGIN, World},
};

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn a_ticket_becomes_a_cookie_and_a_clean_address() {
    let world = World::new().await;
    let answer = world.connect().await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("location"), Some(format!("/d/{DESKTOP}").as_str()));
    let mut cookies = answer.cookies();
    cookies.sort_unstable();
    let handle = format!("__Host-gws-{DESKTOP}=h0; Path=/; Secure; HttpOnly; SameSite=Strict");
    assert_eq!(cookies[0], handle);
    assert_eq!(cookies[1], "beamdesk-lang=zh; Path=/; Secure; SameSite=Strict");
    assert_eq!(cookies[3], "beamdesk-theme=dark; Path=/; Secure; SameSite=Strict");
    assert_eq!(cookies.len(), 4);
    assert!(!answer.body.contains("good") && !answer.body.contains("h0"));
    let asked = world.portal.asked("/internal/v1/tickets/redeem");
    assert_eq!(asked, [serde_json::json!({"ticket": "good", "bind": "b1"})]);
}

#[tokio::test]
async fn the_page_learns_which_portal_it_was_opened_from() {
    let world = World::new().await;
    for origin in [PORTAL_ORIGIN, OTHER_PORTAL_ORIGIN] {
        let headers = [("origin", origin), ("content-type", FORM)];
        let answer = request(world.gateway, "POST", "/connect", &headers, "ticket=good").await;
        let cookie = format!("beamdesk-portal={origin}; Path=/; Secure; SameSite=Lax");
        assert_eq!(answer.status, 303);
        assert!(answer.cookies().contains(&cookie.as_str()), "{:?}", answer.cookies());
    }
}

#[tokio::test]
async fn every_refusal_is_the_same_page_with_the_way_back() {
    let world = World::new().await;
    let good = "ticket=good";
    let long = format!("ticket={}", "a".repeat(300));
    let huge = format!("ticket={}", "a".repeat(5000));
    let ours = ("origin", PORTAL_ORIGIN);
    let form = ("content-type", FORM);
    let cases: [(&str, Headers<'_>, &str); 12] = [
        ("POST", &[ours, form], "ticket=bad"),
        ("POST", &[ours, form], ""),
        ("POST", &[ours, form], "lang=en"),
        ("POST", &[ours, form], "ticket=good&ticket=good"),
        ("POST", &[ours, form], &long),
        ("POST", &[ours], good),
        ("POST", &[ours, ("content-type", "text/plain")], good),
        ("POST", &[form], good),
        ("POST", &[("origin", "null"), form], good),
        ("POST", &[("origin", "https://evil.example.org"), form], good),
        ("POST", &[ours, ("origin", "https://evil.example.org"), form], good),
        ("GET", &[ours, form], good),
    ];
    for (method, headers, body) in cases {
        let answer = request(world.gateway, method, "/connect", headers, body).await;
        assert_eq!(answer.status, 403, "{method} {headers:?} {body}");
        assert!(answer.cookies().is_empty());
        let back = format!("<a href=\"{PORTAL_ORIGIN}/\">");
        assert!(answer.body.contains(&back) && answer.body.contains("lang=\"zh\""));
    }
    let too_large = request(world.gateway, "POST", "/connect", &[ours, form], &huge).await;
    assert_eq!((too_large.status, too_large.cookies().len()), (413, 0));
    assert_eq!(world.portal.asked("/internal/v1/tickets/redeem").len(), 1, "only `bad` is asked");
}

#[tokio::test]
async fn an_attach_rotates_the_cookie_and_needs_the_right_desktop() {
    let world = World::new().await;
    let (handle, nonce) = world.attached().await;
    assert_eq!((handle.as_str(), nonce.len()), ("h1", 64));
    assert_eq!(world.attached_again("h1").await.0, "h2");

    let refused = world.attach("stolen").await;
    assert_eq!(refused.status, 403);
    assert!(refused.cookies()[0].contains("Max-Age=0"), "the useless cookie goes away");

    let other = DesktopId::from_u128(9);
    let cookie = format!("__Host-gws-{other}=h2");
    let headers = [("x-beamdesk", "1"), ("cookie", cookie.as_str())];
    let path = format!("/d/{other}/attach");
    let swapped = request(world.gateway, "POST", &path, &headers, "").await;
    assert_eq!(swapped.status, 403, "a handle for one desktop opens no other");
    assert!(!swapped.body.contains("nonce"));
}

#[tokio::test]
async fn too_many_resumes_and_a_lost_portal_leave_the_cookie_alone() {
    let world = World::new().await;
    for (status, seen) in [(429, 429), (500, 503), (502, 503)] {
        world.portal.answer_with(move |_, _| portal::Answer::Json(status, serde_json::json!({})));
        let answer = world.attach("h0").await;
        assert_eq!(answer.status, seen);
        assert!(answer.cookies().is_empty());
    }
}

#[tokio::test]
async fn too_many_resumes_are_passed_on_with_a_sensible_wait() {
    let world = World::new().await;
    for (said, passed) in [
        ("retry-after: 7\r\n", "7"),
        ("retry-after: 86400\r\n", "60"),
        ("retry-after: -1\r\n", "10"),
        ("retry-after: soon\r\n", "10"),
        ("", "10"),
    ] {
        let text = format!("HTTP/1.1 429 X\r\n{said}content-length: 2\r\n\r\n{{}}");
        world.portal.answer_with(move |_, _| portal::Answer::Raw(text.clone().into_bytes()));
        let answer = world.attach("h0").await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some(passed)), "{said}");
        assert!(answer.cookies().is_empty(), "the handle is still good");
    }
}

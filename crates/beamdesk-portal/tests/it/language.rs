//! Which language an account has: its own choice, else what the browser asks for.

use reqwest::Method;
use serde_json::json;

use crate::system::System;

#[tokio::test]
async fn an_added_account_follows_the_browser_until_it_chooses() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    let mut ada = system.account(&mut root, "ada", "user").await;
    let session = ada.get("/api/v1/session").await.expect(200);
    assert_eq!(session["user"]["language"], "");
    // Its desktops start all the same.
    ada.ready_desktop("hers").await;
    for language in ["zh", "en", ""] {
        let change = Some(json!({ "language": language }));
        let me = ada.send(Method::PATCH, "/api/v1/me", change).await.expect(200);
        assert_eq!(me["language"], language);
        let theme = Some(json!({ "theme": "dark" }));
        let me = ada.send(Method::PATCH, "/api/v1/me", theme).await.expect(200);
        assert_eq!(me["language"], language, "another choice leaves it alone");
    }
    system.stop().await;
}

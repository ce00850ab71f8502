//! People whom an identity provider vouches for, as far as no provider is asked.

use beamdesk_store::{User, Vouched};
use beamdesk_types::{Clock as _, Role, StationId, UserId};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::{
    browser::Browser,
    system::{PASSWORD, System},
};

/// Somebody whom a provider vouches for, and who has a password all the same.
async fn vouched(system: &System, name: &str, role: Role, stations: &[&str]) -> Browser {
    let ids: Vec<StationId> = stations.iter().map(|id| id.parse().unwrap()).collect();
    let issuer = "https://login.example.org";
    let of = Vouched { issuer, subject: name, role, stations: Some(&ids) };
    let password = SecretString::from(PASSWORD.to_owned());
    let user = User {
        id: UserId::fresh(),
        name: name.to_owned(),
        role,
        disabled: false,
        password_hash: system.app.auth.hash_password(password).await.unwrap(),
        language: "en".to_owned(),
        theme: "system".to_owned(),
        created: system.clock.now(),
    };
    system.app.store.vouched_user(&of, &user, system.clock.now()).await.unwrap();
    system.log_in(name).await
}

#[tokio::test]
async fn people_choose_the_stations_of_their_groups_and_no_others() {
    let system = System::start().await;
    let mut root = system.administrator().await;
    for id in ["b2", "b7"] {
        root.post("/api/v1/stations", json!({ "id": id, "name": id })).await.expect(201);
    }
    let offered = async |browser: &mut Browser| -> Vec<Value> {
        let offers = browser.get("/api/v1/offers").await.expect(200);
        offers["stations"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect()
    };
    let wish = |station: Option<&str>| {
        json!({ "name": "x", "image": "sim-desktop", "size": "small",
        "station": station })
    };
    let mut ada = vouched(&system, "ada", Role::User, &["b7"]).await;
    assert_eq!(offered(&mut ada).await, ["b7"]);
    ada.post("/api/v1/desktops", wish(Some("b2"))).await.refused(400, "invalid_station");
    let check = json!({ "image": "sim-desktop", "size": "small", "station": "b2" });
    ada.post("/api/v1/offers/check", check).await.refused(400, "invalid_station");
    ada.post("/api/v1/desktops", wish(Some("b7"))).await.expect(201);
    ada.post("/api/v1/desktops", wish(None)).await.expect(201);

    // Operators look after all, and accounts of this installation choose all.
    let mut grace = vouched(&system, "grace", Role::Operator, &["b7"]).await;
    assert_eq!(offered(&mut grace).await, ["b2", "b7"]);
    let mut local = system.account(&mut root, "local", "user").await;
    assert_eq!(offered(&mut local).await, ["b2", "b7"]);
    local.post("/api/v1/desktops", wish(Some("b2"))).await.expect(201);

    // Who vouches for whom is for administrators to see.
    let users = root.get("/api/v1/users").await.expect(200);
    let issuer = |name: &str| {
        let users = users["users"].as_array().unwrap();
        users.iter().find(|user| user["name"] == name).unwrap()["issuer"].clone()
    };
    assert_eq!(issuer("ada"), "https://login.example.org");
    assert_eq!(issuer("local"), Value::Null);
    assert_eq!(ada.get("/api/v1/session").await.expect(200)["user"]["provided"], true);
    assert_eq!(local.get("/api/v1/session").await.expect(200)["user"]["provided"], false);
    system.stop().await;
}

#[tokio::test]
async fn without_a_provider_there_is_no_way_by_one() {
    let system = System::start().await;
    let mut browser = system.browser();
    let ways = browser.get("/api/v1/login-ways").await.expect(200);
    assert_eq!(ways, json!({ "local": "everybody", "provider": null, "keystone": false }));
    browser.order("/api/v1/oidc").await.refused(409, "no_provider");
    let body = json!({ "token": "x" });
    browser.post("/api/v1/session/keystone", body).await.refused(409, "no_provider");
    // From where a provider sends browsers: back to the login page, with a word.
    for query in ["", "?code=x&state=y", "?code=x&code=y", "?error=%0d%0aSet-Cookie:x", "?code=%ff"]
    {
        let callback = browser.request(Method::GET, &format!("/oidc/callback{query}"));
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        let answer = client.execute(callback.build().unwrap()).await.unwrap();
        assert_eq!(answer.status(), 303, "{query}");
        let to = answer.headers()["location"].to_str().unwrap();
        assert!(["/login/no_provider", "/login/login_expired"].contains(&to), "{query}: {to}");
        assert!(answer.headers()["set-cookie"].to_str().unwrap().contains("__Host-oidc=;"));
        assert!(answer.headers().contains_key("content-security-policy"));
    }
    // A provider is no page of ours: it sends a plain form.
    let form = browser.request(Method::POST, "/oidc/back-channel");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    let answer = browser.answer("back channel", form.body("logout_token=a.b.c")).await;
    answer.refused(409, "no_provider");
    for body in ["", "x=y", "logout_token=a&logout_token=b"] {
        let form = browser.request(Method::POST, "/oidc/back-channel");
        let form = form.header("content-type", "application/x-www-form-urlencoded").body(body);
        browser.answer("back channel", form).await.refused(400, "bad_request");
    }
    system.stop().await;
}

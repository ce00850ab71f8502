//! Logging in: once for all, again before the end, and what is done when it is refused.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use beamdesk_cloud::{
    CloudError,
    openstack::{Access, Client, Outcome, Service, Trouble},
};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::double::{Double, Reply, quick, token};

const SERVERS: &str = "/compute/v2.1/servers";

/// As if so much time had passed.
async fn later(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

fn unauthorised() -> Reply {
    let words = "The request you have made requires authentication.";
    Reply::Json(401, json!({"error": {"code": 401, "title": "Unauthorized", "message": words}}))
}

#[tokio::test]
async fn keystones_clock_tells_how_long_a_token_lives_and_ours_may_be_wrong() {
    // The double's tokens are of 2019; each lives an hour.
    let double = Double::start(|_, _| None).await;
    let client = double.client().await;
    for _ in 0..3 {
        client.get(Service::Compute, "/servers").done().await.unwrap();
    }
    assert_eq!(double.logins(), 1);
    let who = client.identity().await.unwrap();
    assert_eq!(
        (who.project_name.as_str(), who.roles.as_slice()),
        ("desktops", &["member".to_owned()][..])
    );
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_by_one_of_many_callers() {
    let double = Double::start(|_, _| None).await;
    let client = double.client().await;
    client.version(Service::Compute).await.unwrap();
    later(Duration::from_secs(54 * 60)).await;
    client.get(Service::Compute, "/servers").done().await.unwrap();
    assert_eq!(double.logins(), 1);
    later(Duration::from_secs(2 * 60)).await;
    let calls = (0..20).map(|_| client.get(Service::Compute, "/servers").done());
    for done in join_all(calls).await {
        done.unwrap();
    }
    assert_eq!(double.logins(), 2);
}

#[tokio::test]
async fn many_callers_without_a_token_log_in_once() {
    let double = Double::start(|_, _| None).await;
    let client = double.client().await;
    client.version(Service::Compute).await.unwrap();
    later(Duration::from_secs(2 * 3600)).await;
    let calls = (0..20).map(|_| client.get(Service::Compute, "/servers").done());
    for done in join_all(calls).await {
        done.unwrap();
    }
    assert_eq!(double.logins(), 2);
}

#[tokio::test]
async fn a_renewal_that_fails_stops_nobody_while_the_old_token_is_good() {
    let double =
        Double::start(|seen, before| (seen.is_login() && before > 0).then(unauthorised)).await;
    let client = double.client().await;
    later(Duration::from_secs(57 * 60)).await;
    for _ in 0..5 {
        client.get(Service::Compute, "/servers").done().await.unwrap();
    }
    assert_eq!(double.logins(), 2); // one try, and not again at once
}

#[tokio::test]
async fn a_token_that_is_refused_in_the_middle_is_exchanged_and_the_call_goes_on() {
    let double = Double::start(|seen, before| {
        let origin = format!("http://{}", seen.header("host").unwrap());
        match (seen.is_login(), before) {
            (true, 0) => Some(token(&origin, "old", 3600)),
            (true, _) => Some(token(&origin, "new", 3600)),
            (false, _) if seen.method == "POST" && seen.header("x-auth-token") == Some("old") => {
                Some(unauthorised())
            }
            (false, _) => None,
        }
    })
    .await;
    let client = double.client().await;
    // 401 says that it was not carried out, so that even this may be asked again.
    let made: Value =
        client.post(Service::Compute, "/servers").json(&json!({"a": 1})).send().await.unwrap();
    assert_eq!(made["server"]["id"], "made");
    assert_eq!((double.logins(), double.count("POST", SERVERS)), (2, 2));
    let last = double.seen().pop().unwrap();
    assert_eq!((last.header("x-auth-token"), last.body.as_str()), (Some("new"), r#"{"a":1}"#));
}

#[tokio::test]
async fn a_service_that_refuses_every_token_is_asked_with_two() {
    let double = Double::start(|seen, _| (seen.path == SERVERS).then(unauthorised)).await;
    let client = double.client().await;
    client.version(Service::Compute).await.unwrap();
    later(Duration::from_secs(60)).await;
    let error = client.get(Service::Compute, "/servers").done().await.unwrap_err();
    assert!(matches!(error.trouble(), Trouble::Credentials(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::NotDone);
    assert_eq!((double.logins(), double.count("GET", SERVERS)), (2, 2));
    // And the next call with one: a login for each call would flood Keystone.
    client.get(Service::Compute, "/servers").done().await.unwrap_err();
    assert_eq!((double.logins(), double.count("GET", SERVERS)), (2, 3));
}

#[tokio::test]
async fn wrong_credentials_are_told_with_who_can_renew_them_and_not_tried_on_and_on() {
    let double = Double::start(|seen, _| seen.is_login().then(unauthorised)).await;
    let error = double.connect().await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("user x") && said.contains("administrator of Beamdesk"), "{said}");
    assert_eq!(error.request(), Some("req-of-the-service"));
    assert!(matches!(error.into(), CloudError::Credentials { .. }));
    assert_eq!(double.logins(), 1);
}

#[tokio::test]
async fn credentials_that_end_are_replaced_in_the_file_without_a_restart() {
    let double = Double::start(|seen, before| {
        let old = seen.is_login() && before > 0 && seen.body.contains("old-secret");
        old.then(|| {
            let words = "Could not find Application Credential: x.";
            Reply::Json(
                404,
                json!({"error": {"code": 404, "title": "Not Found", "message": words}}),
            )
        })
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clouds.yaml");
    let write = |secret: &str| {
        let text = format!(
            "clouds: {{a: {{auth: {{auth_url: 'http://{}/v3', application_credential_id: x, \
             application_credential_secret: {secret}}}}}}}",
            double.address
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    write("old-secret");
    let access = Access::from_file(&path, "a").unwrap();
    let client = Client::connect(access, quick()).await.unwrap();
    later(Duration::from_secs(2 * 3600)).await;
    for _ in 0..5 {
        let error = client.get(Service::Compute, "/servers").done().await.unwrap_err();
        assert!(matches!(error.trouble(), Trouble::Credentials(_)), "{error}");
    }
    assert_eq!(double.logins(), 2); // and not one for each call
    write("new-secret");
    client.get(Service::Compute, "/servers").done().await.unwrap();
    assert_eq!(double.logins(), 3);
}

#[tokio::test]
async fn a_keystone_that_fails_is_asked_again_and_is_no_matter_of_credentials() {
    let bad: [fn() -> Reply; 5] = [
        || Reply::Close,
        || Reply::Json(503, Value::Null),
        || Reply::Json(201, json!({"token": {}})),
        || Reply::Half(201, json!({"token": {"a": "long enough to be cut into two"}})),
        || Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno".to_vec()),
    ];
    for bad in bad {
        let double =
            Double::start(move |seen, before| (seen.is_login() && before < 2).then(bad)).await;
        double.client().await;
        assert_eq!(double.logins(), 3);
    }
    let page =
        || Reply::Raw(b"HTTP/1.1 404 No\r\nConnection: close\r\n\r\n<h1>nginx</h1>".to_vec());
    let double = Double::start(move |seen, _| seen.is_login().then(page)).await;
    let error = double.connect().await.unwrap_err();
    assert!(matches!(error.trouble(), Trouble::Refused), "{error}");
}

#[tokio::test]
async fn secrets_are_in_no_debug_text() {
    let double = Double::start(|seen, _| {
        let origin = format!("http://{}", seen.header("host").unwrap());
        seen.is_login().then(|| token(&origin, "t0ken-secret", 3600))
    })
    .await;
    let client = double.client().await;
    assert!(!format!("{client:?}").contains("t0ken-secret"));
}

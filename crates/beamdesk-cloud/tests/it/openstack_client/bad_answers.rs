//! Each way in which an answer can go wrong, and what is known of the effect afterwards.

use std::time::Duration;

use beamdesk_cloud::{
    CloudError, RequestId,
    openstack::{Client, Outcome, Service, Settings, Trouble},
};
use serde_json::{Value, json};

use super::double::{Double, Reply, quick};

const SERVERS: &str = "/compute/v2.1/servers";

type Row = (&'static str, fn() -> Reply);

/// All that may have been carried out, for all that we know.
fn unsure() -> Vec<Row> {
    vec![
        ("closed", || Reply::Close),
        ("reset", || Reply::Reset),
        ("half", || Reply::Half(202, json!({"server": {"id": "made"}}))),
        ("garbage", || Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>".to_vec())),
        ("no http", || Reply::Raw(b"\x16\x03\x01 what is this\r\n\r\n".to_vec())),
        ("500", || Reply::Json(500, json!({"computeFault": {"message": "db"}}))),
        ("502", || Reply::Raw(b"HTTP/1.1 502 Bad Gateway\r\n\r\n<h1>no</h1>".to_vec())),
        ("503", || Reply::Json(503, Value::Null)),
        ("504", || Reply::Json(504, Value::Null)),
    ]
}

/// All that says that it was not.
fn refused_for_now() -> Vec<Row> {
    vec![
        ("429", || Reply::Json(429, json!({"overLimit": {"message": "slowly"}}))),
        ("413", || Reply::With(413, "Retry-After", "1".to_owned(), json!({}))),
    ]
}

#[tokio::test]
async fn a_read_is_asked_again_whatever_came() {
    for (name, bad) in unsure().into_iter().chain(refused_for_now()) {
        let double =
            Double::start(move |seen, before| (seen.path == SERVERS && before == 0).then(bad))
                .await;
        let client = double.client().await;
        let servers: Value = client.get(Service::Compute, "/servers").send().await.unwrap();
        assert_eq!(servers["servers"], json!([]), "{name}");
        assert_eq!(double.count("GET", SERVERS), 2, "{name}");
    }
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again_and_is_not_called_a_failure() {
    for (name, bad) in unsure() {
        let double =
            Double::start(move |seen, _| (seen.path == SERVERS && seen.method == "POST").then(bad))
                .await;
        let client = double.client().await;
        let made = client.post(Service::Compute, "/servers").json(&json!({})).send::<Value>().await;
        let error = made.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Unknown, "{name}: {error}");
        assert_eq!(double.count("POST", SERVERS), 1, "{name}");
        assert!(matches!(error.into(), CloudError::Unavailable { .. }), "{name}");
    }
}

#[tokio::test]
async fn what_was_surely_not_done_is_done_again() {
    for (name, bad) in refused_for_now() {
        let double = Double::start(move |seen, before| {
            (seen.path == SERVERS && seen.method == "POST" && before == 0).then(bad)
        })
        .await;
        let client = double.client().await;
        let made: Value =
            client.post(Service::Compute, "/servers").json(&json!({})).send().await.unwrap();
        assert_eq!(made["server"]["id"], "made", "{name}");
        assert_eq!(double.count("POST", SERVERS), 2, "{name}");
    }
}

#[tokio::test]
async fn a_refusal_after_a_lost_answer_leaves_it_unknown() {
    let double = Double::start(|seen, before| {
        let post = seen.method == "POST" && seen.path == SERVERS;
        post.then(|| match before {
            0 => Reply::Close,
            _ => Reply::Json(409, json!({"conflictingRequest": {"message": "Port in use"}})),
        })
    })
    .await;
    let client = double.client().await;
    let call = client.post(Service::Compute, "/servers").json(&json!({})).safe_to_repeat();
    let error = call.send::<Value>().await.unwrap_err();
    assert!(error.is_conflict());
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(double.count("POST", SERVERS), 2);
}

#[tokio::test]
async fn a_removal_whose_answer_was_lost_ends_well() {
    let double = Double::start(|seen, before| {
        let delete = seen.method == "DELETE";
        delete.then(|| match before {
            0 => Reply::Close,
            _ => Reply::Json(404, json!({"itemNotFound": {"message": "no such server"}})),
        })
    })
    .await;
    let client = double.client().await;
    assert!(!client.delete(Service::Compute, "/servers/a").gone().await.unwrap());
    let found = client.get(Service::Compute, "/servers").found::<Value>().await.unwrap();
    assert!(found.is_some());
}

#[tokio::test]
async fn nothing_is_gone_because_a_balancer_knows_no_way_to_it() {
    let double = Double::start(|seen, _| {
        let page = b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n<h1>nginx</h1>";
        seen.path.starts_with(SERVERS).then(|| Reply::Raw(page.to_vec()))
    })
    .await;
    let client = double.client().await;
    client.get(Service::Compute, "/servers/a").found::<Value>().await.unwrap_err();
    client.delete(Service::Compute, "/servers/a").gone().await.unwrap_err();
}

#[tokio::test]
async fn a_refusal_is_told_in_the_services_words_with_its_request_id() {
    let double = Double::start(|seen, _| {
        let post = seen.method == "POST" && seen.path == SERVERS;
        let words = "Quota exceeded for instances: Requested 1, but already used 10 of 10";
        post.then(|| Reply::Json(403, json!({"forbidden": {"message": words, "code": 403}})))
    })
    .await;
    let client = double.client().await;
    let operation = RequestId::fresh();
    let call = client.post(Service::Compute, "/servers").json(&json!({})).done();
    let error = operation.clone().scope(call).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotDone);
    assert!(error.is_quota());
    assert_eq!(error.request(), Some("req-of-the-service"));
    assert_eq!(error.global_request(), Some(&operation));
    let CloudError::Quota { what, request } = error.into() else { panic!("no quota") };
    assert_eq!(what, "instances");
    assert_eq!(request.unwrap().as_str(), "req-of-the-service");
    assert_eq!(double.count("POST", SERVERS), 1);
}

#[tokio::test]
async fn one_operation_has_one_id_in_all_its_calls_and_logins() {
    let double = Double::start(|_, _| None).await;
    let operation = RequestId::fresh();
    operation
        .clone()
        .scope(async {
            let client = double.client().await;
            client.get(Service::Compute, "/servers").send::<Value>().await.unwrap();
            client.post(Service::Network, "/ports").json(&json!({})).done().await.unwrap();
        })
        .await;
    let ids: Vec<_> = double
        .seen()
        .iter()
        .map(|s| s.header("x-openstack-request-id").unwrap().to_owned())
        .collect();
    assert_eq!(ids, vec![operation.as_str().to_owned(); 4]); // login, version, list, port
}

#[tokio::test]
async fn the_deadline_holds_over_all_tries_and_waits() {
    let double = Double::start(|seen, _| {
        (seen.path == SERVERS)
            .then(|| Reply::With(503, "Retry-After", "30".to_owned(), Value::Null))
    })
    .await;
    let client = double.client().await;
    let began = tokio::time::Instant::now();
    let call = client.get(Service::Compute, "/servers").deadline(Duration::from_secs(5));
    let error = call.send::<Value>().await.unwrap_err();
    // It does not wait for what would come too late.
    assert!(began.elapsed() < Duration::from_secs(4));
    assert!(matches!(error.trouble(), Trouble::Busy));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    let CloudError::Unavailable { retry_after, .. } = error.into() else { panic!("no wait") };
    assert_eq!(retry_after, Some(Duration::from_secs(30)));
}

#[tokio::test]
async fn a_service_that_never_answers_is_given_up() {
    let double = Double::start(|seen, _| (seen.path == SERVERS).then_some(Reply::Never)).await;
    let settings = Settings {
        deadline: Duration::from_millis(500),
        try_timeout: Duration::from_millis(100),
        ..quick()
    };
    let client = Client::connect(double.access(), settings).await.unwrap();
    client.version(Service::Compute).await.unwrap();
    let read = client.get(Service::Compute, "/servers").done().await.unwrap_err();
    assert!(matches!(read.trouble(), Trouble::Slow(_)), "{read}");
    assert_eq!(read.outcome(), Outcome::NotDone);
    let write = client.post(Service::Compute, "/servers").json(&json!({})).done().await;
    assert_eq!(write.unwrap_err().outcome(), Outcome::Unknown);
    assert_eq!(double.count("POST", SERVERS), 1);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_short() {
    let double = Double::start(|seen, _| {
        (seen.path == SERVERS).then(|| {
            let mut bytes = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
            bytes.resize(40 << 20, b' ');
            Reply::Raw(bytes)
        })
    })
    .await;
    let client = double.client().await;
    let error = client.get(Service::Compute, "/servers").send::<Value>().await.unwrap_err();
    assert!(matches!(error.trouble(), Trouble::TooLong), "{error}");
    assert_eq!(double.count("GET", SERVERS), 1);
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_token() {
    let double = Double::start(|seen, _| {
        (seen.path == SERVERS)
            .then(|| Reply::With(302, "Location", "/elsewhere".to_owned(), Value::Null))
    })
    .await;
    let client = double.client().await;
    let error = client.get(Service::Compute, "/servers").done().await.unwrap_err();
    assert!(matches!(error.trouble(), Trouble::Redirected));
    assert_eq!(double.count("GET", "/elsewhere"), 0);
}

#[tokio::test]
async fn nobody_there_is_surely_not_done() {
    let double = Double::start(|_, _| None).await;
    let client = double.client().await;
    client.version(Service::Compute).await.unwrap();
    drop(double); // its port is closed with it
    let call = client.post(Service::Compute, "/servers").deadline(Duration::from_millis(500));
    let error = call.json(&json!({})).done().await.unwrap_err();
    assert!(matches!(error.trouble(), Trouble::Unreachable(_)), "{error}");
    assert_eq!(error.outcome(), Outcome::NotDone);
}

#[tokio::test]
async fn no_bytes_make_it_panic() {
    let double = Double::start(|seen, before| {
        (seen.path == SERVERS).then(|| {
            // A congruential generator: the same bytes in each run (Numerical Recipes' constants).
            let mut state = u32::try_from(before).unwrap().wrapping_mul(2_654_435_761);
            let mut byte = move || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            };
            let mut bytes = Vec::new();
            if before % 2 == 0 {
                bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
            }
            bytes.extend((0..before % 97).map(|_| byte()));
            Reply::Raw(bytes)
        })
    })
    .await;
    let settings = Settings { tries: 1, ..quick() };
    let client = Client::connect(double.access(), settings).await.unwrap();
    for _ in 0..300 {
        client.get(Service::Compute, "/servers").send::<Value>().await.unwrap_err();
    }
    assert_eq!(double.count("GET", SERVERS), 300);
}

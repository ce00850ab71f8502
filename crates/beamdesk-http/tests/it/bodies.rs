//! Bounds of bodies, and what is said about bad ones.

use axum::{Router, routing::post};
use beamdesk_http::{BODY_BYTES_MAX, Json, limit_bodies, request_ids};
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use crate::client::{Server, rest};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    password: String,
}

async fn login(Json(login): Json<Login>) -> Json<usize> {
    Json(login.password.len())
}

async fn server() -> Server {
    let router = Router::new().route("/", post(login));
    Server::start(request_ids(limit_bodies(router, BODY_BYTES_MAX))).await
}

const HEAD: &str =
    "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n";

fn with_body(body: &str) -> String {
    format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn two_gib_are_refused_by_their_length_before_they_come() {
    let server = server().await;
    let answer = server.exchange(&format!("{HEAD}content-length: 2147483648\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains(r#""code":"body_too_large""#), "{answer}");
}

#[tokio::test]
async fn a_body_that_hides_its_length_is_cut_off() {
    let server = server().await;
    let mut stream = server.dial().await;
    let head = format!("{HEAD}transfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x10000));
    for _ in 0..64 {
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    // Either the answer came through or the connection was cut while we still wrote.
    let answer = rest(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn bad_json_is_named_and_not_repeated() {
    let server = server().await;
    assert!(server.exchange(&with_body(r#"{"password":"hunter2"}"#)).await.ends_with("\r\n\r\n7"));
    for bad in [
        "",
        "{",
        "[]",
        "null",
        r#"{"password":"hunter2""#,
        r#"{"password":17, "x":"hunter2"}"#,
        r#"{"password":"a","hunter2":"b"}"#,
        r#""hunter2""#,
        "{\"password\":\"hunter2\u{1}\"}",
        &"[".repeat(100_000),
    ] {
        let answer = server.exchange(&with_body(bad)).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains(r#""code":"bad_json""#), "{answer}");
        assert!(!answer.contains("hunter2"), "{answer}");
    }
    let form = with_body("{}").replace("application/json", "text/plain");
    assert!(server.exchange(&form).await.starts_with("HTTP/1.1 415"));
}

#[tokio::test]
async fn a_whole_mebibyte_is_taken_and_one_byte_more_is_not() {
    let server = server().await;
    let frame = r#"{"password":""}"#.len();
    let fitting = format!(r#"{{"password":"{}"}}"#, "a".repeat(BODY_BYTES_MAX - frame));
    let answer = server.exchange(&with_body(&fitting)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let over = format!(r#"{{"password":"{}"}}"#, "a".repeat(BODY_BYTES_MAX - frame + 1));
    let answer = server.exchange(&with_body(&over)).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
}

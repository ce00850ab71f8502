//! Behind a load balancer that speaks the PROXY protocol.

use std::{net::Ipv4Addr, time::Duration};

use axum::{Extension, Router, routing::get};
use beamdesk_http::{Limits, Peer};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::client::{Server, rest};

const GET: &[u8] = b"GET /who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

fn routes() -> Router {
    async fn who(Extension(peer): Extension<Peer>) -> String {
        peer.address.to_string()
    }
    Router::new().route("/who", get(who))
}

/// As HAProxy writes it for `send-proxy-v2`.
fn header(client: [u8; 4]) -> Vec<u8> {
    let start = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
    [&start[..], &client, &[192, 0, 2, 5], &[0xc0, 0x01], &[0x01, 0xbb]].concat()
}

async fn behind(proxy: Ipv4Addr, limits: Limits) -> Server {
    Server::with(routes(), None, Limits { proxies: vec![proxy.into()], ..limits }).await
}

async fn say(server: &Server, bytes: &[u8]) -> (TcpStream, String) {
    let mut stream = server.dial().await;
    stream.write_all(bytes).await.unwrap();
    let answer = rest(&mut stream).await;
    (stream, answer)
}

#[tokio::test]
async fn a_request_comes_from_whom_the_proxy_names() {
    let server = behind(Ipv4Addr::LOCALHOST, Limits::default()).await;
    let (_, answer) = say(&server, &[&header([198, 51, 100, 9]), GET].concat()).await;
    assert!(answer.ends_with("198.51.100.9:49153"), "{answer}");
}

#[tokio::test]
async fn a_health_check_comes_from_the_proxy_itself() {
    let server = behind(Ipv4Addr::LOCALHOST, Limits::default()).await;
    let (_, answer) = say(&server, &[b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", GET].concat()).await;
    assert!(answer.contains("127.0.0.1:"), "{answer}");
}

#[tokio::test]
async fn nobody_but_a_proxy_is_believed_and_a_proxy_must_speak() {
    let elsewhere = behind(Ipv4Addr::new(192, 0, 2, 5), Limits::default()).await;
    let (_, answer) = say(&elsewhere, &[&header([198, 51, 100, 9]), GET].concat()).await;
    assert!(!answer.contains("198.51.100.9"), "a stranger's header is no header: {answer}");
    let proxied = behind(Ipv4Addr::LOCALHOST, Limits::default()).await;
    let (_, answer) = say(&proxied, GET).await;
    assert_eq!(answer, "", "closed, since nobody knows whose it is");
}

#[tokio::test]
async fn one_client_behind_a_proxy_leaves_room_for_others() {
    let limits = Limits {
        pending_per_address: 2,
        pending_for: Duration::from_secs(30),
        ..Limits::default()
    };
    let server = behind(Ipv4Addr::LOCALHOST, limits).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut silent = server.dial().await;
        silent.write_all(&header([198, 51, 100, 9])).await.unwrap();
        held.push(silent);
    }
    // The third of one client is closed as soon as its header is read, and then two are counted.
    let mut third = server.dial().await;
    third.write_all(&header([198, 51, 100, 9])).await.unwrap();
    let mut all = held;
    all.push(third);
    let closed = {
        let waits = all.iter_mut().map(|stream| Box::pin(rest(stream)));
        futures_util::future::select_all(waits).await.0
    };
    assert_eq!(closed, "");
    let (_, answer) = say(&server, &[&header([198, 51, 100, 10]), GET].concat()).await;
    assert!(answer.ends_with("198.51.100.10:49153"), "{answer}");
}

#[tokio::test]
async fn a_proxy_that_says_only_half_a_header_is_not_waited_for_for_ever() {
    let limits = Limits { pending_for: Duration::from_millis(200), ..Limits::default() };
    let server = behind(Ipv4Addr::LOCALHOST, limits).await;
    let (_, answer) = say(&server, &header([198, 51, 100, 9])[..20]).await;
    assert_eq!(answer, "");
}

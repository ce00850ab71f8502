//! Its two ports: the one that misbehaves, and the one that says how much.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use anyhow::{Result, ensure};
use hyper::{Method, Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use super::relay::{Body, End, Relay, json_body, lock, says};

/// Thousandths of what is written as `0.25`.
pub(crate) fn milli(text: &str) -> Result<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    ensure!(fraction.len() <= 3 && fraction.bytes().all(|c| c.is_ascii_digit()), "at most 0.001");
    let milli = whole.parse::<u64>()? * 1000 + format!("{fraction:0<3}").parse::<u64>()?;
    ensure!(milli <= 1000, "a rate is between 0 and 1");
    Ok(milli)
}

/// When `accept` fails for want of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

pub(crate) async fn serve<F, R>(listener: TcpListener, relay: Arc<Relay>, connection: F)
where
    F: Fn(TcpStream, Arc<Relay>) -> R,
    R: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connection(stream, Arc::clone(&relay)));
            }
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

pub(crate) async fn carry(stream: TcpStream, relay: Arc<Relay>) {
    // The same socket: what is set on one holds for both.
    let Ok(socket) = socket2::SockRef::from(&stream).try_clone() else { return };
    let service = service_fn(|request: Request<Incoming>| {
        let relay = Arc::clone(&relay);
        let socket = &socket;
        async move {
            let answer = relay.carry(request).await;
            if matches!(answer, Err(End::Reset)) {
                // Closing it now sends RST. Without it, the end is the usual one.
                let _set = socket.set_linger(Some(Duration::ZERO));
            }
            answer
        }
    });
    // Its error is the fault we made, or a client that went away.
    let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

pub(crate) async fn steer(stream: TcpStream, relay: Arc<Relay>) {
    let service = service_fn(|request: Request<Incoming>| {
        let answer = steered(&request, &relay);
        async move { Ok::<_, Infallible>(answer) }
    });
    let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

fn steered(request: &Request<Incoming>, relay: &Relay) -> Response<Body> {
    let path = request.uri().path();
    let rate = path.strip_prefix("/rate/").map(milli);
    match (request.method(), path, rate) {
        (&Method::POST, "/on", _) => relay.on.store(true, Ordering::Relaxed),
        (&Method::POST, "/off", _) => relay.on.store(false, Ordering::Relaxed),
        (&Method::POST, _, Some(Ok(rate))) => relay.rate_milli.store(rate, Ordering::Relaxed),
        (&Method::GET, "/counts", _) => {}
        _ => return says(404, "POST /on, /off, /rate/0.2; GET /counts"),
    }
    let counts = lock(&relay.counts).clone();
    let faults: u64 = counts.values().sum();
    let body = json!({
        "on": relay.on.load(Ordering::Relaxed),
        "rate_milli": relay.rate_milli.load(Ordering::Relaxed),
        "requests": relay.number.load(Ordering::Relaxed),
        "faults": faults,
        "kinds": counts.len(),
        "counts": counts,
    });
    let mut answer = says(200, "");
    *answer.body_mut() = json_body(&body);
    answer
}

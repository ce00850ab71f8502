//! A portal that says what a test wants, byte by byte if need be.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use beamdesk_types::{CloseReason, DesktopId, StreamId};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use crate::pki::Authority;

pub(crate) const NAME: &str = "portal.beamdesk.internal";

#[derive(Clone)]
pub(crate) enum Answer {
    /// Status line's rest, headers and body, as they are.
    Raw(Vec<u8>),
    Json(u16, Value),
    /// The first bytes, then nothing until the asker goes away.
    Drip(Vec<u8>),
    /// The connection closes before or in the handshake.
    Close,
    /// Something that is no TLS.
    Plain,
}

type Oracle = Box<dyn Fn(&str, &Value) -> Answer + Send>;

#[derive(Clone)]
pub(crate) struct FakePortal(Arc<Shared>);

struct Shared {
    address: SocketAddr,
    grant: Value,
    state: Mutex<State>,
    tasks: TaskTracker,
}

struct State {
    oracle: Option<Oracle>,
    ended: Vec<(StreamId, CloseReason)>,
    asked: Vec<(String, Value)>,
    acceptor: TlsAcceptor,
}

impl FakePortal {
    /// Grants `grant` for ticket `good` and for handles `h0`, `h1`, …, each giving the next.
    pub(crate) async fn start(authority: &Authority, grant: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = State {
            oracle: None,
            ended: Vec::new(),
            asked: Vec::new(),
            acceptor: TlsAcceptor::from(authority.server(NAME, &[])),
        };
        let portal = Self(Arc::new(Shared {
            address: listener.local_addr().unwrap(),
            grant,
            state: Mutex::new(state),
            tasks: TaskTracker::new(),
        }));
        let accepting = portal.clone();
        portal.0.tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let portal = accepting.clone();
                let token = portal.0.tasks.token();
                accepting.0.tasks.spawn(async move { portal.serve(stream, token).await });
            }
        });
        portal
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// From now on every question gets this answer.
    pub(crate) fn answer_with(&self, oracle: impl Fn(&str, &Value) -> Answer + Send + 'static) {
        self.0.state.lock().unwrap().oracle = Some(Box::new(oracle));
    }

    pub(crate) fn answer_normally(&self) {
        self.0.state.lock().unwrap().oracle = None;
    }

    pub(crate) fn end(&self, stream: StreamId, reason: CloseReason) {
        self.0.state.lock().unwrap().ended.push((stream, reason));
    }

    pub(crate) fn use_identity_of(&self, authority: &Authority, name: &str) {
        self.0.state.lock().unwrap().acceptor = TlsAcceptor::from(authority.server(name, &[]));
    }

    pub(crate) fn asked(&self, path: &str) -> Vec<Value> {
        let state = self.0.state.lock().unwrap();
        let of_path = state.asked.iter().filter(|(asked, _)| asked == path);
        of_path.map(|(_, body)| body.clone()).collect()
    }

    async fn serve(&self, mut stream: TcpStream, _alive: TaskTrackerToken) {
        match self.oracle("connect", &Value::Null) {
            Some(Answer::Close) => return,
            Some(Answer::Plain) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap_or_default();
                return;
            }
            Some(_) | None => {}
        }
        let acceptor = self.0.state.lock().unwrap().acceptor.clone();
        let Ok(mut stream) = acceptor.accept(stream).await else { return };
        while let Some((path, body)) = read_request(&mut stream).await {
            let answer = {
                let answer = self.oracle(&path, &body);
                self.0.state.lock().unwrap().asked.push((path.clone(), body.clone()));
                answer.unwrap_or_else(|| self.usual(&path, &body))
            };
            let bytes = match answer {
                Answer::Raw(bytes) => {
                    stream.write_all(&bytes).await.unwrap_or_default();
                    stream.shutdown().await.unwrap_or_default();
                    return;
                }
                Answer::Drip(bytes) => {
                    stream.write_all(&bytes).await.unwrap_or_default();
                    // Ends when the gateway has had enough.
                    let mut rest = [0; 64];
                    while stream.read(&mut rest).await.is_ok_and(|n| n > 0) {}
                    return;
                }
                Answer::Json(status, body) => http(status, &body.to_string()),
                Answer::Close | Answer::Plain => return,
            };
            if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                return;
            }
        }
    }

    fn oracle(&self, path: &str, body: &Value) -> Option<Answer> {
        let state = self.0.state.lock().unwrap();
        state.oracle.as_ref().map(|oracle| oracle(path, body))
    }

    fn usual(&self, path: &str, body: &Value) -> Answer {
        let refused = Answer::Json(403, json!({"refused": true}));
        match path {
            "/internal/v1/tickets/redeem" => match body["ticket"].as_str() {
                Some("good") => Answer::Json(200, self.grant_with("h0")),
                _ => refused,
            },
            "/internal/v1/streams/resume" => {
                let handle = body["handle"].as_str().unwrap_or_default();
                match handle.strip_prefix('h').and_then(|n| n.parse::<u32>().ok()) {
                    Some(n) => Answer::Json(200, self.grant_with(&format!("h{}", n + 1))),
                    None => refused,
                }
            }
            "/internal/v1/leases/renew" => {
                let ended = self.0.state.lock().unwrap().ended.clone();
                let ended: Vec<Value> = ended
                    .iter()
                    .map(|(stream, reason)| json!({"stream": stream, "reason": reason}))
                    .collect();
                Answer::Json(200, json!({"ended": ended, "now": "2026-01-01T00:00:00Z"}))
            }
            _ => Answer::Json(404, json!({})),
        }
    }

    fn grant_with(&self, handle: &str) -> Value {
        let mut grant = self.0.grant.clone();
        grant["handle"] = json!(handle);
        grant
    }
}

pub(crate) fn grant(
    desktop: DesktopId,
    stream: StreamId,
    agent: SocketAddr,
    agent_name: &str,
) -> Value {
    json!({
        "stream": stream,
        "user": "00000000-0000-7000-8000-000000000001",
        "user_name": "ada",
        "desktop": desktop,
        "desktop_name": "lab",
        "generation": 1,
        "address": agent.to_string(),
        "agent_name": agent_name,
        "handle": "",
    })
}

pub(crate) fn http(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// One request's path and JSON body.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, Value)> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let mut bytes = Vec::new();
    let read = async {
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| {
                        line.to_ascii_lowercase()
                            .strip_prefix("content-length:")?
                            .trim()
                            .parse()
                            .ok()
                    })
                    .unwrap_or(0);
                if body.len() >= length {
                    let path = head.split(' ').nth(1)?.to_owned();
                    return Some((path, serde_json::from_str(body).unwrap_or(Value::Null)));
                }
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.ok()?
}

//! A browser's requests, header by header.

use std::{net::SocketAddr, time::Duration};

use beamdesk_proto::{
    control::{GateHello, GateMessage, VERSION},
    wire::{self, Message, json_message, kind},
};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, client::IntoClientRequest as _, protocol::Message as Frame},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// Names and values, in order.
pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn cookies(&self) -> Vec<&str> {
        let set = self.headers.iter().filter(|(key, _)| key == "set-cookie");
        set.map(|(_, value)| value.as_str()).collect()
    }

    /// Value of a cookie that is set and not taken back.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        self.cookies().into_iter().find_map(|cookie| {
            let value = cookie.strip_prefix(name)?.strip_prefix('=')?.split(';').next()?;
            (!value.is_empty()).then(|| value.to_owned())
        })
    }
}

/// One request on a connection of its own; `headers` replace nothing.
pub(crate) async fn request(
    gateway: SocketAddr,
    method: &str,
    path: &str,
    headers: Headers<'_>,
    body: &str,
) -> Answer {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {gateway}\r\nconnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let has_length = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if !has_length && (method == "POST" || !body.is_empty()) {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    raw(gateway, text.as_bytes()).await
}

pub(crate) async fn raw(gateway: SocketAddr, bytes: &[u8]) -> Answer {
    let exchange = async {
        let mut stream = TcpStream::connect(gateway).await.unwrap();
        // The server may answer and close before it has read all.
        stream.write_all(bytes).await.unwrap_or_default();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap_or_default();
        answer
    };
    let answer = timeout(PATIENCE, exchange).await.unwrap();
    parse(&String::from_utf8_lossy(&answer))
}

fn parse(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    let headers = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    Answer { status, headers: headers.collect(), body: body.to_owned() }
}

pub(crate) struct Viewer {
    pub(crate) socket: WebSocketStream<TcpStream>,
}

impl Viewer {
    /// Opens the WebSocket; `Err`: the status of the refusal.
    pub(crate) async fn open(
        gateway: SocketAddr,
        path: &str,
        headers: Headers<'_>,
    ) -> Result<Self, u16> {
        let mut request = format!("ws://{gateway}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            let name: tungstenite::http::HeaderName = name.parse().unwrap();
            let value = tungstenite::http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            request.headers_mut().append(name, value);
        }
        let stream = TcpStream::connect(gateway).await.unwrap();
        match timeout(PATIENCE, client_async(request, stream)).await.unwrap() {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(tungstenite::Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(_) => Err(0),
        }
    }

    pub(crate) async fn hello(&mut self, nonce: &str) {
        let hello = GateHello { version: VERSION, nonce: nonce.to_owned() };
        self.send(json_message(kind::GATE_HELLO, &hello)).await;
    }

    pub(crate) async fn send(&mut self, bytes: Bytes) {
        self.frame(Frame::Binary(bytes)).await;
    }

    pub(crate) async fn frame(&mut self, frame: Frame) {
        timeout(PATIENCE, self.socket.send(frame)).await.unwrap().unwrap_or_default();
    }

    /// The next message; `None`: the socket closed.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.unwrap()? {
                Ok(Frame::Binary(bytes)) => {
                    return Some(Message::decode(bytes, wire::DOWN_BYTES_MAX).unwrap());
                }
                Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Close(_)) => {}
                Ok(other) => panic!("{other:?}"),
                Err(_) => return None,
            }
        }
    }

    pub(crate) async fn gate(&mut self) -> Option<GateMessage> {
        let message = self.next().await?;
        assert_eq!(message.header.kind, kind::GATE);
        Some(wire::json(&message.payload).unwrap())
    }

    /// Reads until the gateway's last word and the end of the socket.
    pub(crate) async fn closed(&mut self) -> Option<(beamdesk_types::CloseReason, bool)> {
        let mut last = None;
        while let Some(message) = self.next().await {
            if message.header.kind == kind::GATE
                && let GateMessage::Close { reason, retry } = wire::json(&message.payload).unwrap()
            {
                last = Some((reason, retry));
            }
        }
        last
    }
}

//! Viewers and their agents, one pair for each stream.

use anyhow::{Context as _, anyhow};
use beamdesk_proto::{
    control::{GateHello, VERSION},
    wire::{json_message, kind},
};
use beamdesk_types::{DesktopId, StreamId};
use futures_util::{SinkExt as _, StreamExt as _};
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, server::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{client::IntoClientRequest as _, protocol::Message as Frame},
};

use crate::{
    browser,
    gateway::{AGENT, Gateway, ORIGIN, PORTAL_ORIGIN},
    portal::{self, Answer},
};

/// What lies between browser and gateway.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Leg {
    /// A proxy has ended TLS.
    Plain,
    Tls,
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

pub(crate) struct Viewer(WebSocketStream<Box<dyn Socket>>);

impl Viewer {
    /// Bytes of the next message; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<usize> {
        loop {
            match self.0.next().await?.ok()? {
                Frame::Binary(bytes) => return Some(bytes.len()),
                Frame::Close(_) => return None,
                _ => {}
            }
        }
    }
}

pub(crate) struct Agent(TlsStream<TcpStream>);

impl Agent {
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }
}

pub(crate) struct World<'a> {
    gateway: &'a Gateway,
    desktop: DesktopId,
}

impl<'a> World<'a> {
    /// The portal grants so many streams, each by a ticket that is its number.
    pub(crate) fn new(gateway: &'a Gateway, streams: usize) -> Self {
        let desktop = DesktopId::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
        let address = gateway.agents.address();
        let grant = move |number: u128, handle: String| {
            let stream = StreamId::from_u128(1 + number);
            let mut grant = portal::grant(desktop, stream, address, AGENT);
            grant["handle"] = json!(handle);
            Answer::Json(200, grant)
        };
        let number = move |text: &serde_json::Value| {
            let number = text.as_str()?.split('.').next()?.parse().ok()?;
            (number < u128::try_from(streams).ok()?).then_some(number)
        };
        gateway.portal.answer_with(move |path, body| match path {
            "/internal/v1/tickets/redeem" => match number(&body["ticket"]) {
                Some(number) => grant(number, format!("{number}.0")),
                None => Answer::Json(403, json!({"refused": true})),
            },
            "/internal/v1/streams/resume" => match number(&body["handle"]) {
                Some(number) => grant(number, format!("{number}.1")),
                None => Answer::Json(403, json!({"refused": true})),
            },
            "/internal/v1/leases/renew" => {
                Answer::Json(200, json!({"ended": [], "now": "2026-01-01T00:00:00Z"}))
            }
            _ => Answer::Json(404, json!({})),
        });
        Self { gateway, desktop }
    }

    /// A stream from its ticket to its welcome.
    pub(crate) async fn open(&self, number: usize, leg: Leg) -> anyhow::Result<(Viewer, Agent)> {
        let desktop = self.desktop;
        let headers = [
            ("origin", PORTAL_ORIGIN),
            ("content-type", "application/x-www-form-urlencoded"),
            ("cookie", "__Secure-bind=b1"),
        ];
        let form = format!("ticket={number}&lang=en&theme=dark");
        let plain = self.gateway.plain;
        let connected = browser::request(plain, "POST", "/connect", &headers, &form).await;
        let name = format!("__Host-gws-{desktop}");
        let handle = connected.cookie(&name).ok_or_else(|| anyhow!("refused: {connected:?}"))?;
        let cookie = format!("{name}={handle}; __Secure-bind=b1");
        let headers = [("x-beamdesk", "1"), ("cookie", cookie.as_str())];
        let attach = format!("/d/{desktop}/attach");
        let attached = browser::request(plain, "POST", &attach, &headers, "").await;
        let handle = attached.cookie(&name).ok_or_else(|| anyhow!("refused: {attached:?}"))?;
        let body: serde_json::Value = serde_json::from_str(&attached.body)?;
        let nonce = body["nonce"].as_str().context("a nonce")?.to_owned();

        let mut request = format!("ws://localhost/d/{desktop}/stream").into_client_request()?;
        let cookie = format!("{name}={handle}");
        request.headers_mut().append("origin", ORIGIN.parse()?);
        request.headers_mut().append("cookie", cookie.parse()?);
        let (mut socket, _) = client_async(request, self.dial(leg).await?).await?;
        let hello = GateHello { version: VERSION, nonce };
        socket.send(Frame::Binary(json_message(kind::GATE_HELLO, &hello))).await?;
        let mut agent = self.gateway.agents.accept().await?;
        let open = agent.next().await.context("the first message")?;
        anyhow::ensure!(open.header.kind == kind::OPEN, "a stream is opened first");
        let mut viewer = Viewer(socket);
        viewer.next().await.context("the welcome")?;
        Ok((viewer, Agent(agent.tls)))
    }

    async fn dial(&self, leg: Leg) -> anyhow::Result<Box<dyn Socket>> {
        Ok(match leg {
            Leg::Plain => Box::new(TcpStream::connect(self.gateway.plain).await?),
            Leg::Tls => {
                let config = self.gateway.authority.client("browser");
                let tcp = TcpStream::connect(self.gateway.tls).await?;
                let name = ServerName::try_from("localhost")?;
                Box::new(TlsConnector::from(config).connect(name, tcp).await?)
            }
        })
    }
}

//! One gateway with its portal and its agent.

use std::{net::SocketAddr, time::Duration};

use beamdesk_gateway::{GatewayConfig, GatewayError, Listener, Recordings, Times, run};
use beamdesk_http::{Limits, Origins};
use beamdesk_proto::control::GateMessage;
use beamdesk_types::{ALPN_STREAM, DesktopId, StreamId};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    agent::{AgentStream, FakeAgent},
    browser::{self, Answer, Viewer},
    pki::Authority,
    portal::{self, FakePortal},
};

pub(crate) const DESKTOP: DesktopId =
    DesktopId::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
pub(crate) const OTHER: DesktopId = DesktopId::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0002);
pub(crate) const STREAM: StreamId = StreamId::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0003);
pub(crate) const AGENT: &str = "g1.desk.agent.beamdesk.internal";
pub(crate) const PORTAL_ORIGIN: &str = "https://portal.example.org";
/// Another address of the same portal.
pub(crate) const OTHER_PORTAL_ORIGIN: &str = "https://portal.example.net:8443";
/// More than the tests of single streams open.
const STREAMS_MAX: usize = 16;

pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) portal: FakePortal,
    pub(crate) agent: FakeAgent,
    /// Plain, as a proxy in front would see it.
    pub(crate) gateway: SocketAddr,
    pub(crate) gateway_tls: SocketAddr,
    pub(crate) origin: String,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: JoinHandle<Result<(), GatewayError>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Times::default(), Limits::default()).await
    }

    pub(crate) async fn with(times: Times, limits: Limits) -> Self {
        Self::for_streams(times, limits, STREAMS_MAX).await
    }

    pub(crate) async fn for_streams(times: Times, limits: Limits, streams_max: usize) -> Self {
        Self::start(times, limits, streams_max, None, &[]).await
    }

    /// One that records, within bounds.
    pub(crate) async fn recording(recordings: Recordings) -> Self {
        let (times, limits) = (Times::default(), Limits::default());
        Self::start(times, limits, STREAMS_MAX, Some(recordings), &[]).await
    }

    /// One that asks portals at these addresses first.
    pub(crate) async fn behind(portals: &[SocketAddr]) -> Self {
        Self::start(Times::default(), Limits::default(), STREAMS_MAX, None, portals).await
    }

    async fn start(
        times: Times,
        limits: Limits,
        streams_max: usize,
        recordings: Option<Recordings>,
        portals: &[SocketAddr],
    ) -> Self {
        let authority = Authority::fresh();
        let agent = FakeAgent::start(authority.server(AGENT, &[ALPN_STREAM])).await;
        let grant = portal::grant(DESKTOP, STREAM, agent.address(), AGENT);
        let portal = FakePortal::start(&authority, grant).await;
        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tls = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (gateway, gateway_tls) = (plain.local_addr().unwrap(), tls.local_addr().unwrap());
        let origin = format!("http://{gateway}");
        let config = GatewayConfig {
            name: "gw1".parse().unwrap(),
            listeners: vec![
                Listener { socket: plain, tls: None },
                Listener { socket: tls, tls: Some(authority.site("localhost")) },
            ],
            origins: Origins::new([origin.clone(), "https://desk.example.org".to_owned()]).unwrap(),
            portal_origins: Origins::new([PORTAL_ORIGIN, OTHER_PORTAL_ORIGIN]).unwrap(),
            portal_url: format!("https://{}:{}/", portal::NAME, portal.address().port())
                .parse()
                .unwrap(),
            portal_addresses: portals.iter().copied().chain([portal.address()]).collect(),
            tls: authority.client("gw1.gateway.beamdesk.internal"),
            limits,
            streams_max,
            recordings,
            times,
        };
        let shutdown = CancellationToken::new();
        let served = TaskTracker::new().spawn(run(config, shutdown.clone()));
        Self { authority, portal, agent, gateway, gateway_tls, origin, shutdown, served }
    }

    pub(crate) async fn connect(&self) -> Answer {
        self.connect_with("good").await
    }

    pub(crate) async fn connect_with(&self, ticket: &str) -> Answer {
        let headers = [
            ("origin", PORTAL_ORIGIN),
            ("content-type", "application/x-www-form-urlencoded"),
            ("cookie", "__Secure-bind=b1"),
        ];
        let form = format!("ticket={ticket}&lang=zh&theme=dark");
        browser::request(self.gateway, "POST", "/connect", &headers, &form).await
    }

    pub(crate) async fn attach(&self, handle: &str) -> Answer {
        self.attach_with(handle, "").await
    }

    pub(crate) async fn attach_with(&self, handle: &str, body: &str) -> Answer {
        let cookie = format!("__Host-gws-{DESKTOP}={handle}; __Secure-bind=b1");
        let mut headers = vec![("x-beamdesk", "1"), ("cookie", cookie.as_str())];
        if !body.is_empty() {
            headers.push(("content-type", "application/json"));
        }
        let path = format!("/d/{DESKTOP}/attach");
        browser::request(self.gateway, "POST", &path, &headers, body).await
    }

    /// From the ticket to the nonce: the cookie's value, and the nonce.
    pub(crate) async fn attached(&self) -> (String, String) {
        let name = format!("__Host-gws-{DESKTOP}");
        let first = self.connect().await.cookie(&name).unwrap();
        self.attached_again(&first).await
    }

    pub(crate) async fn attached_again(&self, handle: &str) -> (String, String) {
        let answer = self.attach(handle).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let next = answer.cookie(&format!("__Host-gws-{DESKTOP}")).unwrap();
        (next, body["nonce"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn socket(&self, handle: &str) -> Result<Viewer, u16> {
        let cookie = format!("__Host-gws-{DESKTOP}={handle}");
        let headers = [("origin", self.origin.as_str()), ("cookie", cookie.as_str())];
        Viewer::open(self.gateway, &format!("/d/{DESKTOP}/stream"), &headers).await
    }

    /// A stream that works, both ends in the test's hands, and the handle in its cookie.
    pub(crate) async fn streaming(&self) -> (Viewer, AgentStream, String) {
        let (handle, nonce) = self.attached().await;
        let (viewer, agent) = self.opened(&handle, &nonce).await;
        (viewer, agent, handle)
    }

    pub(crate) async fn opened(&self, handle: &str, nonce: &str) -> (Viewer, AgentStream) {
        let mut viewer = self.socket(handle).await.unwrap();
        viewer.hello(nonce).await;
        let mut agent = self.agent.accept().await.unwrap();
        assert_eq!(agent.next().await.unwrap().header.kind, beamdesk_proto::wire::kind::OPEN);
        assert!(matches!(viewer.gate().await, Some(GateMessage::Welcome { .. })));
        (viewer, agent)
    }

    /// Stops the gateway and says how it ended.
    pub(crate) async fn stop(self) -> Result<(), GatewayError> {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(15), self.served).await.unwrap().unwrap()
    }
}

//! Who may talk to an agent: TLS 1.3 with a client certificate of its authority, nobody else.

use std::sync::Arc;

use beamdesk_agent::{server::Server, tls};
use beamdesk_proto::control::ViewerMessage;
use beamdesk_types::{ALPN_STATUS, ALPN_STREAM, AgentConfig, AgentStatus, SessionState};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    pki::{AGENT_NAME, Authority, client, config, config_of},
    rig::Rig,
    viewer::Viewer,
};

#[tokio::test]
async fn mitm_matrix() {
    let site = Site::start().await;
    let gateway = [ExtendedKeyUsagePurpose::ClientAuth];
    let server = [ExtendedKeyUsagePurpose::ServerAuth];
    let other = Authority::new();
    let ours = &site.authority;

    let good = ours.sign("one.gateway.beamdesk.internal", &gateway);
    let expired = ours.sign_expired("one.gateway.beamdesk.internal", &gateway);
    let monitor = ours.sign("node-1.node.beamdesk.internal", &gateway);
    let posing = ours.sign("portal.beamdesk.internal.node.beamdesk.internal", &gateway);
    let desktop = ours.sign("g1.other.agent.beamdesk.internal", &server);
    let foreign = other.sign("one.gateway.beamdesk.internal", &gateway);
    let cases = [
        ("a gateway of ours", Some(&good), true),
        ("no certificate", None, false),
        ("a gateway of another authority", Some(&foreign), false),
        ("another desktop's agent", Some(&desktop), false),
        ("a node's monitor", Some(&monitor), false),
        ("a monitor with a portal's name in its own", Some(&posing), false),
        ("a gateway whose certificate is over", Some(&expired), false),
    ];
    for (who, identity, may) in cases {
        for alpn in [ALPN_STREAM, ALPN_STATUS] {
            let config = client(ours, identity, alpn);
            let got = site.dial(config, AGENT_NAME).await;
            assert_eq!(got, may, "{who}, {}", String::from_utf8_lossy(alpn));
        }
    }
    // The other way round: a gateway that meets another agent than the one it was told of.
    let config = client(ours, Some(&good), ALPN_STREAM);
    assert!(!site.dial(config, "g2.desktop.agent.beamdesk.internal").await, "another generation");
    let config = client(&other, Some(&good), ALPN_STREAM);
    assert!(!site.dial(config, AGENT_NAME).await, "an agent of another authority");
    // And without saying what it came for.
    let config = client(ours, Some(&good), b"h2");
    assert!(!site.dial(config, AGENT_NAME).await, "another protocol");
    site.end().await;
}

/// Each time the portal gives a new certificate: who is there stays, who comes sees the new one.
#[tokio::test]
async fn rotation_live() {
    const NEXT: &str = "g2.desktop.agent.beamdesk.internal";
    let site = Site::start().await;
    let ours = &site.authority;
    let client_auth = [ExtendedKeyUsagePurpose::ClientAuth];
    let gateway = ours.sign("one.gateway.beamdesk.internal", &client_auth);
    let stream = site.connect(client(ours, Some(&gateway), ALPN_STREAM), AGENT_NAME).await.unwrap();
    let mut viewer = Viewer::greet(stream, 400, 300).await;
    viewer.until_exact().await;
    for turn in 0..50_u16 {
        let renewed = config_of(ours, NEXT, 320, 200);
        site.renew(&renewed);
        let dial = |name| site.dial(client(ours, Some(&gateway), ALPN_STATUS), name);
        assert!(dial(NEXT).await, "turn {turn}");
        assert!(!dial(AGENT_NAME).await, "the old certificate is shown no more");
        if turn % 10 == 0 {
            let width = 401 + turn;
            viewer.say(&ViewerMessage::Resize { width: width.into(), height: 300 }).await;
            while viewer.decoder.size().width() != width {
                viewer.next().await;
            }
            viewer.until_exact().await;
        }
    }
    // An authority gives way to another: for a while both are believed.
    let other = Authority::new();
    let newer = other.sign("two.gateway.beamdesk.internal", &client_auth);
    let by_newer = || client(ours, Some(&newer), ALPN_STATUS);
    assert!(!site.dial(by_newer(), NEXT).await);
    let mut both = config_of(ours, NEXT, 320, 200);
    both.authority = format!("{}{}", ours.pem(), other.pem());
    site.renew(&both);
    assert!(site.dial(by_newer(), NEXT).await);
    assert!(site.dial(client(ours, Some(&gateway), ALPN_STATUS), NEXT).await);
    viewer.say(&ViewerMessage::Resize { width: 500, height: 300 }).await;
    while viewer.decoder.size().width() != 500 {
        viewer.next().await;
    }
    viewer.until_exact().await;
    drop(viewer);
    site.end().await;
}

#[tokio::test]
async fn a_status_says_what_the_agent_is_doing() {
    let site = Site::start().await;
    let identity =
        site.authority.sign("portal.beamdesk.internal", &[ExtendedKeyUsagePurpose::ClientAuth]);
    let ask = || client(&site.authority, Some(&identity), ALPN_STATUS);
    assert_eq!(
        site.status(ask()).await,
        AgentStatus { session: SessionState::Starting, width: 320, height: 200, viewers: 0 }
    );
    site.up.send_replace(true);
    let config = client(&site.authority, Some(&identity), ALPN_STREAM);
    let stream = site.connect(config, AGENT_NAME).await.unwrap();
    let mut viewer = Viewer::greet(stream, 400, 300).await;
    viewer.until_exact().await;
    assert_eq!(
        site.status(ask()).await,
        AgentStatus { session: SessionState::Up, width: 400, height: 300, viewers: 1 }
    );
    drop(viewer);
    site.end().await;
}

/// An agent on a real socket.
struct Site {
    authority: Authority,
    address: std::net::SocketAddr,
    up: watch::Sender<bool>,
    tls: watch::Sender<Arc<ServerConfig>>,
    stop: CancellationToken,
    rig: Rig,
    tasks: TaskTracker,
}

impl Site {
    async fn start() -> Self {
        let authority = Authority::new();
        let config = config(&authority, 320, 200);
        let rig = Rig::start(320, 200);
        let (up, is_up) = watch::channel(false);
        let (renewed, tls) = watch::channel(tls::server_config(&config).unwrap());
        let server = Server { tls, engine: rig.engine.clone(), up: is_up };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(server.run(listener, stop.clone()));
        Self { authority, address, up, tls: renewed, stop, rig, tasks }
    }

    fn renew(&self, config: &AgentConfig) {
        self.tls.send_replace(tls::server_config(config).unwrap());
    }

    async fn connect(
        &self,
        config: Arc<ClientConfig>,
        name: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(config).connect(name, stream).await
    }

    /// Whether an agent answers. In TLS 1.3 a client learns of its refusal at its first read.
    async fn dial(&self, config: Arc<ClientConfig>, name: &str) -> bool {
        let is_stream = config.alpn_protocols == [ALPN_STREAM];
        let Ok(mut stream) = self.connect(config, name).await else { return false };
        if is_stream {
            use beamdesk_proto::{control, wire};
            use tokio::io::AsyncWriteExt as _;
            let open = control::Open {
                version: control::VERSION,
                stream: beamdesk_types::StreamId::fresh(),
                user_name: "li".to_owned(),
            };
            let hello = ViewerMessage::Hello {
                version: control::VERSION,
                width: 320,
                height: 200,
                decodes: Vec::new(),
                quality: control::Quality::Automatic,
            };
            let both = [
                wire::json_message(wire::kind::OPEN, &open),
                wire::json_message(wire::kind::VIEWER, &hello),
            ]
            .concat();
            if stream.write_all(&both).await.is_err() {
                return false;
            }
        }
        let mut first = [0; 1];
        matches!(stream.read(&mut first).await, Ok(1))
    }

    async fn status(&self, config: Arc<ClientConfig>) -> AgentStatus {
        let mut stream = self.connect(config, AGENT_NAME).await.unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.rig.end().await;
    }
}

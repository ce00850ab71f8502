//! SR-25: who may talk to whom over TLS, with the certificates we sign.

use std::{path::Path, sync::Arc, time::Duration};

use beamdesk_auth::{Authority, Identity, PORTAL_SERVER_NAME, agent_server_name};
use beamdesk_types::{ALPN_STATUS, ALPN_STREAM, DesktopId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig, crypto::aws_lc_rs, pki_types, version::TLS13,
    },
};

use crate::world::{HandClock, gateway, real_now};

const HOUR: Duration = Duration::from_secs(3600);

fn authority(dir: &Path) -> Authority {
    Authority::open_or_create(dir, HandClock::at(real_now())).unwrap()
}

/// Whether a byte gets through both ways; a server's refusal of a client shows only then.
async fn talks(server: Arc<ServerConfig>, client: Arc<ClientConfig>, name: &str) -> bool {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let name = pki_types::ServerName::try_from(name.to_owned()).unwrap();
    let serve = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        let byte = stream.read_u8().await?;
        stream.write_u8(byte).await?;
        stream.flush().await?;
        std::io::Result::Ok(stream.get_ref().1.peer_certificates().is_some())
    };
    let call = async {
        let mut stream = TlsConnector::from(client).connect(name, near).await?;
        stream.write_u8(42).await?;
        stream.flush().await?;
        let byte = stream.read_u8().await?;
        std::io::Result::Ok(byte == 42)
    };
    let both = async { tokio::join!(serve, call) };
    let (served, called) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    matches!((served, called), (Ok(true), Ok(true)))
}

#[tokio::test]
async fn only_the_right_certificates_talk() {
    let dir = tempfile::tempdir().unwrap();
    let other_dir = tempfile::tempdir().unwrap();
    let ours = authority(dir.path());
    let other = authority(other_dir.path());
    let past = real_now().checked_sub(366 * 24 * HOUR).unwrap();
    let expired = Authority::open_or_create(dir.path(), HandClock::at(past)).unwrap();

    let (desktop, neighbour) = (DesktopId::fresh(), DesktopId::fresh());
    let name = agent_server_name(desktop, 2);
    let alpn: &[&[u8]] = &[ALPN_STREAM, ALPN_STATUS];
    let serving = |authority: &Authority, identity: &Identity| {
        authority.server_config_requiring_client(identity, alpn).unwrap()
    };
    let calling = |authority: &Authority, identity: &Identity| {
        authority.client_config(identity, &[ALPN_STREAM]).unwrap()
    };
    let agent = ours.agent_identity(desktop, 2).unwrap();
    let east = ours.gateway_identity(&gateway("east")).unwrap();
    let portal = ours.portal_identity().unwrap();
    let server = serving(&ours, &agent);
    let client = calling(&ours, &east);

    // The right ones.
    assert!(talks(server.clone(), client.clone(), &name).await);
    assert!(talks(server.clone(), calling(&ours, &portal), &name).await);
    assert!(talks(serving(&ours, &portal), client.clone(), PORTAL_SERVER_NAME).await);

    // Servers a gateway must not believe.
    for (what, identity) in [
        ("another desktop's agent", ours.agent_identity(neighbour, 2).unwrap()),
        ("the previous generation's", ours.agent_identity(desktop, 1).unwrap()),
        ("the next generation's", ours.agent_identity(desktop, 3).unwrap()),
        ("a gateway", east.clone()),
        ("the portal", portal.clone()),
        ("an expired one", expired.agent_identity(desktop, 2).unwrap()),
        ("one of another authority", other.agent_identity(desktop, 2).unwrap()),
    ] {
        let server = serving(&ours, &identity);
        assert!(!talks(server, client.clone(), &name).await, "{what}");
    }
    // An agent in the place of the portal or a gateway in the place of the portal.
    for (what, identity) in [("an agent", &agent), ("a gateway", &east)] {
        let server = serving(&ours, identity);
        assert!(!talks(server, client.clone(), PORTAL_SERVER_NAME).await, "{what}");
    }

    // Clients an agent must not believe.
    for (what, client) in [
        ("an agent", calling(&ours, &agent)),
        ("a neighbour's agent", calling(&ours, &ours.agent_identity(neighbour, 2).unwrap())),
        (
            "an expired gateway",
            calling(&ours, &expired.gateway_identity(&gateway("east")).unwrap()),
        ),
        ("another authority's", calling(&ours, &other.gateway_identity(&gateway("east")).unwrap())),
        ("one without a certificate", without_certificate(&ours)),
    ] {
        assert!(!talks(server.clone(), client, &name).await, "{what}");
    }
    // Nothing common to say.
    let other_words = ours.client_config(&east, &[b"http/1.1"]).unwrap();
    assert!(!talks(server, other_words, &name).await);
}

fn without_certificate(authority: &Authority) -> Arc<ClientConfig> {
    use pki_types::pem::PemObject;
    let pem = authority.authority_pem().as_bytes();
    let mut roots = RootCertStore::empty();
    roots.add(pki_types::CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_STREAM.to_vec()];
    Arc::new(config)
}

//! How monitors are let in, and who may read metrics.

use std::{sync::Arc, time::Duration};

use beamdesk_auth::{Authority, Identity, PORTAL_SERVER_NAME};
use beamdesk_types::{NodeName, Role, Secret};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{
    TlsAcceptor, TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
        version::TLS13,
    },
};

use crate::world::{HandClock, World, gateway, real_now};

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

#[tokio::test]
async fn a_secret_names_the_authority_and_lets_in_as_many_as_it_says() {
    let world = World::in_memory().await;
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open_or_create(dir.path(), world.clock.clone()).unwrap();
    world.user("root", Role::Administrator).await;
    let actor = world.login("root").await.actor;
    let enrolment = world.auth.new_enrolment(&authority, &actor, 2).await.unwrap();
    let text = enrolment.secret.expose();
    let (fingerprint, random) = text.split_once('.').unwrap();
    assert_eq!(fingerprint, authority.fingerprint().unwrap());
    assert_eq!(random.len(), 43, "256 bits");
    assert_eq!(enrolment.uses, 2);
    let day = Duration::from_secs(24 * 3600);
    let lives = enrolment.expires.duration_since(real_now());
    assert!(lives > (day - Duration::from_secs(60)).try_into().unwrap(), "{lives:?}");

    for wrong in ["", random, fingerprint, &format!("{text}x"), &"x".repeat(100_000)] {
        let wrong = Secret::new(wrong.to_owned());
        assert!(!world.auth.is_enrolment(&wrong).await.unwrap());
        assert!(!world.auth.use_enrolment(&wrong).await.unwrap());
    }
    assert!(world.auth.is_enrolment(&enrolment.secret).await.unwrap());
    for is_in in [true, true, false] {
        assert_eq!(world.auth.use_enrolment(&enrolment.secret).await.unwrap(), is_in);
    }
    let fewest = world.auth.new_enrolment(&authority, &actor, 0).await.unwrap();
    let most = world.auth.new_enrolment(&authority, &actor, u32::MAX).await.unwrap();
    assert_eq!((fewest.uses, most.uses), (1, 1000));
    assert_ne!(fewest.secret.expose(), most.secret.expose());
}

#[tokio::test]
async fn a_metrics_token_dies_with_a_newer_one() {
    let world = World::in_memory().await;
    assert!(!world.auth.is_metrics_token("").await.unwrap());
    assert!(!world.auth.remove_metrics_token().await.unwrap());
    let old = world.auth.new_metrics_token().await.unwrap();
    assert!(world.auth.is_metrics_token(old.expose()).await.unwrap());
    let new = world.auth.new_metrics_token().await.unwrap();
    for wrong in [old.expose(), "", "x", &format!("{} ", new.expose()), &"x".repeat(100_000)] {
        assert!(!world.auth.is_metrics_token(wrong).await.unwrap());
    }
    assert!(world.auth.is_metrics_token(new.expose()).await.unwrap());
    assert!(world.auth.remove_metrics_token().await.unwrap());
    assert!(!world.auth.is_metrics_token(new.expose()).await.unwrap());
    let kept = world.store.setting("metrics_token").await.unwrap();
    assert_eq!(kept, None, "and only its digest was ever kept");
}

/// What a client of this configuration and a portal that lets in who has no certificate see of each
/// other: the client's certificates, and the server's.
async fn meet(
    authority: &Authority,
    client: Arc<ClientConfig>,
) -> Option<(Option<usize>, Vec<CertificateDer<'static>>)> {
    let identity = authority.portal_identity().unwrap();
    let server = authority.server_config_allowing_client(&identity, &[]).unwrap();
    let (near, far) = tokio::io::duplex(64 * 1024);
    let serve = async {
        let mut stream = TlsAcceptor::from(server).accept(far).await?;
        let seen = stream.get_ref().1.peer_certificates().map(<[_]>::len);
        let byte = stream.read_u8().await?;
        stream.write_u8(byte).await?;
        stream.flush().await?;
        std::io::Result::Ok(seen)
    };
    let call = async {
        let name = ServerName::try_from(PORTAL_SERVER_NAME).unwrap();
        let mut stream = TlsConnector::from(client).connect(name, near).await?;
        stream.write_u8(42).await?;
        stream.flush().await?;
        stream.read_u8().await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        std::io::Result::Ok(chain.iter().map(|one| one.clone().into_owned()).collect())
    };
    let both = async { tokio::join!(serve, call) };
    let (served, called) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    Some((served.ok()?, called.ok()?))
}

/// A client that trusts this authority and shows nothing of itself.
fn nameless(authority: &Authority) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let pem = authority.authority_pem().as_bytes();
    roots.add(CertificateDer::from_pem_slice(pem).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

#[tokio::test]
async fn who_has_no_certificate_yet_may_ask_and_who_has_a_wrong_one_may_not() {
    let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = |dir: &tempfile::TempDir, now| {
        Authority::open_or_create(dir.path(), HandClock::at(now)).unwrap()
    };
    let (ours, other) = (open(&dir, real_now()), open(&other_dir, real_now()));
    // The authority's own certificate comes along: its digest is all that a new monitor knows.
    let (seen, chain) = meet(&ours, nameless(&ours)).await.unwrap();
    assert_eq!(seen, None);
    let authority = CertificateDer::from_pem_slice(ours.authority_pem().as_bytes()).unwrap();
    assert_eq!(chain.len(), 2);
    assert_eq!(chain[1], authority);

    let shows = |identity: &Identity| ours.client_config(identity, &[]).unwrap();
    let monitor = ours.monitor_identity(&node("gpu-1")).unwrap();
    assert_eq!(meet(&ours, shows(&monitor)).await.unwrap().0, Some(1));
    // Names are for the routes to judge; that it is ours is judged here.
    let gateway = ours.gateway_identity(&gateway("east")).unwrap();
    assert_eq!(meet(&ours, shows(&gateway)).await.unwrap().0, Some(1));
    let foreign = other.monitor_identity(&node("gpu-1")).unwrap();
    assert_eq!(meet(&ours, shows(&foreign)).await, None);
    // A monitor's lives for 90 days.
    let day = Duration::from_secs(24 * 3600);
    let fresh = open(&dir, real_now().checked_sub(89 * day).unwrap());
    assert!(meet(&ours, shows(&fresh.monitor_identity(&node("a")).unwrap())).await.is_some());
    let expired = open(&dir, real_now().checked_sub(91 * day).unwrap());
    assert_eq!(meet(&ours, shows(&expired.monitor_identity(&node("a")).unwrap())).await, None);
}

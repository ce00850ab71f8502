//! Certificates are verified, always, against the site's authority if it names one.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, Mutex},
};

use beamdesk_cloud::openstack::{Access, ApiError, Client, Trouble};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use super::double::{Script, quick, serve};

struct Site {
    authority: String,
    config: ServerConfig,
    /// Certificate and key of a client, by the same authority.
    client: (String, String),
}

/// An authority, and a certificate of it for `name`. A `closed` one wants certificates of clients.
fn site(name: &str, closed: bool) -> Site {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).unwrap();
    let clients = if closed {
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        builder.build().unwrap()
    } else {
        WebPkiClientVerifier::no_client_auth()
    };
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["portal".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let client = (certificate.pem(), key.serialize_pem());
    Site { authority: issuer.pem(), config, client }
}

/// `more`: further keys of the cloud in clouds.yaml.
async fn connect(site: Site, cacert: &str, more: &str, folder: &Path) -> Result<Client, ApiError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(site.config));
    let script: Arc<Script> = Arc::new(|_: &_, _| None);
    let log = Arc::new(Mutex::new(Vec::new()));
    let mut serves = JoinSet::new();
    serves.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that trusts nobody leaves in the handshake.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                serve(&mut stream, &format!("https://localhost:{port}"), &script, &log).await;
            }
        }
    });
    let ca = folder.join("ca.pem");
    fs::write(&ca, cacert).unwrap();
    let path = folder.join("clouds.yaml");
    let text = format!(
        "clouds: {{a: {{cacert: '{}', auth: {{auth_url: 'https://localhost:{port}', \
         username: x, password: y, project_name: z}}{more}}}}}",
        ca.display()
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let access = Access::from_file(&path, "a").unwrap();
    let settings = beamdesk_cloud::openstack::Settings { tries: 1, ..quick() };
    Client::connect(access, settings).await
}

#[tokio::test]
async fn a_sites_own_authority_is_trusted_where_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let site = site("localhost", false);
    let authority = site.authority.clone();
    connect(site, &authority, "", folder.path()).await.unwrap();
}

#[tokio::test]
async fn another_authority_and_another_name_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let other = site("localhost", false).authority;
    let error = connect(site("localhost", false), &other, "", folder.path()).await.unwrap_err();
    assert!(matches!(error.trouble(), Trouble::Unreachable(_)), "{error}");
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");

    let elsewhere = site("elsewhere.example", false);
    let authority = elsewhere.authority.clone();
    let error = connect(elsewhere, &authority, "", folder.path()).await.unwrap_err();
    assert!(matches!(error.trouble(), Trouble::Unreachable(_)), "{error}");

    let error =
        connect(site("localhost", false), "no certificate", "", folder.path()).await.unwrap_err();
    assert!(error.to_string().contains("cacert"), "{error}");
}

#[tokio::test]
async fn a_cloud_that_wants_a_certificate_gets_the_one_of_clouds_yaml() {
    let folder = tempfile::tempdir().unwrap();
    let closed = site("localhost", true);
    let authority = closed.authority.clone();
    connect(closed, &authority, "", folder.path()).await.unwrap_err();

    let closed = site("localhost", true);
    let authority = closed.authority.clone();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&cert, &closed.client.0).unwrap();
    fs::write(&key, &closed.client.1).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let more = format!(", cert: '{}', key: '{}'", cert.display(), key.display());
    connect(closed, &authority, &more, folder.path()).await.unwrap();
}

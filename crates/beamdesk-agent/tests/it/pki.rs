//! An authority like the portal's own, and certificates it signed.

use std::sync::Arc;

use beamdesk_types::{AgentConfig, DesktopId, Secret, SessionConfig};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer},
};

pub(crate) const AGENT_NAME: &str = "g1.desktop.agent.beamdesk.internal";

/// What an agent of this authority is started with.
pub(crate) fn config(authority: &Authority, width: u16, height: u16) -> AgentConfig {
    config_of(authority, AGENT_NAME, width, height)
}

/// The same for an agent of this name.
pub(crate) fn config_of(authority: &Authority, name: &str, width: u16, height: u16) -> AgentConfig {
    let identity = authority.sign(name, &[ExtendedKeyUsagePurpose::ServerAuth]);
    AgentConfig {
        desktop: DesktopId::fresh(),
        generation: 1,
        certificate: identity.certificate_pem,
        key: Secret::new(identity.key.serialize_pem()),
        authority: authority.pem.clone(),
        session: SessionConfig {
            name: "test".to_owned(),
            language: "en".to_owned(),
            width,
            height,
        },
    }
}

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.distinguished_name.push(DnType::CommonName, "beamdesk test authority");
        let certificate = params.self_signed(&key).unwrap();
        let (der, pem) = (certificate.der().clone(), certificate.pem());
        Self { issuer: Issuer::new(params, key), der, pem }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    pub(crate) fn sign(&self, name: &str, uses: &[ExtendedKeyUsagePurpose]) -> Identity {
        self.sign_until(name, uses, 2099)
    }

    pub(crate) fn sign_expired(&self, name: &str, uses: &[ExtendedKeyUsagePurpose]) -> Identity {
        self.sign_until(name, uses, 2020)
    }

    fn sign_until(&self, name: &str, uses: &[ExtendedKeyUsagePurpose], year: i32) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = uses.to_vec();
        params.not_before = rcgen::date_time_ymd(2019, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.der().clone(), certificate_pem: certificate.pem(), key }
    }
}

pub(crate) fn client(
    trusts: &Authority,
    identity: Option<&Identity>,
    alpn: &[u8],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusts.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![identity.certificate.clone()], key).unwrap()
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

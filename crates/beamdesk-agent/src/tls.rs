//! TLS of an agent: 1.3 only, and only for those its authority signed as clients.

use std::sync::Arc;

use beamdesk_types::{ALPN_STATUS, ALPN_STREAM, AgentConfig};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};

use crate::AgentError;

/// Asks every client for a certificate of the desktop's authority that may be used by clients;
/// other agents' certificates may be used by servers only, so an agent can reach no agent.
pub fn server_config(config: &AgentConfig) -> Result<Arc<ServerConfig>, AgentError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut authorities = RootCertStore::empty();
    for certificate in certificates(&config.authority)? {
        authorities.add(certificate).map_err(unusable)?;
    }
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(&provider))
            .build()
            .map_err(unusable)?;
    let key = PrivateKeyDer::from_pem_slice(config.key.expose().as_bytes()).map_err(unusable)?;
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&config.certificate)?, key)
        .map_err(unusable)?;
    server.alpn_protocols = vec![ALPN_STREAM.to_vec(), ALPN_STATUS.to_vec()];
    // Each connection shows its certificate anew.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(Arc::new(server))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, AgentError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(unusable)?;
    if certificates.is_empty() {
        return Err(AgentError::Tls("no certificate in the text".to_owned()));
    }
    Ok(certificates)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unusable(error: impl ToString) -> AgentError {
    AgentError::Tls(error.to_string())
}

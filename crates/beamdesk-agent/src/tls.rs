//! TLS of an agent: 1.3 only, and only with those its authority signed.

use std::sync::Arc;

use beamdesk_types::{ALPN_STATUS, ALPN_STREAM, AgentConfig};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};

use crate::AgentError;

/// Name in the certificate of every portal.
pub(crate) const PORTAL_NAME: &str = "portal.beamdesk.internal";
/// What the names in gateways' certificates end with.
const GATEWAY_DOMAIN: &str = ".gateway.beamdesk.internal";

/// Asks every client for a certificate of the desktop's authority that may be used by clients;
/// other agents' certificates may be used by servers only, so an agent can reach no agent.
pub fn server_config(config: &AgentConfig) -> Result<Arc<ServerConfig>, AgentError> {
    let authorities = Arc::new(roots(&config.authority)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(authorities, provider())
        .build()
        .map_err(unusable)?;
    let key = PrivateKeyDer::from_pem_slice(config.key.expose().as_bytes()).map_err(unusable)?;
    let mut server = ServerConfig::builder_with_provider(provider())
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

/// Whether a client's verified certificate is a gateway's or a portal's. The authority signs others too:
/// a node's monitor has no business with desktops.
pub(crate) fn may_come_in(certificate: &CertificateDer<'_>) -> bool {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return false };
    let mut names = certificate.valid_dns_names();
    let name = names.next().unwrap_or_default();
    names.next().is_none() && (name == PORTAL_NAME || name.ends_with(GATEWAY_DOMAIN))
}

/// Towards a portal: believes whom the authority (PEM) signed, and shows nothing of itself.
pub(crate) fn client_config(authority: &str) -> Result<ClientConfig, AgentError> {
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?
        .with_root_certificates(roots(authority)?)
        .with_no_client_auth();
    client.resumption = Resumption::disabled();
    Ok(client)
}

fn roots(pem: &str) -> Result<RootCertStore, AgentError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(unusable)?;
    }
    Ok(roots)
}

/// Named, not the process's default: that depends on who else links which library.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
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

//! TLS 1.3 settings, made of an identity and the authority.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{
        ClientCertVerifierBuilder, NoServerSessionStorage, VerifierBuilderError,
        WebPkiClientVerifier, danger::ClientCertVerifier,
    },
    version::TLS13,
};

use crate::{Authority, Identity, PkiError};

/// HTTPS for browsers: no client certificate, HTTP/1.1.
pub fn site_config(identity: &Identity) -> Result<Arc<ServerConfig>, PkiError> {
    let (chain, key) = parse(identity)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A client that shows its identity and only trusts servers that the authority of this
/// certificate signed: for who has not the authority itself.
pub fn client_config(
    identity: &Identity,
    authority_pem: &str,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, PkiError> {
    let (chain, key) = parse(identity)?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots(authority_pem)?)
        .with_client_auth_cert(chain, key)?;
    config.resumption = Resumption::disabled();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

impl Authority {
    /// A server that only lets clients in that this authority signed.
    pub fn server_config_requiring_client(
        &self,
        identity: &Identity,
        alpn: &[&[u8]],
    ) -> Result<Arc<ServerConfig>, PkiError> {
        server_config(self.clients()?.build(), identity, alpn)
    }

    /// A server for clients that this authority signed, and for those that show no certificate yet:
    /// which of them may do what is for the routes to say. One of another authority is refused.
    ///
    /// Sends the authority's certificate along, for monitors that know only its fingerprint.
    pub fn server_config_allowing_client(
        &self,
        identity: &Identity,
        alpn: &[&[u8]],
    ) -> Result<Arc<ServerConfig>, PkiError> {
        let chain = format!("{}{}", identity.certificate_pem, self.authority_pem());
        let identity = Identity { certificate_pem: chain, key_pem: identity.key_pem.clone() };
        server_config(self.clients()?.allow_unauthenticated().build(), &identity, alpn)
    }

    fn clients(&self) -> Result<ClientCertVerifierBuilder, PkiError> {
        let roots = Arc::new(roots(self.authority_pem())?);
        Ok(WebPkiClientVerifier::builder_with_provider(roots, provider()))
    }

    /// A client that shows its identity and only trusts servers that this authority signed.
    pub fn client_config(
        &self,
        identity: &Identity,
        alpn: &[&[u8]],
    ) -> Result<Arc<ClientConfig>, PkiError> {
        client_config(identity, self.authority_pem(), alpn)
    }
}

fn roots(authority_pem: &str) -> Result<RootCertStore, PkiError> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(authority_pem)?)?;
    Ok(roots)
}

fn server_config(
    verifier: Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError>,
    identity: &Identity,
    alpn: &[&[u8]],
) -> Result<Arc<ServerConfig>, PkiError> {
    let verifier = verifier.map_err(|error| PkiError::Setup { reason: error.to_string() })?;
    let (chain, key) = parse(identity)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    // Each connection shows its certificate; none rides on an earlier one.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

fn parse(
    identity: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PkiError> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes()).collect();
    let chain = chain.map_err(|error| PkiError::Setup { reason: error.to_string() })?;
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.expose().as_bytes())
        .map_err(|error| PkiError::Setup { reason: error.to_string() })?;
    Ok((chain, key))
}

fn certificate(pem: &str) -> Result<CertificateDer<'static>, PkiError> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| PkiError::Setup { reason: error.to_string() })
}

/// Named, not the process's default: that depends on who else links which library.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

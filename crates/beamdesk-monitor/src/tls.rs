//! TLS to the portal: 1.3, with the site's authority as the only root.

use std::sync::Arc;

use beamdesk_types::{EnrolAnswer, Secret};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    version::TLS13,
};
use sha2::{Digest as _, Sha256};

use crate::MonitorError;

/// What the portal's certificate must be for, whatever its address.
const PORTAL_NAME: &str = "portal.beamdesk.internal";

/// SHA-256 of the authority's certificate (DER).
pub(crate) type Fingerprint = [u8; 32];

/// The part of an enrolment secret that says which authority to believe: 64 hex digits and a dot stand
/// before what only the portal can check.
pub(crate) fn fingerprint_of_secret(secret: &Secret) -> Result<Fingerprint, MonitorError> {
    let (digits, rest) =
        secret.expose().split_once('.').ok_or(MonitorError::Secret("it has no dot"))?;
    let bytes = hex::decode(digits).ok().and_then(|bytes| Fingerprint::try_from(bytes).ok());
    let bytes = bytes.ok_or(MonitorError::Secret("it does not begin with 64 hex digits"))?;
    if rest.is_empty() {
        return Err(MonitorError::Secret("nothing stands behind the dot"));
    }
    Ok(bytes)
}

pub(crate) fn fingerprint_of(certificate: &CertificateDer<'_>) -> Fingerprint {
    Sha256::digest(certificate).into()
}

/// Before there is an identity: believes a portal that the authority with this fingerprint signed,
/// which it must show.
pub(crate) fn pinned(fingerprint: Fingerprint) -> Result<ClientConfig, MonitorError> {
    let verifier = PortalVerifier { trust: Trust::Fingerprint(fingerprint), provider: provider() };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// With an identity: shows it, and believes a portal that its authority signed.
pub(crate) fn mutual(identity: &EnrolAnswer) -> Result<ClientConfig, MonitorError> {
    let wrong = |what: &'static str| MonitorError::Identity(format!("has {what}"));
    let authority = CertificateDer::from_pem_slice(identity.authority.as_bytes())
        .map_err(|_| wrong("no authority"))?;
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect();
    let chain =
        chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| wrong("no certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes())
        .map_err(|_| wrong("no key"))?;
    let verifier =
        PortalVerifier { trust: Trust::Authority(verifier(authority)?), provider: provider() };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(chain, key)?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// The usual verification, but for the portal's own name instead of the address's, and, before the
/// authority is known, with the one whose hash was told.
#[derive(Debug)]
struct PortalVerifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Trust {
    Authority(Arc<WebPkiServerVerifier>),
    Fingerprint(Fingerprint),
}

impl ServerCertVerifier for PortalVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verifier = match &self.trust {
            Trust::Authority(verifier) => Arc::clone(verifier),
            Trust::Fingerprint(wanted) => {
                let authority = intermediates.iter().find(|der| fingerprint_of(der) == *wanted);
                let authority = authority.ok_or(CertificateError::UnknownIssuer)?;
                verifier(authority.clone().into_owned())?
            }
        };
        let name = ServerName::try_from(PORTAL_NAME).map_err(|e| Error::General(e.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, &name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn verifier(authority: CertificateDer<'static>) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority)?;
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| Error::General(error.to_string()))
}

/// Named, not the process's default: that depends on who else links which library.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests {
    use beamdesk_types::Secret;

    use super::fingerprint_of_secret;

    #[test]
    fn a_secret_tells_whom_to_believe_or_is_none() {
        let secret = |text: &str| fingerprint_of_secret(&Secret::new(text.to_owned()));
        assert_eq!(secret(&format!("{}.abc", "0a".repeat(32))).unwrap(), [10; 32]);
        for bad in ["", "abc", ".abc", "0a.abc", &format!("{}.", "0a".repeat(32))] {
            let error = secret(bad).unwrap_err().to_string();
            assert!(error.contains("not one of this system"), "{error}");
        }
    }
}

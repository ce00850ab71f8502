//! Certificates for agents that made their keys themselves.

use std::time::Duration;

use beamdesk_store::Digest;
use beamdesk_types::DesktopId;
use rcgen::{
    CertificateSigningRequestParams, ExtendedKeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKey,
    PublicKeyData as _,
};
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, UnixTime, pem::PemObject as _},
};
use sha2::{Digest as _, Sha256};
use webpki::{EndEntityCert, KeyUsage};

use super::{Authority, CLOCK_SLACK, agent_server_name, params};
use crate::PkiError;

/// With the slack before it, a certificate is good for a day in all (SR-26).
const AGENT_LIFE: Duration = Duration::from_secs(24 * 3600 - CLOCK_SLACK.as_secs());
/// An agent asks for the next certificate when two thirds of its life are over: then there is a third
/// left for a portal to come back.
pub(crate) const AGENT_RENEWS_AFTER: Duration = Duration::from_secs(AGENT_LIFE.as_secs() / 3 * 2);
/// A request for a P-256 key without a name has some 500 bytes.
const REQUEST_BYTES_MAX: usize = 4096;
/// A chain of ours is one certificate of some 700 bytes.
const CERTIFICATE_BYTES_MAX: usize = 8192;
/// A point of P-256, not compressed (SEC 1, 2.3.3).
const POINT_BYTES: usize = 65;

const AGENT_DOMAIN: &str = ".agent.beamdesk.internal";

/// A public key whose owner has shown that it has the private one.
#[derive(Debug, Clone)]
pub(crate) struct AgentKey {
    public: PublicKey,
}

impl AgentKey {
    /// Reads a signing request (PKCS #10, PEM) and checks its signature. Nothing else that stands in
    /// it counts: what a certificate says is for the authority to know.
    pub(crate) fn of_request(pem: &str) -> Result<Self, PkiError> {
        let wrong = |reason: &str| PkiError::Request { reason: reason.to_owned() };
        if pem.len() > REQUEST_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        let request = CertificateSigningRequestParams::from_pem(pem)
            .map_err(|error| wrong(&error.to_string()))?;
        let public = request.public_key;
        let is_p256 = public.algorithm() == &PKCS_ECDSA_P256_SHA256;
        if !is_p256 || public.der_bytes().len() != POINT_BYTES {
            return Err(wrong("its key is not one of P-256"));
        }
        Ok(Self { public })
    }

    /// What the database knows it by.
    pub(crate) fn digest(&self) -> Digest {
        Sha256::digest(self.public.der_bytes()).into()
    }
}

impl Authority {
    /// For the agent of one generation of a desktop, which made its key itself: a server, never a
    /// client, so that no agent can reach another. PEM.
    pub(crate) fn agent_certificate(
        &self,
        desktop: DesktopId,
        generation: u32,
        key: &AgentKey,
    ) -> Result<String, PkiError> {
        let name = agent_server_name(desktop, generation);
        let mut params = params(&name, self.inner.clock.now(), AGENT_LIFE)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(&key.public, &self.inner.issuer)?.pem())
    }

    /// The generation in a certificate (PEM) that this authority signed for this desktop and key,
    /// whether it is over or not.
    pub(crate) fn signed_generation(
        &self,
        pem: &str,
        desktop: DesktopId,
        key: &AgentKey,
    ) -> Option<u32> {
        if pem.len() > CERTIFICATE_BYTES_MAX {
            return None;
        }
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let (_, read) = x509_parser::parse_x509_certificate(&der).ok()?;
        if read.public_key().subject_public_key.data.as_ref() != key.public.der_bytes() {
            return None;
        }
        let began = u64::try_from(read.validity().not_before.timestamp()).ok()?;
        let began = UnixTime::since_unix_epoch(Duration::from_secs(began));
        let authority = CertificateDer::from_pem_slice(self.authority_pem().as_bytes()).ok()?;
        let anchor = webpki::anchor_from_trusted_cert(&authority).ok()?;
        let certificate = EndEntityCert::try_from(&der).ok()?;
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        certificate
            .verify_for_usage(
                algorithms.all,
                &[anchor],
                &[],
                began,
                KeyUsage::server_auth(),
                None,
                None,
            )
            .ok()?;
        let mut names = certificate.valid_dns_names();
        let generation = generation_of(names.next()?, desktop)?;
        names.next().is_none().then_some(generation)
    }
}

/// The generation in a name of this desktop's agents.
fn generation_of(name: &str, desktop: DesktopId) -> Option<u32> {
    let (generation, named) = name.strip_suffix(AGENT_DOMAIN)?.split_once('.')?;
    let generation = generation.strip_prefix('g')?.parse().ok()?;
    // Spelt as we spell it, and no other way.
    let is_ours = named == desktop.to_string() && name == agent_server_name(desktop, generation);
    is_ours.then_some(generation)
}

#[cfg(test)]
mod tests {
    use beamdesk_types::DesktopId;
    use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P384_SHA384};

    use super::{AGENT_LIFE, AGENT_RENEWS_AFTER, AgentKey, CLOCK_SLACK, generation_of};

    fn request(key: &KeyPair) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.serialize_request(key).unwrap().pem().unwrap()
    }

    #[test]
    fn only_a_whole_request_with_its_own_signature_shows_a_key() {
        let key = KeyPair::generate().unwrap();
        let good = request(&key);
        let shown = AgentKey::of_request(&good).unwrap();
        assert_eq!(shown.digest(), AgentKey::of_request(&request(&key)).unwrap().digest());
        let other = AgentKey::of_request(&request(&KeyPair::generate().unwrap())).unwrap();
        assert_ne!(shown.digest(), other.digest());

        let large = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let lines: Vec<&str> = good.lines().collect();
        let torn = [lines[0], lines[1], lines[lines.len() - 1]].join("\n");
        for bad in ["", "x", &torn, &request(&large), &"x".repeat(5000), &good.repeat(20)] {
            let refused = AgentKey::of_request(bad).unwrap_err().to_string();
            assert!(refused.contains("request"), "{refused}");
        }
        // Each letter of it counts.
        let body: String = lines[1..lines.len() - 1].concat();
        for place in [0, body.len() / 3, body.len() / 2, body.len() - 9] {
            let mut bytes = body.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let text = String::from_utf8(bytes).unwrap();
            let altered = format!("{}\n{text}\n{}\n", lines[0], lines[lines.len() - 1]);
            AgentKey::of_request(&altered).unwrap_err();
        }
    }

    #[test]
    fn a_name_is_read_as_it_was_written_and_no_other_way() {
        let (desktop, other) = (DesktopId::fresh(), DesktopId::fresh());
        let name = |text: &str| text.replace("ID", &desktop.to_string());
        let read = |text: &str| generation_of(&name(text), desktop);
        assert_eq!(read("g7.ID.agent.beamdesk.internal"), Some(7));
        for bad in [
            "g07.ID.agent.beamdesk.internal",
            "7.ID.agent.beamdesk.internal",
            "g.ID.agent.beamdesk.internal",
            "g-1.ID.agent.beamdesk.internal",
            "g4294967296.ID.agent.beamdesk.internal",
            "g7.x.ID.agent.beamdesk.internal",
            "g7.ID.gateway.beamdesk.internal",
            "g7.agent.beamdesk.internal",
            "",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(generation_of(&name("g7.ID.agent.beamdesk.internal"), other), None);
    }

    #[test]
    fn a_certificate_is_good_for_a_day_and_renewed_in_time() {
        assert_eq!((AGENT_LIFE + CLOCK_SLACK).as_secs(), 24 * 3600);
        assert!(AGENT_RENEWS_AFTER * 3 <= AGENT_LIFE * 2);
    }
}

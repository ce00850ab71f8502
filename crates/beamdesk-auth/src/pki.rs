//! The site's own certificate authority, and the identities it signs.

mod agent;

use std::{io, path::Path, str::FromStr, sync::Arc, time::Duration};

use beamdesk_types::{Clock, DesktopId, GatewayName, NodeName, Secret, Timestamp};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub(crate) use self::agent::{AGENT_RENEWS_AFTER, AgentKey};
use crate::{PkiError, file};

/// Name the portal's own certificate carries.
pub const PORTAL_SERVER_NAME: &str = "portal.beamdesk.internal";
const GATEWAY_DOMAIN: &str = ".gateway.beamdesk.internal";
const NODE_DOMAIN: &str = ".node.beamdesk.internal";

const AUTHORITY_FILE: &str = "authority.json";
const AUTHORITY_LIFE: Duration = Duration::from_secs(20 * 365 * 24 * 3600);
/// Gateways and portals get a new one at each start, agents on this machine with each generation.
const IDENTITY_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// A monitor asks for a new one by itself, when a third of this is left.
const MONITOR_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// Certificates begin this long ago, for hosts whose clocks are behind: an hour, and what it takes
/// until they are looked at.
const CLOCK_SLACK: Duration = Duration::from_secs(2 * 3600);

/// A certificate chain with its key, PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    pub certificate_pem: String,
    pub key_pem: Secret,
}

/// Signs the identities of agents, gateways and the portal. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Authority {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What is kept on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    certificate: String,
    key: Secret,
}

/// DNS name in the certificate of one generation of a desktop's agent.
pub fn agent_server_name(desktop: DesktopId, generation: u32) -> String {
    format!("g{generation}.{desktop}.agent.beamdesk.internal")
}

/// DNS name in a gateway's certificate.
pub fn gateway_server_name(gateway: &GatewayName) -> String {
    format!("{gateway}{GATEWAY_DOMAIN}")
}

/// DNS name in the certificate of a node's monitor.
pub fn monitor_server_name(node: &NodeName) -> String {
    format!("{node}{NODE_DOMAIN}")
}

/// The gateway a certificate (DER) names, if it is a gateway's. Whether it is to be believed is for
/// the TLS handshake to find out, before.
pub fn gateway_name_of(certificate: &[u8]) -> Option<GatewayName> {
    name_of(certificate, GATEWAY_DOMAIN)
}

/// The node whose monitor a certificate (DER) names, likewise.
pub fn node_name_of(certificate: &[u8]) -> Option<NodeName> {
    name_of(certificate, NODE_DOMAIN)
}

fn name_of<T: FromStr>(certificate: &[u8], domain: &str) -> Option<T> {
    let certificate = CertificateDer::from(certificate);
    let certificate = webpki::EndEntityCert::try_from(&certificate).ok()?;
    let mut names = certificate.valid_dns_names();
    let name = names.next()?.strip_suffix(domain)?.parse().ok()?;
    // We sign one name per certificate. Of two, which would it be?
    names.next().is_none().then_some(name)
}

impl Authority {
    /// Opens the authority kept in `dir`, or makes one. Blocking; call it at the start.
    pub fn open_or_create(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, PkiError> {
        let path = dir.join(AUTHORITY_FILE);
        let now = clock.now();
        let bytes = file::read_or_create(&path, || make_authority(now).map_err(io::Error::other))
            .map_err(|source| PkiError::File { path: path.clone(), source })?;
        let corrupt = || PkiError::Corrupt { path: path.clone() };
        let kept: Kept = serde_json::from_slice(&bytes).map_err(|_| corrupt())?;
        CertificateDer::from_pem_slice(kept.certificate.as_bytes()).map_err(|_| corrupt())?;
        let key = KeyPair::from_pem(kept.key.expose()).map_err(|_| corrupt())?;
        // Only its name and usages go into what it signs, and those never change.
        let issuer = Issuer::new(authority_params(now), key);
        Ok(Self { inner: Arc::new(Inner { clock, certificate_pem: kept.certificate, issuer }) })
    }

    /// The authority's certificate, PEM.
    pub fn authority_pem(&self) -> &str {
        &self.inner.certificate_pem
    }

    /// For the agent of one generation of a desktop: a server, never a client.
    pub fn agent_identity(
        &self,
        desktop: DesktopId,
        generation: u32,
    ) -> Result<Identity, PkiError> {
        let usages = [ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&agent_server_name(desktop, generation), &usages, IDENTITY_LIFE)
    }

    /// For a gateway: a client, never a server.
    pub fn gateway_identity(&self, gateway: &GatewayName) -> Result<Identity, PkiError> {
        let usages = [ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&gateway_server_name(gateway), &usages, IDENTITY_LIFE)
    }

    /// For the monitor of a node: a client, never a server. [`PkiError::Name`] for a name that is
    /// none for a host.
    pub fn monitor_identity(&self, node: &NodeName) -> Result<Identity, PkiError> {
        let usages = [ExtendedKeyUsagePurpose::ClientAuth];
        let identity = self.sign(&monitor_server_name(node), &usages, MONITOR_LIFE)?;
        // A node may have a name that DNS has not (`a-`): nobody could read it there again.
        let der = CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes());
        let read = der.ok().and_then(|der| node_name_of(&der));
        if read.as_ref() == Some(node) {
            Ok(identity)
        } else {
            Err(PkiError::Name { name: node.to_string() })
        }
    }

    /// For the portal: serves `/internal/v1`, asks agents how they are.
    pub fn portal_identity(&self) -> Result<Identity, PkiError> {
        self.sign(
            PORTAL_SERVER_NAME,
            &[ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            IDENTITY_LIFE,
        )
    }

    /// What a monitor knows this authority by before it has a certificate of it: SHA-256 of the
    /// certificate (DER), 64 hexadecimal digits.
    pub fn fingerprint(&self) -> Result<String, PkiError> {
        let der = CertificateDer::from_pem_slice(self.authority_pem().as_bytes())
            .map_err(|error| PkiError::Setup { reason: error.to_string() })?;
        Ok(hex::encode(Sha256::digest(&der)))
    }

    fn sign(
        &self,
        name: &str,
        usages: &[ExtendedKeyUsagePurpose],
        life: Duration,
    ) -> Result<Identity, PkiError> {
        let mut params = params(name, self.inner.clock.now(), life)?;
        params.extended_key_usages = usages.to_vec();
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.inner.issuer)?;
        Ok(identity(&certificate, &key))
    }
}

/// Parameters of a leaf for one name.
pub(crate) fn params(
    name: &str,
    now: Timestamp,
    life: Duration,
) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::new([name.to_owned()])
        .map_err(|_| PkiError::Name { name: name.to_owned() })?;
    params.distinguished_name = DistinguishedName::new();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    set_life(&mut params, now, life);
    Ok(params)
}

pub(crate) fn identity(certificate: &Certificate, key: &KeyPair) -> Identity {
    Identity { certificate_pem: certificate.pem(), key_pem: Secret::new(key.serialize_pem()) }
}

fn make_authority(now: Timestamp) -> Result<Vec<u8>, PkiError> {
    let key = KeyPair::generate()?;
    let certificate = authority_params(now).self_signed(&key)?;
    let kept = Kept { certificate: certificate.pem(), key: Secret::new(key.serialize_pem()) };
    serde_json::to_vec(&kept).map_err(|error| PkiError::Setup { reason: error.to_string() })
}

fn authority_params(now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Beamdesk authority");
    // It signs leaves and no further authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_life(&mut params, now, AUTHORITY_LIFE);
    params
}

fn set_life(params: &mut CertificateParams, now: Timestamp, life: Duration) {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params.not_before = now - CLOCK_SLACK;
    params.not_after = now + life;
}

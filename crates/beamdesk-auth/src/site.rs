//! The site's own HTTPS certificate, where the facility gives none.

use std::{path::Path, time::Duration};

use beamdesk_types::{Secret, Timestamp};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use serde::{Deserialize, Serialize};

use crate::{
    Identity, PkiError, file, later,
    pki::{identity, params},
};

const SITE_FILE: &str = "site.json";
/// Browsers refuse more than 398 days.
const LIFE: Duration = Duration::from_secs(397 * 24 * 3600);
const RENEW_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is kept on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    hosts: Vec<String>,
    expires: Timestamp,
    certificate: String,
    key: Secret,
}

/// The self-made HTTPS certificate kept in `dir`; made anew when the hosts change or when less
/// than 30 days are left. Hosts are DNS names or addresses, the first the main one. Blocking.
pub fn site_identity(dir: &Path, hosts: &[String], now: Timestamp) -> Result<Identity, PkiError> {
    let path = dir.join(SITE_FILE);
    let trouble = |source| PkiError::File { path: path.clone(), source };
    let kept = file::read(&path).map_err(trouble)?;
    // One that cannot be read is made anew as well: nothing else depends on it.
    let kept: Option<Kept> = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let kept = kept.filter(|kept| kept.hosts == hosts && later(now, RENEW_BEFORE) < kept.expires);
    if let Some(kept) = kept {
        return Ok(Identity { certificate_pem: kept.certificate, key_pem: kept.key });
    }
    let identity = make(hosts, now)?;
    let kept = Kept {
        hosts: hosts.to_vec(),
        expires: later(now, LIFE),
        certificate: identity.certificate_pem.clone(),
        key: identity.key_pem.clone(),
    };
    let bytes =
        serde_json::to_vec(&kept).map_err(|error| PkiError::Setup { reason: error.to_string() })?;
    file::replace(&path, &bytes).map_err(trouble)?;
    Ok(identity)
}

fn make(hosts: &[String], now: Timestamp) -> Result<Identity, PkiError> {
    let first = hosts.first().ok_or(PkiError::Name { name: String::new() })?;
    let mut params = params(first, now, LIFE)?;
    // Brackets belong to URLs, not to addresses.
    let names: Vec<String> =
        hosts.iter().map(|host| host.trim_matches(['[', ']']).to_owned()).collect();
    params.subject_alt_names = CertificateParams::new(names)
        .map_err(|_| PkiError::Name { name: hosts.join(", ") })?
        .subject_alt_names;
    params.distinguished_name.push(DnType::CommonName, "Beamdesk");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(identity(&certificate, &key))
}

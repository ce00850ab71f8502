//! How a monitor is let in, and stays so.

use beamdesk_types::{EnrolAnswer, EnrolRequest, NodeName, Secret};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use url::Url;

use crate::{
    MonitorError,
    portal::{Portal, PortalError},
    tls::{fingerprint_of, fingerprint_of_secret, mutual, pinned},
};

/// What became of asking to be let in.
#[derive(Debug)]
pub(crate) enum Enrolled {
    Yes(EnrolAnswer),
    /// Ask again later.
    NotYet(PortalError),
}

/// Asks once. An error is for good: the secret is wrong, or the portal does not take it.
pub(crate) async fn enrol(
    portal: &Url,
    secret: &Secret,
    node: &NodeName,
    machine: &str,
) -> Result<Enrolled, MonitorError> {
    let fingerprint = fingerprint_of_secret(secret)?;
    let client = Portal::new(portal, pinned(fingerprint)?)?;
    let request =
        EnrolRequest { secret: secret.clone(), node: node.clone(), machine: machine.to_owned() };
    let identity = match client.enrol(&request).await {
        Ok(identity) => identity,
        Err(PortalError::Refused(reason)) => return Err(MonitorError::Refused(reason)),
        Err(error) => return Ok(Enrolled::NotYet(error)),
    };
    // From here on it is this authority that is believed: it must be the one that was told.
    let authority = CertificateDer::from_pem_slice(identity.authority.as_bytes())
        .map_err(|_| MonitorError::Identity("has no authority".to_owned()))?;
    if fingerprint_of(&authority) != fingerprint {
        return Err(MonitorError::Identity("is of another authority than the secret's".to_owned()));
    }
    // Whether certificate, key and authority fit together: what is kept must work after a restart.
    mutual(&identity)?;
    Ok(Enrolled::Yes(identity))
}

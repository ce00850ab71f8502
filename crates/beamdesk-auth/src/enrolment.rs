//! Letting monitors in: an administrator hands a secret over, and a monitor turns it into an identity.

use std::time::Duration;

use beamdesk_store::NewEnrolment;
use beamdesk_types::{Actor, Secret, Timestamp};

use crate::{
    Auth, AuthError, Authority, PkiError,
    secret::{TEXT_BYTES_MAX, digest, fresh},
};

/// Long enough to carry it to a row of hosts.
const ENROLMENT_TTL: Duration = Duration::from_secs(24 * 3600);
/// Hosts that one secret lets in: a site is rolled out with one.
pub const ENROLMENT_USES_MAX: u32 = 1000;

/// A secret by which monitors are let in.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// `<fingerprint of the authority>.<256 random bits>`: by the first half the monitor knows the
    /// portal, by the whole the portal knows the monitor.
    pub secret: Secret,
    pub expires: Timestamp,
    pub uses: u32,
}

impl Auth {
    /// A fresh secret that lets `uses` monitors in, for a day. Who may ask is for the caller to know.
    pub async fn new_enrolment(
        &self,
        authority: &Authority,
        actor: &Actor,
        uses: u32,
    ) -> Result<Enrolment, EnrolmentError> {
        let uses = uses.clamp(1, ENROLMENT_USES_MAX);
        let secret = Secret::new(format!("{}.{}", authority.fingerprint()?, fresh()?.expose()));
        let hash = digest(secret.expose());
        let new = NewEnrolment { hash, ttl: ENROLMENT_TTL, uses, created_by: actor.user };
        let expires = self.store().add_enrolment(&new).await.map_err(AuthError::from)?;
        Ok(Enrolment { secret, expires, uses })
    }

    /// Whether the secret would be taken now. It is not used up.
    pub async fn is_enrolment(&self, secret: &Secret) -> Result<bool, AuthError> {
        let text = secret.expose();
        // 256 random bits need no back-off; nothing longer is even hashed.
        Ok(text.len() <= TEXT_BYTES_MAX && self.store().is_enrolment(&digest(text)).await?)
    }

    /// Uses the secret once. False: it is unknown, expired or used up.
    pub async fn use_enrolment(&self, secret: &Secret) -> Result<bool, AuthError> {
        let text = secret.expose();
        Ok(text.len() <= TEXT_BYTES_MAX && self.store().use_enrolment(&digest(text)).await?)
    }
}

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Pki(#[from] PkiError),
}

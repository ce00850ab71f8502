//! Limits and keys of authentication.

use std::{io, path::Path, time::Duration};

use beamdesk_types::GatewayName;
use sha2::{Digest as _, Sha256};

use crate::{AuthError, Providers, file, secret::random};

/// Limits of sessions and tickets, and the key of resume handles.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    pub handle_key: HandleKey,
    /// A session that nobody uses ends after this (SR-04).
    pub session_idle: Duration,
    /// A session ends after this whatever happens (SR-04).
    pub session_absolute: Duration,
    /// By the database's clock (SR-12).
    pub ticket_ttl: Duration,
    pub tickets_live_per_desktop_max: u32,
    pub tickets_per_user_minute_max: u32,
    pub resumes_per_minute_max: u32,
    /// Gateways behind one address: each may redeem tickets for the others, and go on with their
    /// streams. Empty: each gateway has an address of its own.
    pub peers: Vec<GatewayName>,
    /// Who proves who somebody is, besides passwords. None, unless set.
    pub providers: Providers,
}

impl AuthConfig {
    /// What the documents promise.
    pub fn new(handle_key: HandleKey) -> Self {
        Self {
            handle_key,
            session_idle: Duration::from_secs(30 * 60),
            session_absolute: Duration::from_secs(12 * 3600),
            ticket_ttl: Duration::from_secs(30),
            tickets_live_per_desktop_max: 3,
            tickets_per_user_minute_max: 30,
            resumes_per_minute_max: 10,
            peers: Vec::new(),
            providers: Providers::default(),
        }
    }
}

/// Key that signs resume handles. All portals of a site share one.
#[derive(Clone)]
pub struct HandleKey([u8; 32]);

impl std::fmt::Debug for HandleKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HandleKey(***)")
    }
}

impl HandleKey {
    pub fn fresh() -> Result<Self, AuthError> {
        random().map(Self)
    }

    /// Reads the key file, or makes it with mode 0600. Blocking; call it at the start.
    pub fn open_or_create(path: &Path) -> Result<Self, AuthError> {
        let fault = |reason: String| AuthError::KeyFile { path: path.to_owned(), reason };
        let make = || random::<32>().map(|key| key.to_vec()).map_err(io::Error::other);
        let bytes = file::read_or_create(path, make).map_err(|error| fault(error.to_string()))?;
        let key = bytes.try_into().map_err(|_| fault("it does not hold 32 bytes".to_owned()))?;
        Ok(Self(key))
    }

    /// By which two files are compared without showing them.
    pub fn fingerprint(&self) -> String {
        hex::encode(
            Sha256::new().chain_update("beamdesk handle key").chain_update(self.0).finalize(),
        )
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

//! What can go wrong, by what a caller would do differently.

use std::{path::PathBuf, time::Duration};

use beamdesk_store::{RefusedReason, StoreError};

use crate::PasswordFault;

/// Something broke; nobody is to blame for asking.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the system gave no randomness")]
    Randomness,
    #[error("the password could not be hashed: {reason}")]
    Hash { reason: String },
    #[error("cannot use the key file {path}: {reason}")]
    KeyFile { path: PathBuf, reason: String },
}

#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Name or password; never says which.
    #[error("wrong name or password")]
    Wrong,
    /// Said only to one who knows the password.
    #[error("the account is disabled")]
    Disabled,
    /// Said only to one who knows the password: this account logs in by the provider.
    #[error("only administrators log in by password here")]
    NotLocal,
    #[error("too many attempts")]
    TooMany { retry_after: Duration },
    #[error(transparent)]
    Auth(#[from] AuthError),
}

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The old password is not right.
    #[error("wrong password")]
    Wrong,
    #[error(transparent)]
    Fault(#[from] PasswordFault),
    #[error("too many attempts")]
    TooMany { retry_after: Duration },
    #[error(transparent)]
    Auth(#[from] AuthError),
}

#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Wrong, expired or used token, or there is an administrator already.
    #[error("the set-up link is not valid any more")]
    Refused,
    #[error("a user name has 1 to 32 characters a-z 0-9 . - _ and begins with a letter")]
    Name,
    #[error(transparent)]
    Password(#[from] PasswordFault),
    #[error("too many attempts")]
    TooMany { retry_after: Duration },
    #[error(transparent)]
    Auth(#[from] AuthError),
}

#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// The desktop is not the actor's own, or not there any more.
    #[error("no such desktop of this user")]
    NotYours,
    #[error("the desktop is not ready")]
    NotReady,
    /// The browser has no bind cookie yet.
    #[error("the browser sent no bind cookie")]
    NoBind,
    #[error("too many tickets")]
    TooMany { retry_after: Duration },
    #[error(transparent)]
    Auth(#[from] AuthError),
}

/// Why a ticket or handle opened nothing.
#[derive(Debug, thiserror::Error)]
pub enum RedeemError {
    /// Answer 403 with the one `Refusal`; the reason is for the log and already in the audit.
    #[error("refused: {}", .0.as_str())]
    Refused(RefusedReason),
    /// The stream came back too often; it is none the worse for it. Answer 429.
    #[error("resumed too often")]
    TooMany { retry_after: Duration },
    /// Answer 503.
    #[error(transparent)]
    Auth(#[from] AuthError),
}

impl From<StoreError> for LoginError {
    fn from(error: StoreError) -> Self {
        Self::Auth(error.into())
    }
}

impl From<StoreError> for PasswordError {
    fn from(error: StoreError) -> Self {
        Self::Auth(error.into())
    }
}

impl From<StoreError> for SetupError {
    fn from(error: StoreError) -> Self {
        Self::Auth(error.into())
    }
}

impl From<StoreError> for TicketError {
    fn from(error: StoreError) -> Self {
        Self::Auth(error.into())
    }
}

impl From<StoreError> for RedeemError {
    fn from(error: StoreError) -> Self {
        Self::Auth(error.into())
    }
}

/// Certificates and TLS.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("cannot use {path}: {source}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} is not what this program wrote there")]
    Corrupt { path: PathBuf },
    #[error("not a name a certificate can carry: {name:?}")]
    Name { name: String },
    /// From outside; may be told.
    #[error("the certificate request is not usable: {reason}")]
    Request { reason: String },
    #[error("the certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    #[error("TLS could not be set up")]
    Tls(#[from] rustls::Error),
    #[error("TLS could not be set up: {reason}")]
    Setup { reason: String },
}

//! What can go wrong in the portal, by what the person concerned would do differently.

use std::time::Duration;

use beamdesk_auth::{
    AuthError, EnrolmentError, LoginError, PasswordError, PasswordFault, PkiError, ProofError,
    SetupError, TicketError,
};
use beamdesk_cloud::CloudError;
use beamdesk_store::StoreError;
use beamdesk_types::GpuRequestError;

/// An error of the portal. Which HTTP answer each becomes is decided in `api/error.rs`.
#[derive(Debug, thiserror::Error)]
pub enum PortalError {
    #[error("not logged in")]
    NotLoggedIn,
    #[error("wrong name or password")]
    WrongLogin,
    #[error("wrong password")]
    WrongPassword,
    #[error("the account is disabled")]
    AccountDisabled,
    /// By password, where only administrators do that.
    #[error("only administrators log in by password here")]
    NotLocal,
    /// Why an identity provider's word logged nobody in.
    #[error(transparent)]
    Proof(ProofError),
    #[error("too many attempts")]
    TooMany { retry_after: Duration },
    /// Also for what the actor may not know of.
    #[error("there is no such thing")]
    NotFound,
    #[error("not allowed")]
    Forbidden,
    #[error("{field}: {why}")]
    Invalid { field: &'static str, why: &'static str },
    #[error(transparent)]
    Password(#[from] PasswordFault),
    /// What is asked of cards cannot be; the error names the key.
    #[error(transparent)]
    Gpu(#[from] GpuRequestError),
    #[error("it cannot be held: {why}")]
    CannotBeHeld { why: String },
    #[error("it cannot run longer: its room is reserved, or somebody waits for it")]
    CannotExtend,
    #[error("another one is being answered; ask again later")]
    Busy,
    /// Making a plan broke.
    #[error("nobody could be placed")]
    Unplanned,
    #[error("the desktop is not ready")]
    NotReady,
    /// The desktop is in a state that has no such act.
    #[error("not possible in the desktop's present state")]
    NotNow,
    /// Of a gateway that this portal does not send people to.
    #[error("its file is with another gateway")]
    NotHere,
    #[error("the quota of {max} desktops is reached")]
    QuotaReached { max: u32 },
    #[error("the name is taken")]
    Taken,
    #[error("still in use")]
    InUse,
    #[error("the last administrator must stay one")]
    LastAdministrator,
    #[error("the portal was not told where monitors find it")]
    NoMonitorAddress,
    #[error("the set-up link is not valid any more")]
    SetupRefused,
    /// Others wrote the same row each time we tried.
    #[error("somebody else changed it at the same time")]
    Contended,
    #[error("the database failed")]
    Store(#[source] StoreError),
    #[error("authentication failed to work")]
    Auth(#[source] AuthError),
    #[error("the cloud failed")]
    Cloud(#[from] CloudError),
    /// What the cloud answered to an administrator who asked something of it.
    #[error("{detail}")]
    CloudSays { code: &'static str, detail: String },
    #[error("certificates failed")]
    Pki(#[from] PkiError),
}

impl From<StoreError> for PortalError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken => Self::Taken,
            StoreError::InUse => Self::InUse,
            StoreError::QuotaReached { max } => Self::QuotaReached { max },
            StoreError::LastAdministrator => Self::LastAdministrator,
            // Checked before; then it went away in between.
            StoreError::Foreign => Self::NotFound,
            StoreError::Busy
            | StoreError::Full
            | StoreError::NotLeader
            | StoreError::NewerSchema { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Open { .. }
            | StoreError::Database(_)
            | StoreError::Migration(_) => Self::Store(error),
        }
    }
}

impl From<AuthError> for PortalError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Store(error) => error.into(),
            AuthError::Randomness | AuthError::Hash { .. } | AuthError::KeyFile { .. } => {
                Self::Auth(error)
            }
        }
    }
}

impl From<LoginError> for PortalError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Wrong => Self::WrongLogin,
            LoginError::Disabled => Self::AccountDisabled,
            LoginError::NotLocal => Self::NotLocal,
            LoginError::TooMany { retry_after } => Self::TooMany { retry_after },
            LoginError::Auth(error) => error.into(),
        }
    }
}

impl From<ProofError> for PortalError {
    fn from(error: ProofError) -> Self {
        match error {
            ProofError::Disabled => Self::AccountDisabled,
            ProofError::TooMany { retry_after } => Self::TooMany { retry_after },
            ProofError::Auth(error) => error.into(),
            ProofError::Off
            | ProofError::Expired
            | ProofError::Denied(_)
            | ProofError::Provider(_)
            | ProofError::Token(_)
            | ProofError::NotTaken(_)
            | ProofError::NoAccess => Self::Proof(error),
        }
    }
}

impl From<PasswordError> for PortalError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Wrong => Self::WrongPassword,
            PasswordError::Fault(fault) => Self::Password(fault),
            PasswordError::TooMany { retry_after } => Self::TooMany { retry_after },
            PasswordError::Auth(error) => error.into(),
        }
    }
}

impl From<SetupError> for PortalError {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Refused => Self::SetupRefused,
            SetupError::Name => BAD_USER_NAME,
            SetupError::Password(fault) => Self::Password(fault),
            SetupError::TooMany { retry_after } => Self::TooMany { retry_after },
            SetupError::Auth(error) => error.into(),
        }
    }
}

impl From<EnrolmentError> for PortalError {
    fn from(error: EnrolmentError) -> Self {
        match error {
            EnrolmentError::Auth(error) => error.into(),
            EnrolmentError::Pki(error) => error.into(),
        }
    }
}

impl From<TicketError> for PortalError {
    fn from(error: TicketError) -> Self {
        match error {
            TicketError::NotYours => Self::Forbidden,
            TicketError::NotReady => Self::NotReady,
            TicketError::NoBind => Self::Invalid { field: "bind", why: "is no bind value" },
            TicketError::TooMany { retry_after } => Self::TooMany { retry_after },
            TicketError::Auth(error) => error.into(),
        }
    }
}

/// One wording, whether the name came with the set-up or from an administrator.
pub(crate) const BAD_USER_NAME: PortalError = PortalError::Invalid {
    field: "name",
    why: "1 to 32 characters a-z 0-9 . - _, the first a letter",
};

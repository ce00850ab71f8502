//! Identity: accounts and sessions, tickets and resume handles, certificates.

mod agents;
mod backoff;
mod config;
mod enrolment;
mod error;
mod file;
mod handle;
mod login;
mod metrics;
mod oidc;
mod password;
mod pki;
mod play;
mod secret;
mod session;
mod setup;
mod site;
mod stream;
mod ticket;
mod tls;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use agents::AgentEnrolError;
pub use beamdesk_store::{AgentRefused, RefusedReason};
use beamdesk_store::{AuditEvent, Store, StoreError};
use beamdesk_types::{Clock, GatewayName, Timestamp};
use tokio::sync::Semaphore;

pub use config::{AuthConfig, HandleKey};
pub use enrolment::{ENROLMENT_USES_MAX, Enrolment, EnrolmentError};
pub use error::{
    AuthError, LoginError, PasswordError, PkiError, RedeemError, SetupError, TicketError,
};
pub use oidc::{
    Arrival, Button, Departure, KeystoneConfig, LocalLogin, LoginWays, OidcConfig, ProofError,
    ProviderConfigError, ProviderFault, Providers, ProvidersConfig, Stations, TokenFault,
};
pub use password::{PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN, PasswordFault, is_user_name};
pub use pki::{
    Authority, Identity, PORTAL_SERVER_NAME, agent_server_name, gateway_name_of,
    gateway_server_name, monitor_server_name, node_name_of,
};
pub use secret::new_bind;
pub use session::Login;
pub use site::site_identity;
pub use stream::Redeemed;
pub use ticket::Ticket;
pub use tls::{client_config, site_config};

/// Everything about who may do what. Cheap to clone; clones share their limits.
#[derive(Debug, Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    config: AuthConfig,
    backoff: Mutex<backoff::Backoff>,
    /// Each permit is one hash being computed.
    hashing: Semaphore,
    /// Each permit is one caller that waits for a hash, or has one computed.
    waiting: Semaphore,
    chores: Mutex<Chores>,
}

/// When things were last done that need not be done each time.
#[derive(Debug, Default)]
struct Chores {
    swept: Option<Timestamp>,
    /// When each gateway's watched streams were last written down. As many as there are gateways
    /// with a certificate of ours.
    noted: HashMap<GatewayName, Timestamp>,
}

impl Auth {
    pub fn new(store: Store, clock: Arc<dyn Clock>, config: AuthConfig) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                clock,
                config,
                backoff: Mutex::default(),
                hashing: Semaphore::new(password::HASHING_MAX),
                waiting: Semaphore::new(password::WAITING_MAX),
                chores: Mutex::default(),
            }),
        }
    }

    fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    fn config(&self) -> &AuthConfig {
        &self.inner.config
    }

    async fn note(
        &self,
        actor: &str,
        action: &str,
        subject: String,
        detail: String,
    ) -> Result<(), StoreError> {
        let event = AuditEvent {
            at: self.now(),
            actor: actor.to_owned(),
            action: action.to_owned(),
            subject,
            detail,
        };
        self.store().audit(&event).await
    }
}

/// What a panicking holder left is still whole: every change under these locks is one step.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// How much later `time` is than `earlier`; zero when it is not.
fn since(time: Timestamp, earlier: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(earlier)).unwrap_or_default()
}

//! An agent's identity on a server elsewhere: enrolled once with its seed, kept on disk, renewed.
//!
//! ```text
//!  seed file ──secret──► portal     key: made here, stays here
//!            ◄─certificate          certificate: for a day, renewed after two thirds of it,
//!                                   and at each boot, for the desktop's present generation
//! ```

mod portals;
mod state;
mod wait;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use beamdesk_types::{
    AgentConfig, AgentEnrolRequest, AgentIdentity, AgentRenewRequest, AgentSeed, Secret,
    SessionConfig,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use tokio::{sync::watch, time::sleep};
use tracing::{error, info, warn};

use self::{
    portals::{PortalError, Portals},
    state::{Kept, State},
    wait::{backoff, renewal, wait},
};
use crate::{AgentError, seed, tls};

pub use self::wait::Wall;

/// A portal that refuses to renew may have been told to by somebody who changes their mind.
const REFUSED_WAIT: Duration = Duration::from_secs(600);

/// Looks after the identity of this server's agent.
#[derive(Debug)]
pub struct Keeper {
    state: State,
    kept: Kept,
    /// What is still to be used, and where it lies.
    seed: Option<(AgentSeed, PathBuf)>,
    /// From when it was given until the next is to be asked for; zero: at once.
    renew_in: Duration,
}

impl Keeper {
    /// Reads the seed and what is kept from former boots. Makes the key where there is none.
    ///
    /// Blocking; for the start. An error is for good: neither of the two is of use.
    pub fn open(seed_path: &Path, state_folder: &Path) -> Result<Self, AgentError> {
        let state = State::open(state_folder)?;
        let kept = state.read()?;
        let seed = match seed::read(seed_path) {
            Ok(seed) => seed,
            Err(error) if kept.as_ref().is_some_and(|kept| kept.certificate.is_some()) => {
                warn!(error = &error as &dyn std::error::Error, "Goes on without the seed");
                None
            }
            Err(error) => return Err(error),
        };
        match choose(kept, seed) {
            Choice::Nothing => Err(AgentError::NoSeed {
                seed: seed_path.to_owned(),
                state: state_folder.to_owned(),
            }),
            Choice::Keep { kept, old_seed } => {
                if old_seed {
                    seed::remove(seed_path);
                }
                Self::new(state, kept, None)
            }
            Choice::Enrol { key, seed } => {
                let key = match key {
                    Some(key) => key,
                    None => Secret::new(KeyPair::generate().map_err(unusable)?.serialize_pem()),
                };
                let kept = Kept {
                    desktop: seed.desktop,
                    generation: seed.generation,
                    portals: seed.portals.clone(),
                    authority: seed.authority.clone(),
                    key,
                    certificate: None,
                    session: seed.session.clone(),
                };
                // Before it is asked for: if the answer gets lost, only the same key may ask again.
                state.keep(&kept)?;
                Self::new(state, kept, Some((seed, seed_path.to_owned())))
            }
        }
    }

    fn new(
        state: State,
        kept: Kept,
        seed: Option<(AgentSeed, PathBuf)>,
    ) -> Result<Self, AgentError> {
        let keeper = Self { state, kept, seed, renew_in: Duration::ZERO };
        // What cannot be used is found at the start.
        keeper.portals()?;
        request(&keeper.kept.key)?;
        Ok(keeper)
    }

    pub fn session(&self) -> &SessionConfig {
        &self.kept.session
    }

    /// What to serve with: at once where the agent has enrolled before, else when a portal has
    /// taken the seed's secret. Asks until one does; an error is for good.
    pub async fn enrolled(&mut self) -> Result<AgentConfig, AgentError> {
        if let Some((seed, path)) = &self.seed {
            let request = AgentEnrolRequest {
                desktop: seed.desktop,
                generation: seed.generation,
                secret: seed.secret.clone(),
                request: request(&self.kept.key)?,
            };
            let (portals, path) = (self.portals()?, path.clone());
            let identity = enrol(&portals, &request).await?;
            self.take(identity).await?;
            self.seed = None;
            let removed = tokio::task::spawn_blocking(move || seed::remove(&path));
            removed.await.map_err(|error| AgentError::Tls(error.to_string()))?;
            info!(desktop.id = %self.kept.desktop, generation = self.kept.generation, "Enrolled");
        }
        self.kept.config().ok_or_else(|| AgentError::Tls("there is no certificate".to_owned()))
    }

    /// Renews in time for ever, and gives what to serve with to `tls`: new connections get it, those
    /// that are there go on.
    pub async fn keep_renewed(mut self, tls: watch::Sender<Arc<ServerConfig>>, wall: Wall) {
        let mut failures = 0;
        loop {
            wait(self.renew_in, wall).await;
            match self.renew(&tls).await {
                Ok(()) => {
                    failures = 0;
                    let generation = self.kept.generation;
                    info!(desktop.id = %self.kept.desktop, generation, "Renewed the certificate");
                }
                Err(Trouble::Portal(PortalError::Refused(reason))) => {
                    error!(reason, "A portal refused to renew the certificate");
                    self.renew_in = REFUSED_WAIT;
                }
                Err(trouble) => {
                    self.renew_in = backoff(failures, random());
                    failures = failures.saturating_add(1);
                    let again_in = self.renew_in;
                    warn!(error = %trouble, ?again_in, "Could not renew the certificate");
                }
            }
        }
    }

    async fn renew(&mut self, tls: &watch::Sender<Arc<ServerConfig>>) -> Result<(), Trouble> {
        let request = AgentRenewRequest {
            desktop: self.kept.desktop,
            certificate: self.kept.certificate.clone().unwrap_or_default(),
            request: request(&self.kept.key)?,
        };
        let identity = self.portals()?.renew(&request).await?;
        let config = self.take(identity).await?;
        tls.send_replace(config);
        Ok(())
    }

    /// Checks the identity, keeps it on disk and gives what to serve with.
    async fn take(&mut self, identity: AgentIdentity) -> Result<Arc<ServerConfig>, AgentError> {
        let kept = Kept {
            generation: identity.generation,
            certificate: Some(identity.certificate),
            authority: identity.authority,
            ..self.kept.clone()
        };
        let config = kept.config().ok_or_else(|| unusable("there is no certificate"))?;
        // Whether certificate, key and authority fit together: what is kept must work after a boot.
        let serving = tls::server_config(&config)?;
        Portals::new(&kept.portals, &kept.authority)?;
        let (state, copy) = (self.state.clone(), kept.clone());
        let written = tokio::task::spawn_blocking(move || state.keep(&copy));
        written.await.map_err(unusable)??;
        self.kept = kept;
        self.renew_in = renewal(identity.renew_in_s, random());
        Ok(serving)
    }

    fn portals(&self) -> Result<Portals, AgentError> {
        Portals::new(&self.kept.portals, &self.kept.authority)
    }
}

/// Asks until a portal takes the secret. An error is for good.
async fn enrol(
    portals: &Portals,
    request: &AgentEnrolRequest,
) -> Result<AgentIdentity, AgentError> {
    let mut failures = 0;
    loop {
        match portals.enrol(request).await {
            Ok(identity) => return Ok(identity),
            Err(PortalError::Refused(reason)) => return Err(AgentError::Refused(reason)),
            Err(error) => {
                let again_in = backoff(failures, random());
                failures = failures.saturating_add(1);
                warn!(%error, ?again_in, "No portal has enrolled this agent yet");
                sleep(again_in).await;
            }
        }
    }
}

/// What is of use, of what is kept and what is seeded.
#[derive(Debug)]
enum Choice {
    Nothing,
    Keep {
        kept: Kept,
        old_seed: bool,
    },
    /// With the key that may have been used with this very seed already.
    Enrol {
        key: Option<Secret>,
        seed: AgentSeed,
    },
}

fn choose(kept: Option<Kept>, seed: Option<AgentSeed>) -> Choice {
    match (kept, seed) {
        (None, None) => Choice::Nothing,
        (None, Some(seed)) => Choice::Enrol { key: None, seed },
        (Some(kept), None) if kept.certificate.is_some() => Choice::Keep { kept, old_seed: false },
        (Some(_), None) => Choice::Nothing,
        (Some(kept), Some(seed)) => {
            let is_ours = kept.desktop == seed.desktop;
            if is_ours && kept.certificate.is_some() && seed.generation <= kept.generation {
                return Choice::Keep { kept, old_seed: true };
            }
            // An image that was made of a server that had enrolled brings a key along: not for us.
            let is_this = is_ours && kept.certificate.is_none();
            let key = (is_this && kept.generation == seed.generation).then_some(kept.key);
            Choice::Enrol { key, seed }
        }
    }
}

/// What a renewal breaks on.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Portal(#[from] PortalError),
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// A signing request for this key (PEM), PEM. It says nothing but the key.
fn request(key: &Secret) -> Result<String, AgentError> {
    let key = KeyPair::from_pem(key.expose()).map_err(unusable)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serialize_request(&key).and_then(|request| request.pem()).map_err(unusable)
}

/// Zero where the system has no randomness: then it is only less even.
fn random() -> u8 {
    let mut byte = [0];
    if getrandom::fill(&mut byte).is_err() {
        return 0;
    }
    byte[0]
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unusable(error: impl ToString) -> AgentError {
    AgentError::Tls(error.to_string())
}

#[cfg(test)]
mod tests;

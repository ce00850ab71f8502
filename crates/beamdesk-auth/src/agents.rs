//! Agents of servers elsewhere: a seed's one-time secret becomes an identity, and that is renewed.

use std::time::Duration;

use beamdesk_store::{AgentEnrolment, AgentRefused, AgentRenewal, NewAgentSecret};
use beamdesk_types::{
    AgentEnrolRequest, AgentIdentity, AgentRenewRequest, Desktop, DesktopId, SEED_LIFE_S, Secret,
};

use crate::{
    Auth, AuthError, Authority, PkiError,
    pki::{AGENT_RENEWS_AFTER, AgentKey},
    secret::{TEXT_BYTES_MAX, digest, fresh},
};

/// Why an agent gets no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AgentEnrolError {
    #[error("refused: {}", .0.as_str())]
    Refused(AgentRefused),
    /// What it sent as a certificate request is none. The text may be told.
    #[error("{0}")]
    Request(String),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Pki(PkiError),
}

impl Auth {
    /// A fresh secret for the seed of a server. `makes_server`: it is made now, and whatever earlier
    /// servers of this desktop have is no good any more.
    pub async fn new_agent_secret(
        &self,
        desktop: DesktopId,
        generation: u32,
        makes_server: bool,
    ) -> Result<Secret, AuthError> {
        let secret = fresh()?;
        let new = NewAgentSecret {
            hash: digest(secret.expose()),
            desktop,
            generation,
            ttl: Duration::from_secs(SEED_LIFE_S),
            makes_server,
        };
        self.store().add_agent_secret(&new).await?;
        Ok(secret)
    }

    /// Turns a seed's secret into the identity of the desktop's agent. `from`: where it asks from.
    pub async fn enrol_agent(
        &self,
        authority: &Authority,
        request: &AgentEnrolRequest,
        from: &str,
    ) -> Result<AgentIdentity, AgentEnrolError> {
        let text = request.secret.expose();
        if text.len() > TEXT_BYTES_MAX {
            return Err(AgentEnrolError::Refused(AgentRefused::Unknown));
        }
        let hash = digest(text);
        // 256 random bits need no back-off, but whoever guesses must not make work.
        if !self.store().is_agent_secret(&hash).await.map_err(AuthError::from)? {
            return Err(AgentEnrolError::Refused(AgentRefused::Unknown));
        }
        let key = key_of(&request.request)?;
        let enrolment = AgentEnrolment {
            hash,
            desktop: request.desktop,
            generation: request.generation,
            key: key.digest(),
            from,
        };
        let enrolled = self.store().enrol_agent(&enrolment).await.map_err(AuthError::from)?;
        identity(authority, &enrolled.map_err(AgentEnrolError::Refused)?, &key)
    }

    /// Another certificate for the key that enrolled, of the desktop's present generation.
    pub async fn renew_agent(
        &self,
        authority: &Authority,
        request: &AgentRenewRequest,
    ) -> Result<AgentIdentity, AgentEnrolError> {
        let key = key_of(&request.request)?;
        let renewal = AgentRenewal {
            desktop: request.desktop,
            key: key.digest(),
            signed: authority.signed_generation(&request.certificate, request.desktop, &key),
        };
        let renewed = self.store().renew_agent(&renewal).await.map_err(AuthError::from)?;
        identity(authority, &renewed.map_err(AgentEnrolError::Refused)?, &key)
    }

    /// Whether the desktop's present server can have an agent at all. False: its seed's secret was
    /// over before anybody used it, and only another server helps.
    pub async fn can_have_agent(&self, desktop: DesktopId) -> Result<bool, AuthError> {
        Ok(self.store().can_have_agent(desktop).await?)
    }
}

fn key_of(request: &str) -> Result<AgentKey, AgentEnrolError> {
    AgentKey::of_request(request).map_err(|error| AgentEnrolError::Request(error.to_string()))
}

fn identity(
    authority: &Authority,
    desktop: &Desktop,
    key: &AgentKey,
) -> Result<AgentIdentity, AgentEnrolError> {
    let certificate = authority
        .agent_certificate(desktop.id, desktop.generation, key)
        .map_err(AgentEnrolError::Pki)?;
    Ok(AgentIdentity {
        generation: desktop.generation,
        certificate,
        authority: authority.authority_pem().to_owned(),
        renew_in_s: AGENT_RENEWS_AFTER.as_secs(),
    })
}

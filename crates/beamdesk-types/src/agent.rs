//! What an agent is told at its start, how it comes by its identity, and what it answers when asked
//! how it is.

use serde::{Deserialize, Serialize};

use crate::{DesktopId, Secret};

/// How the agent of a server comes by its identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentStart {
    /// It is given one on its standard input: drivers that run agents on this machine.
    Handed(AgentConfig),
    /// It asks a portal for one, with the seed on its server's config drive.
    Seeded(AgentSeed),
}

impl AgentStart {
    pub fn desktop(&self) -> DesktopId {
        match self {
            Self::Handed(config) => config.desktop,
            Self::Seeded(seed) => seed.desktop,
        }
    }

    pub fn generation(&self) -> u32 {
        match self {
            Self::Handed(config) => config.generation,
            Self::Seeded(seed) => seed.generation,
        }
    }
}

/// Given to `beamdesk-agent` on its standard input as one JSON document; never on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    pub desktop: DesktopId,
    pub generation: u32,
    /// Certificate chain of this agent, PEM.
    pub certificate: String,
    /// Private key of this agent, PEM (PKCS #8).
    pub key: Secret,
    /// Certificate authority that gateways and the portal must be signed by, PEM.
    pub authority: String,
    pub session: SessionConfig,
}

/// What a server's agent is told at its first boot, in a file as one JSON document.
///
/// Administrators of the cloud can read config drives, now and later. So it holds no key, and its
/// secret is worth nothing once it was used, or after a quarter of an hour.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentSeed {
    pub desktop: DesktopId,
    pub generation: u32,
    /// Where agents find portals, `https://host:port` each; tried in turn.
    pub portals: Vec<String>,
    /// Certificate authority that portals and gateways must be signed by, PEM.
    pub authority: String,
    /// Good for one identity, for [`SEED_LIFE_S`] seconds.
    pub secret: Secret,
    pub session: SessionConfig,
}

/// How long a seed's secret is good (SR-24): building and first boot of a server fit into it.
pub const SEED_LIFE_S: u64 = 15 * 60;

/// `POST /agent/v1/enrol`: the seed's secret becomes an identity.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentEnrolRequest {
    pub desktop: DesktopId,
    pub generation: u32,
    pub secret: Secret,
    /// Certificate signing request (PKCS #10, PEM) for the key that the agent made. Only its key is
    /// looked at.
    pub request: String,
}

/// `POST /agent/v1/renew`: another certificate for the key that enrolled.
///
/// The request's own signature shows who asks, and what is answered is of use to the holder of the
/// key only. So it needs no client certificate, and works also after the last one has expired: a
/// server may be off for longer than a certificate lives.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentRenewRequest {
    pub desktop: DesktopId,
    /// The newest certificate it has, PEM: to be believed where the database knows less, as after a
    /// restore.
    pub certificate: String,
    /// As in [`AgentEnrolRequest`].
    pub request: String,
}

/// The identity an agent serves with from now on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentIdentity {
    /// Of the desktop as it is now; it rises with each start of the server.
    pub generation: u32,
    /// Certificate chain, PEM.
    pub certificate: String,
    /// Authorities that gateways and portals may be signed by, PEM.
    pub authority: String,
    /// When to ask for the next, counted from now: no clock of the server is needed.
    pub renew_in_s: u64,
}

/// The desktop session the agent starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionConfig {
    /// Title of the desktop, shown in its panel.
    pub name: String,
    /// `en` or `zh`: language of the session's own menus.
    pub language: String,
    /// Size of the screen until a viewer asks for another, pixels.
    pub width: u16,
    pub height: u16,
}

/// Answer to a connection with [`crate::ALPN_STATUS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentStatus {
    pub session: SessionState,
    pub width: u16,
    pub height: u16,
    pub viewers: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// The X server or the window manager is not there yet.
    Starting,
    Up,
}

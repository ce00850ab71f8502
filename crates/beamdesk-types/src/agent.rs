//! What an agent is told at its start, and what it answers when asked how it is.

use serde::{Deserialize, Serialize};

use crate::{DesktopId, Secret};

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

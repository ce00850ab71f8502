//! What the portal asks of a cloud.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use beamdesk_types::{
    AgentConfig, CardAddress, DesktopId, Image, Node, NodeName, Protection, Size, UserId,
};
use serde::{Deserialize, Serialize};

/// Anything a driver's error may stem from.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A cloud that can run desktops.
///
/// A server that is off takes nothing of its node but disk: powering it on may find no room.
///
/// `create` is idempotent per desktop: a second call for the same desktop returns the first
/// server. `delete` succeeds when the server is already gone. So a caller may always try again.
/// Every call is cancel-safe in the same sense: what a cancelled call began is found by `find`.
#[async_trait]
pub trait Compute: Send + Sync + fmt::Debug {
    /// Hosts, with what our own and other servers have taken of them.
    async fn nodes(&self) -> Result<Vec<Node>, CloudError>;
    async fn images(&self) -> Result<Vec<Image>, CloudError>;
    /// Makes the server and powers it on.
    async fn create(&self, spec: &ServerSpec) -> Result<ServerId, CloudError>;
    async fn find(&self, desktop: DesktopId) -> Result<Option<Server>, CloudError>;
    /// All servers of this deployment, whatever their state.
    async fn list(&self) -> Result<Vec<Server>, CloudError>;
    /// Begins to change the power state; `find` tells when it has. `On` needs the spec, because
    /// each start has a new generation and new keys.
    async fn power(&self, id: &ServerId, power: Power<'_>) -> Result<(), CloudError>;
    /// Removes the server and all that belongs to it, but never the owner's home folder.
    async fn delete(&self, id: &ServerId) -> Result<(), CloudError>;
    /// Which walls stand between desktops on this cloud.
    fn protections(&self) -> Vec<Protection>;
    /// Powers off everything this driver keeps on this machine, for an orderly end of the process.
    /// Clouds that live elsewhere do nothing.
    async fn shutdown(&self);
}

/// What to make.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerSpec {
    pub desktop: DesktopId,
    pub owner: UserId,
    pub node: NodeName,
    pub image: Image,
    pub size: Size,
    /// The cards of the node that are this desktop's, as many as it needs.
    pub cards: Vec<CardAddress>,
    /// Of each of them, in thousandths.
    pub share_milli: u32,
    pub agent: AgentConfig,
}

/// A driver's own name for a server.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerId(pub String);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A server as the cloud tells of it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub id: ServerId,
    pub desktop: DesktopId,
    pub generation: u32,
    pub state: PowerState,
    /// Where the agent listens, as host:port, once known.
    pub address: Option<String>,
    /// Where it lies, also while it is off.
    pub node: NodeName,
    /// What it holds of that node's cards; nothing while it is off.
    pub cards: Vec<CardAddress>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PowerState {
    /// Being made or started.
    Building,
    Active,
    Off,
    /// Broke; only deleting it helps. The text is for operators.
    Error(String),
    Deleting,
}

#[derive(Debug, Clone, Copy)]
pub enum Power<'a> {
    On(&'a ServerSpec),
    Off,
}

#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// No host fits; asking again later may help.
    #[error("no host has room for this desktop")]
    NoCapacity,
    #[error("the host's disk is full")]
    DiskFull,
    /// Asking again with the same words will fail again.
    #[error("the cloud refused: {0}")]
    Refused(String),
    #[error("the cloud is unavailable")]
    Unavailable {
        retry_after: Option<Duration>,
        #[source]
        source: BoxError,
    },
}

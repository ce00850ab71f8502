//! What the portal asks of a cloud.

use std::fmt;

use async_trait::async_trait;
use beamdesk_types::{
    AgentStart, Card, CardAddress, DesktopId, Image, Inventory, MadeOf, Node, NodeName, Protection,
    Size, UserId,
};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::CloudError;

/// A cloud that can run desktops.
///
/// A server that is off takes nothing of its node but disk: powering it on may find no room.
///
/// `create` is idempotent per desktop: a second call for the same desktop returns the first
/// server. `delete` succeeds when the server is already gone. So a caller may always try again.
/// Every call is cancel-safe in the same sense: what a cancelled call began is found by `find`.
#[async_trait]
pub trait Compute: Send + Sync + fmt::Debug {
    /// Hosts, with what our own and other servers have taken of them. Empty where the cloud does
    /// not let us see its hosts: then their monitors tell of them.
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

    /// Which [`AgentStart`] a spec for this cloud has: a seed, with which the agent gets its
    /// identity later, or the identity itself.
    fn seeds(&self) -> bool {
        false
    }

    /// How many servers may be in the making at once; `None`: any number.
    fn builds_max(&self) -> Option<usize> {
        None
    }

    /// The last lines the server wrote to its console; `None`: this cloud keeps none.
    async fn console_log(&self, _id: &ServerId, _lines: u32) -> Result<Option<String>, CloudError> {
        Ok(None)
    }

    /// A page with the server's screen, for rescue. It lets in whoever has it, so it is for one
    /// administrator, once; `None`: this cloud has none.
    async fn console_url(&self, _id: &ServerId) -> Result<Option<Url>, CloudError> {
        Ok(None)
    }

    /// Changes a server that there is. What a cloud cannot do it refuses.
    async fn alter(&self, _id: &ServerId, alter: Alter<'_>) -> Result<(), CloudError> {
        Err(CloudError::refused(format!("this cloud cannot {}", alter.word())))
    }

    /// Removes what is left of servers that are gone, and second servers of one desktop. To be
    /// called now and then, by one portal only.
    async fn tidy(&self) -> Result<(), CloudError> {
        Ok(())
    }

    /// What the cloud has beside servers; `None`: it is no cloud elsewhere. `sizes` are those it
    /// should have flavors for.
    async fn inventory(&self, _sizes: &[Size]) -> Result<Option<Inventory>, CloudError> {
        Ok(None)
    }

    /// Makes the cloud's flavor of this size what the size says.
    async fn mend_size(&self, _size: &Size) -> Result<(), CloudError> {
        Err(CloudError::refused("this cloud has no flavors"))
    }

    /// Tells the cloud of the cards of its hosts, as monitors know them. Says what of it is there
    /// now, and in how many places it was changed.
    async fn publish(&self, _hosts: &[HostCards]) -> Result<Published, CloudError> {
        Ok(Published::default())
    }

    /// What a server was made of, as far as it is written on it; `None`: there is no such server.
    async fn made_of(&self, _id: &ServerId) -> Result<Option<MadeOf>, CloudError> {
        Ok(None)
    }
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
    pub agent: AgentStart,
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
    /// What the cloud's administrators did with it, if they did: shown to people, and a reason to
    /// leave it as it is.
    pub note: Option<ServerNote>,
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

/// A state that a cloud has and we have not. The server is there, whatever it says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerNote {
    /// Boots another image, for repair.
    Rescued,
    Paused,
    /// Its memory lies on disk.
    Suspended,
    /// Gets another size, or has it and waits for a word.
    Resizing,
    /// On its way to another node.
    Migrating,
    /// Put away, not by us.
    Shelved,
    /// Deleted, but can be brought back for a while.
    SoftDeleted,
    /// Changes are forbidden.
    Locked,
    /// In the cloud's own word.
    Unknown(String),
}

impl ServerNote {
    /// A stable word that pages translate.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Rescued => "rescued",
            Self::Paused => "paused",
            Self::Suspended => "suspended",
            Self::Resizing => "resizing",
            Self::Migrating => "migrating",
            Self::Shelved => "shelved",
            Self::SoftDeleted => "soft_deleted",
            Self::Locked => "locked",
            Self::Unknown(_) => "unknown",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub enum Power<'a> {
    On(&'a ServerSpec),
    Off,
}

/// A change of a server that is not its power.
#[derive(Debug, Clone, Copy)]
pub enum Alter<'a> {
    /// Another size, with the same disk; it is started anew.
    Resize(&'a ServerSpec),
    /// The disk made anew from the image; its home folder lies elsewhere.
    Rebuild(&'a ServerSpec),
    /// To another node, while it runs.
    Migrate(&'a NodeName),
}

impl Alter<'_> {
    /// What is done, as a verb.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Resize(_) => "resize",
            Self::Rebuild(_) => "rebuild",
            Self::Migrate(_) => "migrate",
        }
    }
}

/// The cards of one host, as its monitor tells of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCards {
    pub node: NodeName,
    pub cards: Vec<Card>,
}

/// What a cloud was told of cards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// Hosts that were changed.
    pub changed: usize,
    /// Hosts the cloud does not know.
    pub unknown: Vec<NodeName>,
    /// What the portal's account may not do there, in words.
    pub refused: Option<String>,
}

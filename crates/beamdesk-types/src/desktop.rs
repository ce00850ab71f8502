//! A desktop: what its owner wants (goal) and where it is (phase).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{DesktopId, GpuRequest, ImageId, NodeName, SizeId, StationId, UserId};

/// What the owner wants. Written by request handlers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    Running,
    Stopped,
    Deleted,
}

/// Where the desktop is. Written by the reconciler only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waits for room.
    Pending,
    /// The compute driver makes its server.
    Building,
    /// The server runs; its agent has not answered yet.
    Booting,
    /// Can be connected to.
    Ready,
    Stopping,
    Stopped,
    /// Gave up; see [`Desktop::failure`]. A retry is a person's act.
    Failed,
    Deleting,
    Deleted,
}

macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        impl $type {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word used in SQL and JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words!(Goal { Running = "running", Stopped = "stopped", Deleted = "deleted" });
words!(Phase {
    Pending = "pending",
    Building = "building",
    Booting = "booting",
    Ready = "ready",
    Stopping = "stopping",
    Stopped = "stopped",
    Failed = "failed",
    Deleting = "deleting",
    Deleted = "deleted",
});

/// Why a desktop failed, as a stable word that the pages translate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// The compute driver refused or broke every attempt.
    BuildFailed,
    /// The server runs, but its agent never answered.
    AgentSilent,
    /// The host's disk is full.
    DiskFull,
    /// The image or size is gone, so it cannot be made.
    NotOffered,
    /// The cloud has its image no more.
    ImageGone,
    /// The cloud makes its size otherwise than we say it is.
    SizeChanged,
}

words!(FailureCode {
    BuildFailed = "build_failed",
    AgentSilent = "agent_silent",
    DiskFull = "disk_full",
    NotOffered = "not_offered",
    ImageGone = "image_gone",
    SizeChanged = "size_changed",
});

/// Why a desktop failed: a word for the user, a text for the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Failure {
    pub code: FailureCode,
    /// For operators: may name hosts and causes.
    pub detail: String,
}

/// One row of the desktops table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desktop {
    pub id: DesktopId,
    pub owner: UserId,
    pub name: String,
    pub image: ImageId,
    pub size: SizeId,
    pub goal: Goal,
    pub phase: Phase,
    /// Which incarnation of its server this is: rises each time a server is created or powered on.
    /// Tickets, leases and the agent's certificate are bound to it, so that nothing made for an
    /// earlier server opens a later one.
    pub generation: u32,
    /// Rises with every write of the row; writes are compare-and-swap on it.
    pub revision: i64,
    /// Creations tried since the goal was last set.
    pub attempts: u32,
    /// When the present phase began.
    pub phase_since: Timestamp,
    /// Where the scheduler put it.
    pub node: Option<NodeName>,
    /// Where its agent listens, as host:port, while it has a server.
    pub address: Option<String>,
    pub failure: Option<Failure>,
    /// Set by *Restart*: power off once, then this is cleared and the goal brings it back.
    pub restart: bool,
    pub created: Timestamp,
    /// What its owner asked of cards beyond its size.
    pub gpu: GpuRequest,
    /// The station it serves, if one was named.
    pub station: Option<StationId>,
    /// Since when it waits for room or, when it does not, last did: its place in the queue.
    pub queued: Timestamp,
    /// When it is stopped, unless it is extended. Set when it starts.
    pub ends: Option<Timestamp>,
}

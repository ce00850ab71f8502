//! Recordings: who may make one, what became of it, and what gateways and the portal say about it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{RecordingId, Secret, SessionId, StreamId};

/// Whether streams are recorded. Set by an administrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RecordingPolicy {
    /// Nobody's.
    #[default]
    Off,
    /// A person may record one's own desktop.
    Allowed,
    /// Each stream, from its first picture on.
    Always,
}

impl RecordingPolicy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Allowed => "allowed",
            Self::Always => "always",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Off, Self::Allowed, Self::Always].into_iter().find(|it| it.as_str() == text)
    }
}

/// Why a recording ended, as a stable word that the pages translate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RecordingEnd {
    /// The stream ended, or its viewer ended the recording.
    Ended,
    /// It had as many bytes as one recording may have.
    TooLong,
    /// The room for recordings, or the disk, is full.
    Full,
    /// The disk did not keep up.
    Slow,
    /// The disk failed.
    Failed,
    /// The policy or a removal ended it.
    NotAllowed,
    /// The gateway stopped in the middle of it; what is there can be played.
    Interrupted,
}

impl RecordingEnd {
    pub const ALL: [Self; 7] = [
        Self::Ended,
        Self::TooLong,
        Self::Full,
        Self::Slow,
        Self::Failed,
        Self::NotAllowed,
        Self::Interrupted,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::TooLong => "too_long",
            Self::Full => "full",
            Self::Slow => "slow",
            Self::Failed => "failed",
            Self::NotAllowed => "not_allowed",
            Self::Interrupted => "interrupted",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }
}

/// What a person wants with a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RecordingUse {
    Play,
    Download,
}

impl RecordingUse {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Play => "play",
            Self::Download => "download",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Play, Self::Download].into_iter().find(|it| it.as_str() == text)
    }
}

/// `POST /internal/v1/recordings/begin`: a gateway is about to record a stream of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingBegin {
    /// Chosen by the gateway, whose file carries it as a name.
    pub recording: RecordingId,
    pub stream: StreamId,
}

/// The portal has noted the beginning. A refusal is a [`crate::Refusal`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecordingBegun {
    pub started: Timestamp,
}

/// `POST /internal/v1/recordings/sync`: how a gateway's recordings are doing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingSync {
    /// Those going on, and those ended that the portal has not heard of.
    pub states: Vec<RecordingState>,
    /// Files that are gone since the last call.
    pub removed: Vec<RecordingId>,
    /// At a gateway's start: all whose files it has. `None`: nothing is said about others.
    pub held: Option<Vec<RecordingId>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordingState {
    pub recording: RecordingId,
    pub bytes: u64,
    pub duration_ms: u64,
    /// `None`: it goes on.
    pub end: Option<RecordingEnd>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RecordingAnswer {
    /// To be ended now.
    pub end: Vec<RecordingId>,
    /// To be ended if going on, and removed.
    pub remove: Vec<RecordingId>,
    pub now: Timestamp,
}

/// `POST /internal/v1/recordings/redeem`: a browser came with a ticket for a recording.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlayRequest {
    pub ticket: Secret,
    /// Value of the browser's bind cookie; empty when it sent none.
    pub bind: Secret,
}

/// What a ticket for a recording opens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlayGrant {
    pub recording: RecordingId,
    /// Whose ticket it was: the play ends with it.
    pub session: SessionId,
    #[serde(rename = "use")]
    pub purpose: RecordingUse,
    pub desktop_name: String,
}

/// `POST /internal/v1/recordings/allowed`: whether a play may go on. A no is a [`crate::Refusal`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlayCheck {
    pub recording: RecordingId,
    pub session: SessionId,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlayAllowed {
    pub now: Timestamp,
}

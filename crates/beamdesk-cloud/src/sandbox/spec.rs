//! What the driver tells a supervisor, and what the supervisor answers.

use std::path::PathBuf;

use beamdesk_types::{AgentConfig, CardAddress};
use serde::{Deserialize, Serialize};

use super::{cgroup::Group, devices::Devices};

/// On the supervisor's standard input, as one JSON document. It holds the agent's key, so it is
/// never on disk nor among the arguments.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct HostSpec {
    pub(super) folder: PathBuf,
    /// The order this supervisor carries out; with any other in the folder it goes home.
    pub(super) nonce: String,
    pub(super) home: PathBuf,
    /// User and group id of the desktop on the host; `None`: the supervisor's own.
    pub(super) uid: Option<u32>,
    pub(super) agent_exe: PathBuf,
    /// The agent's optional video encoder, where it is installed.
    #[serde(default)]
    pub(super) encoder_exe: Option<PathBuf>,
    pub(super) bwrap_exe: PathBuf,
    pub(super) groups: Vec<Group>,
    pub(super) mark: String,
    pub(super) read_only: Vec<PathBuf>,
    /// Largest size of the sandbox's `/tmp`; it counts as memory of the desktop.
    pub(super) tmp_bytes: u64,
    /// The desktop's own cards, and what of `/dev` belongs to them.
    #[serde(default)]
    pub(super) cards: Vec<CardAddress>,
    #[serde(default)]
    pub(super) devices: Devices,
    pub(super) agent: AgentConfig,
}

/// On the supervisor's standard output, one line, once.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Started,
    /// Another order stands in the folder by now, or the folder is gone.
    Superseded,
    /// The server of an earlier order did not end in time.
    Busy,
    DiskFull,
    Failed(String),
}

/// A bound for [`HostSpec`]: certificates and a few paths are some 10 KiB.
pub(super) const SPEC_BYTES_MAX: u64 = 256 * 1024;
/// A bound for the agent's part: it must fit a pipe's buffer, so that writing it cannot block.
pub(super) const AGENT_CONFIG_BYTES_MAX: usize = 60 * 1024;
/// A bound for [`Answer`].
pub(super) const ANSWER_BYTES_MAX: u64 = 16 * 1024;

//! Bodies of `/internal/v1`, spoken between gateways and the portal over mutual TLS.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{DesktopId, RecordingPolicy, Secret, StreamId, UserId};

/// `POST /internal/v1/tickets/redeem`. The gateway's name is in its certificate, not in the body.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedeemRequest {
    pub ticket: Secret,
    /// Value of the browser's bind cookie; empty when it sent none.
    pub bind: Secret,
}

/// `POST /internal/v1/streams/resume`: the browser comes back with its handle.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    pub handle: Secret,
    pub bind: Secret,
}

/// What a redeemed ticket or resume handle opens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Grant {
    pub stream: StreamId,
    pub user: UserId,
    pub user_name: String,
    pub desktop: DesktopId,
    pub desktop_name: String,
    pub generation: u32,
    /// Where the agent listens. It comes from here and never from the browser.
    pub address: String,
    /// Name the agent's certificate must carry: see `agent_server_name` in `beamdesk-auth`.
    pub agent_name: String,
    /// Whether the stream is, or may be, recorded.
    #[serde(default)]
    pub recording: RecordingPolicy,
    /// The next resume handle, for the browser's cookie.
    pub handle: Secret,
}

/// Body of every refusal with status 403: always the same, so that it tells an attacker nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub refused: bool,
}

/// `POST /internal/v1/leases/renew`: all live streams of one gateway in one call.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    pub streams: Vec<StreamId>,
    /// Streams this gateway has closed since the last call.
    pub closed: Vec<StreamId>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LeaseAnswer {
    /// Streams that must end now. All others live on.
    pub ended: Vec<LeaseEnd>,
    pub now: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseEnd {
    pub stream: StreamId,
    pub reason: CloseReason,
}

/// Why a stream ended, as a stable word that the viewer translates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The user logged out, or the session expired.
    LoggedOut,
    /// The account was disabled or may no longer use this desktop.
    NotAllowed,
    /// The desktop stopped, restarted or was deleted.
    DesktopGone,
    /// Ended by the user in another window, or by an operator.
    Ended,
    /// The portal could not be reached for longer than the grace time.
    PortalLost,
    /// The agent closed the connection or could not be reached.
    AgentLost,
    /// The viewer did not read for too long.
    ViewerStalled,
    /// The browser or the agent broke the protocol.
    ProtocolError,
    /// The gateway is shutting down; come back.
    GatewayClosing,
}

//! Words of the domain, shared by everything else: no I/O, no clock.

mod actor;
mod agent;
mod clock;
mod desktop;
mod id;
mod internal;
mod node;
mod recording;
mod secret;
mod size;

pub use actor::{Actor, Role};
pub use agent::{AgentConfig, AgentStatus, SessionConfig, SessionState};
pub use clock::Clock;
pub use desktop::{Desktop, Failure, FailureCode, Goal, Phase};
pub use id::{
    DesktopId, GatewayName, IdError, ImageId, NodeName, RecordingId, SessionId, SizeId, StreamId,
    UserId,
};
pub use internal::{
    CloseReason, Grant, LeaseAnswer, LeaseEnd, RedeemRequest, Refusal, RenewRequest, ResumeRequest,
};
pub use jiff::Timestamp;
pub use node::{Node, Protection};
pub use recording::{
    PlayAllowed, PlayCheck, PlayGrant, PlayRequest, RecordingAnswer, RecordingBegin,
    RecordingBegun, RecordingEnd, RecordingPolicy, RecordingState, RecordingSync, RecordingUse,
};
pub use secret::Secret;
pub use size::{GpuRequest, Image, Size};

/// ALPN of the stream between gateway and agent.
pub const ALPN_STREAM: &[u8] = b"beamdesk-stream/1";
/// ALPN by which the portal asks an agent for its [`AgentStatus`].
pub const ALPN_STATUS: &[u8] = b"beamdesk-status/1";

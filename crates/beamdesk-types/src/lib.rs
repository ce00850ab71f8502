//! Words of the domain, shared by everything else: no I/O, no clock.

mod actor;
mod agent;
mod clock;
mod desktop;
mod gpu;
mod id;
mod internal;
mod inventory;
mod node;
mod placement;
mod recording;
mod secret;
mod size;

pub use actor::{Actor, Role};
pub use agent::{
    AgentConfig, AgentEnrolRequest, AgentIdentity, AgentRenewRequest, AgentSeed, AgentStart,
    AgentStatus, SEED_LIFE_S, SessionConfig, SessionState,
};
pub use clock::Clock;
pub use desktop::{Desktop, Failure, FailureCode, Goal, Phase};
pub use gpu::{GPUS_MAX, GpuRequest, GpuRequestError, WHOLE_CARD};
pub use id::{
    DesktopId, GatewayName, IdError, ImageId, NodeName, RecordingId, ReservationId, SessionId,
    SizeId, StationId, StreamId, UserId,
};
pub use internal::{
    CloseReason, Grant, LeaseAnswer, LeaseEnd, RedeemRequest, Refusal, RenewRequest, ResumeRequest,
};
pub use inventory::{
    CloudHost, CloudLimit, CloudService, Drift, Flavor, Inventory, Lack, MadeOf, Resource,
};
pub use jiff::Timestamp;
pub use node::{
    CARDS_MAX, Card, CardAddress, CardState, EnrolAnswer, EnrolRequest, Node, NodeContent,
    NodeFacts, NodeReport, NodeReportAnswer, Partitioning, Protection, STALE_AFTER_INTERVALS,
};
pub use placement::{Claim, Misfit, Reservation, Station};
pub use recording::{
    PlayAllowed, PlayCheck, PlayGrant, PlayRequest, RecordingAnswer, RecordingBegin,
    RecordingBegun, RecordingEnd, RecordingPolicy, RecordingState, RecordingSync, RecordingUse,
};
pub use secret::Secret;
pub use size::{Image, Size};

/// ALPN of the stream between gateway and agent.
pub const ALPN_STREAM: &[u8] = b"beamdesk-stream/1";
/// ALPN by which the portal asks an agent for its [`AgentStatus`].
pub const ALPN_STATUS: &[u8] = b"beamdesk-status/1";

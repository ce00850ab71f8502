//! All SQL of Beamdesk: one set of statements for SQLite and PostgreSQL.

mod agent;
mod audit;
mod claim;
mod cloud_note;
mod db;
mod desktop;
mod enrolment;
mod error;
mod gpu;
mod history;
mod identity;
mod leader;
mod lease;
mod mark;
mod node;
mod notice;
mod offer;
mod open;
mod play;
mod recording;
mod redeem;
mod reservation;
mod resume;
mod row;
mod sample;
mod session;
mod setting;
mod setup;
mod station;
mod stream;
mod sweep;
mod ticket;
mod user;

pub use agent::{AgentEnrolment, AgentRefused, AgentRenewal, NewAgentSecret};
pub use audit::{AuditEntry, AuditEvent};
pub use claim::ClaimRow;
pub use cloud_note::CloudNote;
pub use enrolment::NewEnrolment;
pub use error::StoreError;
pub use history::DesktopPast;
pub use identity::{ProviderSession, Vouched};
pub use leader::Leader;
pub use mark::NodeMark;
pub use node::{NodeRecord, Quarantine};
pub use notice::{Heard, Hearing, NOTICE_BYTES_MAX};
pub use play::{Play, PlayTicket};
pub use recording::{RecordingOrders, RecordingRow};
pub use redeem::{Redeemed, RefusedReason};
pub use resume::{Resumed, Rotation};
pub use sample::{CardSample, NodeSample, SAMPLE_SLOT, SAMPLES_KEPT, slot_ms};
pub use session::SessionRow;
pub use stream::StreamRow;
pub use ticket::{NewTicket, TicketLimits, TicketRow};
pub use user::{User, UserChange};

/// The database. Cheap to clone; all clones share one pool.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) db: db::Db,
    /// Added to the database's clock. Zero outside tests.
    pub(crate) clock_shift_ms: i64,
    /// Writes of tasks are refused once a later leadership than this has begun.
    pub(crate) fence: Option<i64>,
}

/// A 256-bit digest of a bearer value. The value itself is never stored (SR-05).
pub type Digest = [u8; 32];

/// Rows any list returns at most, whatever the caller asks for.
pub const LIST_ROWS_MAX: u32 = 1000;

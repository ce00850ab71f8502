//! All SQL of Beamdesk: one set of statements for SQLite and PostgreSQL.

mod audit;
mod db;
mod desktop;
mod error;
mod lease;
mod offer;
mod open;
mod play;
mod recording;
mod redeem;
mod resume;
mod row;
mod session;
mod setting;
mod setup;
mod stream;
mod sweep;
mod ticket;
mod user;

pub use audit::{AuditEntry, AuditEvent};
pub use error::StoreError;
pub use play::{Play, PlayTicket};
pub use recording::{RecordingOrders, RecordingRow};
pub use redeem::{Redeemed, RefusedReason};
pub use resume::{Resumed, Rotation};
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
}

/// A 256-bit digest of a bearer value. The value itself is never stored (SR-05).
pub type Digest = [u8; 32];

/// Rows any list returns at most, whatever the caller asks for.
pub const LIST_ROWS_MAX: u32 = 1000;

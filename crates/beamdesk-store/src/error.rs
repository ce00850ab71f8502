//! What can go wrong with the database, by what a caller would do differently.

use sqlx::{
    error::{DatabaseError, ErrorKind},
    migrate::MigrateError,
    sqlite::SqliteError,
};

/// An error of [`crate::Store`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another writer held the database for too long; asking again may help.
    #[error("the database is busy")]
    Busy,
    /// The disk under the database is full. Nothing was written.
    #[error("the disk of the database is full")]
    Full,
    /// Written by a newer Beamdesk; this one must not touch it.
    #[error(
        "the database has schema version {version}, newer than this program knows; \
         run the newer program or restore a backup"
    )]
    NewerSchema { version: i64 },
    /// Something of that name is there already.
    #[error("the name is taken")]
    Taken,
    /// Cannot be removed while something uses it.
    #[error("still in use")]
    InUse,
    /// The owner has as many desktops as allowed.
    #[error("the quota of {max} desktops is reached")]
    QuotaReached { max: u32 },
    /// Another portal leads since; nothing was written.
    #[error("another portal leads now")]
    NotLeader,
    /// Somebody must be able to administer.
    #[error("the last administrator must stay one")]
    LastAdministrator,
    /// A row refers to one that is not there or is somebody else's (SR-22).
    #[error("the row refers to something that is not there or not the owner's")]
    Foreign,
    /// The row holds what no version of this program writes.
    #[error("the database holds a value that is not a {what}")]
    Corrupt { what: &'static str },
    /// The address of the database cannot be understood or opened.
    #[error("cannot open the database: {reason}")]
    Open { reason: String },
    #[error("the database failed")]
    Database(#[source] sqlx::Error),
    #[error("the database could not be brought to the present schema")]
    Migration(#[source] MigrateError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            return Self::Busy;
        }
        let Some(database) = error.as_database_error() else { return Self::Database(error) };
        if is_busy(database) {
            return Self::Busy;
        }
        if is_full(database) {
            return Self::Full;
        }
        match database.kind() {
            ErrorKind::UniqueViolation => Self::Taken,
            ErrorKind::ForeignKeyViolation => Self::Foreign,
            _ => Self::Database(error), // the enum is not ours and may grow
        }
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            // Applied by somebody who had it, unknown to us.
            MigrateError::VersionMissing(version) => Self::NewerSchema { version },
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
                match Self::from(source) {
                    Self::Database(source) => Self::Migration(MigrateError::Execute(source)),
                    known => known,
                }
            }
            other => Self::Migration(other), // the enum is not ours and may grow
        }
    }
}

/// The primary result code of SQLite (sqlite.org/rescode.html); `None` for PostgreSQL.
fn sqlite_code(error: &dyn DatabaseError) -> Option<i32> {
    error.try_downcast_ref::<SqliteError>()?;
    let extended: i32 = error.code()?.parse().ok()?;
    Some(extended & 0xff)
}

fn is_busy(error: &dyn DatabaseError) -> bool {
    match sqlite_code(error) {
        Some(code) => matches!(code, 5 | 6), // SQLITE_BUSY, SQLITE_LOCKED
        // serialization_failure, deadlock_detected, lock_not_available, too_many_connections,
        // cannot_connect_now
        None => {
            matches!(error.code().as_deref(), Some("40001" | "40P01" | "55P03" | "53300" | "57P03"))
        }
    }
}

fn is_full(error: &dyn DatabaseError) -> bool {
    match sqlite_code(error) {
        Some(code) => code == 13,                         // SQLITE_FULL
        None => error.code().as_deref() == Some("53100"), // disk_full
    }
}

//! One pool of either kind, and the macros that run one text on both.

use sqlx::{PgPool, SqlitePool};

#[derive(Debug, Clone)]
pub(crate) enum Db {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Db {
    /// Milliseconds since 1970 by the database's clock. Tickets live by it (SR-12), so that the
    /// clocks of portals and gateways do not matter.
    pub(crate) fn clock_sql(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Self::Postgres(_) => {
                "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
            }
        }
    }

    /// The newest leadership, kept so until the transaction ends: SQLite has one writer anyway.
    pub(crate) fn epoch_sql(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SELECT epoch FROM leader WHERE id = 1",
            Self::Postgres(_) => "SELECT epoch FROM leader WHERE id = 1 FOR SHARE",
        }
    }
}

/// Runs one expression against whichever database we have. The SQL must suit both.
macro_rules! on {
    ($store:expr, $pool:ident => $body:expr) => {
        match &$store.db {
            $crate::db::Db::Sqlite($pool) => $body,
            $crate::db::Db::Postgres($pool) => $body,
        }
    };
}

/// Runs a block as one transaction of a writer, which ends before the macro does: committed when
/// the block gives a value, rolled back when it returns early.
///
/// `BEGIN IMMEDIATE` takes SQLite's one write lock at once. A transaction that began by reading
/// could not wait for it later.
macro_rules! transaction {
    ($store:expr, $tx:ident => $body:block) => {
        match &$store.db {
            $crate::db::Db::Sqlite(pool) => {
                let mut $tx = pool.begin_with("BEGIN IMMEDIATE").await?;
                let value = $body;
                $tx.commit().await?;
                value
            }
            $crate::db::Db::Postgres(pool) => {
                let mut $tx = pool.begin().await?;
                let value = $body;
                $tx.commit().await?;
                value
            }
        }
    };
}

/// The database's time inside a transaction, in milliseconds.
macro_rules! db_now {
    ($store:expr, $tx:ident) => {{
        let now: i64 = sqlx::query_scalar($store.db.clock_sql()).fetch_one(&mut *$tx).await?;
        now.saturating_add($store.clock_shift_ms)
    }};
}

/// The first statement of a transaction that only the leader may make, on a handle that may be
/// fenced: see [`Store::fenced`](crate::Store::fenced).
macro_rules! fence {
    ($store:expr, $tx:ident) => {
        if let Some(epoch) = $store.fence {
            let newest: i64 =
                sqlx::query_scalar($store.db.epoch_sql()).fetch_one(&mut *$tx).await?;
            if newest != epoch {
                return Err($crate::StoreError::NotLeader);
            }
        }
    };
}

pub(crate) use {db_now, fence, on, transaction};

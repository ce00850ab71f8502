//! Short notices from one portal to all others, by LISTEN and NOTIFY of PostgreSQL.
//!
//! They carry no facts: who hears one looks at the database. So one that is lost costs time only,
//! and a notice that comes before what it tells of was committed cannot be: both come in order.

use std::fmt;

use sqlx::postgres::PgListener;

use crate::{Store, StoreError, db::Db};

/// PostgreSQL takes less than 8000 bytes.
pub const NOTICE_BYTES_MAX: usize = 7000;
const CHANNEL: &str = "beamdesk";

/// Hears what portals tell each other, on a connection of its own.
pub struct Hearing {
    listener: PgListener,
}

impl fmt::Debug for Hearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hearing")
    }
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Notice(String),
    /// The connection was lost and made anew: anything may have been missed.
    Gap,
}

impl Store {
    /// Tells all portals, this one too. With SQLite there is nobody else: nothing happens.
    pub async fn tell(&self, notice: &str) -> Result<(), StoreError> {
        if let Db::Postgres(pool) = &self.db {
            sqlx::query("SELECT pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(notice)
                .execute(pool)
                .await?;
        }
        Ok(())
    }

    /// Begins to listen; `None` with SQLite. What was told before is not heard.
    pub async fn hear(&self) -> Result<Option<Hearing>, StoreError> {
        match &self.db {
            Db::Sqlite(_) => Ok(None),
            Db::Postgres(pool) => {
                let mut listener = PgListener::connect_with(pool).await?;
                listener.listen(CHANNEL).await?;
                Ok(Some(Hearing { listener }))
            }
        }
    }
}

impl Hearing {
    /// Waits for the next one. Cancel-safe.
    pub async fn next(&mut self) -> Result<Heard, StoreError> {
        let notice = self.listener.try_recv().await?;
        Ok(notice.map_or(Heard::Gap, |notice| Heard::Notice(notice.payload().to_owned())))
    }
}

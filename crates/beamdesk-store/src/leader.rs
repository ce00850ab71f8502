//! Leadership: which of several portals acts, and that an earlier one writes nothing any more.
//!
//! A leadership runs by the database's clock, so that the portals' own do not matter. What is written
//! under it is compared with its epoch in the same transaction: a leader that slept while another
//! took over finds all its writes refused, whatever it believes.

use std::time::Duration;

use sqlx::FromRow;

use crate::{
    Store, StoreError,
    db::{Db, db_now, on, transaction},
    row,
};

/// Who leads.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Leader {
    /// Number of the leadership, from 1; 0: nobody ever led.
    pub epoch: i64,
    /// Name of the portal.
    pub holder: String,
    /// By the database's clock.
    pub expires_ms: i64,
}

impl Store {
    /// Begins a leadership for `ttl` if the last one is over, and says its epoch.
    ///
    /// With `at_once` also if it is not: for the one process of a system that has only one, whose
    /// predecessor was killed.
    pub async fn take_leadership(
        &self,
        holder: &str,
        ttl: Duration,
        at_once: bool,
    ) -> Result<Option<i64>, StoreError> {
        let epoch: Option<i64> = transaction!(self, tx => {
            let now = db_now!(self, tx);
            sqlx::query_scalar(
                "UPDATE leader SET epoch = epoch + 1, holder = $1, expires_ms = $2
                 WHERE id = 1 AND (expires_ms <= $3 OR $4)
                 RETURNING epoch",
            )
            .bind(holder)
            .bind(now.saturating_add(row::duration_ms(ttl)))
            .bind(now)
            .bind(at_once)
            .fetch_optional(&mut *tx)
            .await?
        });
        Ok(epoch)
    }

    /// Moves the end of a leadership to `ttl` from now. False: another one has begun.
    pub async fn renew_leadership(&self, epoch: i64, ttl: Duration) -> Result<bool, StoreError> {
        let renewed = transaction!(self, tx => {
            let now = db_now!(self, tx);
            sqlx::query("UPDATE leader SET expires_ms = $1 WHERE id = 1 AND epoch = $2")
                .bind(now.saturating_add(row::duration_ms(ttl)))
                .bind(epoch)
                .execute(&mut *tx)
                .await?
                .rows_affected()
        });
        Ok(renewed == 1)
    }

    /// Ends a leadership now, so that nobody has to wait for its end. What was written under it
    /// stays allowed until the next one begins.
    pub async fn resign_leadership(&self, epoch: i64) -> Result<(), StoreError> {
        on!(self, pool => {
            sqlx::query("UPDATE leader SET expires_ms = 0 WHERE id = 1 AND epoch = $1")
                .bind(epoch)
                .execute(pool)
                .await
                .map(drop)
        })?;
        Ok(())
    }

    /// The newest leadership.
    pub async fn leader(&self) -> Result<Leader, StoreError> {
        Ok(on!(self, pool => {
            sqlx::query_as("SELECT epoch, holder, expires_ms FROM leader WHERE id = 1")
                .fetch_one(pool)
                .await
        })?)
    }

    /// A handle whose writes to desktops and claims are refused ([`StoreError::NotLeader`]) once
    /// a later leadership has begun.
    #[must_use]
    pub fn fenced(&self, epoch: i64) -> Self {
        Self { fence: Some(epoch), ..self.clone() }
    }

    /// Whether processes on other machines may use this database at the same time.
    pub fn is_shared(&self) -> bool {
        match self.db {
            Db::Sqlite(_) => false,
            Db::Postgres(_) => true,
        }
    }

    /// Why a fenced statement changed nothing: an error if for its fence, else nothing.
    pub(crate) async fn check_fence(&self) -> Result<(), StoreError> {
        match self.fence {
            Some(epoch) if self.leader().await?.epoch != epoch => Err(StoreError::NotLeader),
            Some(_) | None => Ok(()),
        }
    }
}

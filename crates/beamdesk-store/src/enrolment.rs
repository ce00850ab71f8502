//! Secrets by which monitors are let in: a few uses, for a while, only their hashes.

use std::time::Duration;

use beamdesk_types::{Timestamp, UserId};

use crate::{
    Digest, Store, StoreError,
    db::{db_now, on, transaction},
    row,
};

/// A secret to be kept.
#[derive(Debug, Clone)]
pub struct NewEnrolment {
    pub hash: Digest,
    pub ttl: Duration,
    /// How many nodes it lets in.
    pub uses: u32,
    pub created_by: UserId,
}

impl Store {
    /// Keeps it; gives when it expires, by the database's clock.
    pub async fn add_enrolment(&self, enrolment: &NewEnrolment) -> Result<Timestamp, StoreError> {
        let e = enrolment;
        let expires_ms = transaction!(self, tx => {
            let now = db_now!(self, tx);
            let expires_ms = now.saturating_add(row::duration_ms(e.ttl));
            sqlx::query(
                "INSERT INTO enrolments (hash, created_ms, expires_ms, uses_left, created_by)
                 VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(row::digest_text(&e.hash))
            .bind(now)
            .bind(expires_ms)
            .bind(i64::from(e.uses))
            .bind(e.created_by.to_string())
            .execute(&mut *tx)
            .await?;
            expires_ms
        });
        row::time(expires_ms)
    }

    /// Whether it would be taken now. It is not used up, and no write lock is taken: guesses must
    /// not keep everybody else from writing.
    pub async fn is_enrolment(&self, hash: &Digest) -> Result<bool, StoreError> {
        let expires_ms: Option<i64> = on!(self, pool => {
            sqlx::query_scalar("SELECT expires_ms FROM enrolments WHERE hash = $1 AND uses_left > 0")
                .bind(row::digest_text(hash))
                .fetch_optional(pool)
                .await
        })?;
        let Some(expires_ms) = expires_ms else { return Ok(false) };
        let now: i64 = on!(self, pool => {
            sqlx::query_scalar(self.db.clock_sql()).fetch_one(pool).await
        })?;
        Ok(now.saturating_add(self.clock_shift_ms) < expires_ms)
    }

    /// Uses it once. False: it is unknown, expired or used up.
    pub async fn use_enrolment(&self, hash: &Digest) -> Result<bool, StoreError> {
        let is_good = transaction!(self, tx => {
            let now = db_now!(self, tx);
            sqlx::query(
                "UPDATE enrolments SET uses_left = uses_left - 1
                 WHERE hash = $1 AND uses_left > 0 AND expires_ms > $2",
            )
            .bind(row::digest_text(hash))
            .bind(now)
            .execute(&mut *tx)
            .await?
            .rows_affected()
                == 1
        });
        Ok(is_good)
    }
}

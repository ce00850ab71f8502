//! Sessions of the portal: who logged in, until when.

use beamdesk_types::{SessionId, Timestamp, UserId};
use sqlx::FromRow;

use crate::{Digest, Store, StoreError, User, db::on, row};

/// One login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    pub id: SessionId,
    pub token_hash: Digest,
    pub user: UserId,
    pub created: Timestamp,
    pub last_seen: Timestamp,
    /// When it ends unless it is used before; moves with each use, never past `absolute`.
    pub expires: Timestamp,
    /// When it ends whatever happens.
    pub absolute: Timestamp,
}

impl Store {
    pub async fn add_session(&self, session: &SessionRow) -> Result<(), StoreError> {
        on!(self, pool => sqlx::query(
            "INSERT INTO sessions (id, token_hash, user_id, created_ms, last_seen_ms, expires_ms,
               absolute_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(session.id.to_string())
        .bind(row::digest_text(&session.token_hash))
        .bind(session.user.to_string())
        .bind(session.created.as_millisecond())
        .bind(session.last_seen.as_millisecond())
        .bind(session.expires.as_millisecond())
        .bind(session.absolute.as_millisecond())
        .execute(pool)
        .await
        .map(drop))?;
        Ok(())
    }

    /// The session with this token and its user, unless it was ended. Whether it has expired, or
    /// its user is disabled, is the caller's to judge.
    pub async fn session_by_hash(
        &self,
        hash: &Digest,
    ) -> Result<Option<(SessionRow, User)>, StoreError> {
        let found: Option<SessionColumns> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM sessions WHERE token_hash = $1 AND ended_ms IS NULL")
                .bind(row::digest_text(hash))
                .fetch_optional(pool)
                .await
        })?;
        let Some(found) = found else { return Ok(None) };
        let session = found.session()?;
        let user = self.user(session.user).await?;
        Ok(user.map(|user| (session, user)))
    }

    /// Notes the use of a session. One that was ended stays so.
    pub async fn touch_session(
        &self,
        id: SessionId,
        last_seen: Timestamp,
        expires: Timestamp,
    ) -> Result<(), StoreError> {
        on!(self, pool => sqlx::query(
            "UPDATE sessions SET last_seen_ms = $1, expires_ms = $2
             WHERE id = $3 AND ended_ms IS NULL AND last_seen_ms < $1",
        )
        .bind(last_seen.as_millisecond())
        .bind(expires.as_millisecond())
        .bind(id.to_string())
        .execute(pool)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Idempotent.
    pub async fn end_session(&self, id: SessionId, now: Timestamp) -> Result<(), StoreError> {
        on!(self, pool => {
            sqlx::query("UPDATE sessions SET ended_ms = $1 WHERE id = $2 AND ended_ms IS NULL")
                .bind(now.as_millisecond())
                .bind(id.to_string())
                .execute(pool)
                .await
                .map(drop)
        })?;
        Ok(())
    }

    /// Ends all of a user's; says how many there were.
    pub async fn end_sessions_of(&self, user: UserId, now: Timestamp) -> Result<u64, StoreError> {
        let ended = on!(self, pool => {
            sqlx::query("UPDATE sessions SET ended_ms = $1 WHERE user_id = $2 AND ended_ms IS NULL")
                .bind(now.as_millisecond())
                .bind(user.to_string())
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })?;
        Ok(ended)
    }
}

#[derive(FromRow)]
struct SessionColumns {
    id: String,
    token_hash: String,
    user_id: String,
    created_ms: i64,
    last_seen_ms: i64,
    expires_ms: i64,
    absolute_ms: i64,
}

impl SessionColumns {
    fn session(self) -> Result<SessionRow, StoreError> {
        Ok(SessionRow {
            id: row::parse(&self.id, "session id")?,
            token_hash: row::digest(&self.token_hash)?,
            user: row::parse(&self.user_id, "user id")?,
            created: row::time(self.created_ms)?,
            last_seen: row::time(self.last_seen_ms)?,
            expires: row::time(self.expires_ms)?,
            absolute: row::time(self.absolute_ms)?,
        })
    }
}

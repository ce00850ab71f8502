//! Removing what nobody can use any more.

use std::time::Duration;

use beamdesk_types::{CloseReason, Timestamp};

use crate::{
    Store, StoreError,
    db::{db_now, transaction},
    row,
    sample::SAMPLES_KEPT,
    stream::reason_word,
};

impl Store {
    /// Ends the streams of dead sessions, and removes tickets, streams and sessions that have been
    /// over for longer than `keep`. The audit keeps what happened.
    pub async fn sweep(&self, now: Timestamp, keep: Duration) -> Result<(), StoreError> {
        let now_ms = now.as_millisecond();
        let old_ms = now_ms.saturating_sub(row::duration_ms(keep));
        transaction!(self, tx => {
            let db_now = db_now!(self, tx);
            let db_old = db_now.saturating_sub(row::duration_ms(keep));
            sqlx::query(
                "UPDATE streams SET ended_ms = $1, end_reason = $2 WHERE ended_ms IS NULL
                   AND session_id IN
                     (SELECT id FROM sessions WHERE ended_ms IS NOT NULL OR expires_ms <= $3)",
            )
            .bind(db_now)
            .bind(reason_word(CloseReason::LoggedOut))
            .bind(now_ms)
            .execute(&mut *tx)
            .await?;
            sqlx::query("DELETE FROM tickets WHERE expires_ms < $1")
                .bind(db_old)
                .execute(&mut *tx)
                .await?;
            sqlx::query("DELETE FROM recording_tickets WHERE expires_ms < $1")
                .bind(db_old)
                .execute(&mut *tx)
                .await?;
            sqlx::query("DELETE FROM enrolments WHERE expires_ms < $1 OR uses_left <= 0")
                .bind(db_old)
                .execute(&mut *tx)
                .await?;
            // A used one tells of a thief for as long as its desktop is there.
            sqlx::query(
                "DELETE FROM agent_secrets WHERE expires_ms < $1 AND (used_ms IS NULL
                   OR desktop_id IN (SELECT id FROM desktops WHERE phase = 'deleted'))",
            )
            .bind(db_old)
            .execute(&mut *tx)
            .await?;
            sqlx::query(
                "DELETE FROM agents WHERE desktop_id IN
                   (SELECT id FROM desktops WHERE phase = 'deleted')",
            )
            .execute(&mut *tx)
            .await?;
            sqlx::query("DELETE FROM node_samples WHERE slot_ms < $1")
                .bind(now_ms.saturating_sub(row::duration_ms(SAMPLES_KEPT)))
                .execute(&mut *tx)
                .await?;
            sqlx::query("DELETE FROM streams WHERE ended_ms < $1")
                .bind(db_old)
                .execute(&mut *tx)
                .await?;
            sqlx::query(
                "DELETE FROM sessions WHERE (ended_ms < $1 OR expires_ms < $1)
                   AND NOT EXISTS (SELECT 1 FROM tickets WHERE session_id = sessions.id)
                   AND NOT EXISTS
                     (SELECT 1 FROM recording_tickets WHERE session_id = sessions.id)
                   AND NOT EXISTS (SELECT 1 FROM streams WHERE session_id = sessions.id)",
            )
            .bind(old_ms)
            .execute(&mut *tx)
            .await?;
        });
        Ok(())
    }
}

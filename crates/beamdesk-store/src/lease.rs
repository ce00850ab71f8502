//! Leases: which of a gateway's streams must end, and which are watched.

use std::{collections::HashMap, time::Duration};

use beamdesk_types::{CloseReason, GatewayName, Goal, LeaseEnd, StreamId, Timestamp};
use sqlx::FromRow;

use crate::{
    Store, StoreError,
    db::{Db, db_now, on, transaction},
    row,
    stream::{reason_of, reason_word},
};

/// A stream its gateway has not named for this long after its last resume is not watched: long
/// enough for a browser that is just about to open its socket.
const UNNAMED_MS: i64 = 60_000;

/// A list of ids given as JSON in `$2`, in each database's words.
macro_rules! listed {
    ($db:expr, $before:literal, $after:literal) => {
        match $db {
            Db::Sqlite(_) => concat!($before, "(SELECT value FROM json_each($2))", $after),
            Db::Postgres(_) => {
                concat!($before, "(SELECT json_array_elements_text(CAST($2 AS json)))", $after)
            }
        }
    };
}

impl Store {
    /// Which of these streams must end now, and why. A stream that is not this gateway's must.
    ///
    /// A stream lives while its user is enabled, its session alive at `now`, its desktop wanted
    /// running in the same generation, and nobody ended it (SR-13).
    pub async fn ended_streams(
        &self,
        gateway: &GatewayName,
        streams: &[StreamId],
        now: Timestamp,
    ) -> Result<Vec<LeaseEnd>, StoreError> {
        let sql = listed!(
            self.db,
            "SELECT st.id AS id, st.ended_ms AS ended_ms, st.end_reason AS end_reason,
               st.generation AS generation, u.disabled AS disabled,
               s.ended_ms AS session_ended_ms, s.expires_ms AS session_expires_ms,
               d.generation AS desktop_generation, d.goal AS goal
             FROM streams st JOIN users u ON u.id = st.user_id
               JOIN sessions s ON s.id = st.session_id JOIN desktops d ON d.id = st.desktop_id
             WHERE st.gateway = $1 AND st.id IN ",
            ""
        );
        let rows: Vec<Facts> = on!(self, pool => {
            sqlx::query_as(sql)
                .bind(gateway.as_str())
                .bind(row::id_list(streams))
                .fetch_all(pool)
                .await
        })?;
        let rows: HashMap<String, Facts> =
            rows.into_iter().map(|facts| (facts.id.clone(), facts)).collect();
        let mut ended = Vec::new();
        for &stream in streams {
            let reason = match rows.get(&stream.to_string()) {
                Some(facts) => judge(facts, now)?,
                None => Some(CloseReason::NotAllowed),
            };
            if let Some(reason) = reason {
                ended.push(LeaseEnd { stream, reason });
            }
        }
        Ok(ended)
    }

    /// Writes down that these streams are over for good, after [`Store::ended_streams`] said so.
    /// A gateway can end its own only.
    pub async fn end_streams(
        &self,
        gateway: &GatewayName,
        ends: &[LeaseEnd],
    ) -> Result<(), StoreError> {
        transaction!(self, tx => {
            let now = db_now!(self, tx);
            for end in ends {
                sqlx::query(
                    "UPDATE streams SET ended_ms = $1, end_reason = $2
                     WHERE id = $3 AND gateway = $4 AND ended_ms IS NULL",
                )
                .bind(now)
                .bind(reason_word(end.reason))
                .bind(end.stream.to_string())
                .bind(gateway.as_str())
                .execute(&mut *tx)
                .await?;
            }
        });
        Ok(())
    }

    /// Notes that nobody watches these now: the page was closed or reloaded. They can be resumed.
    pub async fn close_streams(
        &self,
        gateway: &GatewayName,
        streams: &[StreamId],
    ) -> Result<(), StoreError> {
        let sql = listed!(
            self.db,
            "UPDATE streams SET detached_ms = $3
             WHERE gateway = $1 AND detached_ms IS NULL AND id IN ",
            ""
        );
        transaction!(self, tx => {
            let now = db_now!(self, tx);
            sqlx::query(sql)
                .bind(gateway.as_str())
                .bind(row::id_list(streams))
                .bind(now)
                .execute(&mut *tx)
                .await?;
        });
        Ok(())
    }

    /// Notes that a gateway's watched streams are these and no others. Watching is use of the
    /// session: it moves its end to `now + idle`, never past its absolute end.
    pub async fn note_watched(
        &self,
        gateway: &GatewayName,
        streams: &[StreamId],
        now: Timestamp,
        idle: Duration,
    ) -> Result<(), StoreError> {
        let list = row::id_list(streams);
        let attach = listed!(
            self.db,
            "UPDATE streams SET detached_ms = NULL
             WHERE gateway = $1 AND ended_ms IS NULL AND detached_ms IS NOT NULL AND id IN ",
            ""
        );
        let detach = listed!(
            self.db,
            "UPDATE streams SET detached_ms = $3
             WHERE gateway = $1 AND ended_ms IS NULL AND detached_ms IS NULL AND rotated_ms < $4
               AND id NOT IN ",
            ""
        );
        let touch = listed!(
            self.db,
            "UPDATE sessions SET last_seen_ms = $3,
               expires_ms = CASE WHEN absolute_ms < $4 THEN absolute_ms ELSE $4 END
             WHERE ended_ms IS NULL AND expires_ms > $3 AND last_seen_ms < $3 AND id IN
               (SELECT session_id FROM streams
                WHERE gateway = $1 AND ended_ms IS NULL AND id IN ",
            ")"
        );
        let now_ms = now.as_millisecond();
        transaction!(self, tx => {
            let db_now = db_now!(self, tx);
            sqlx::query(attach)
                .bind(gateway.as_str())
                .bind(&list)
                .execute(&mut *tx)
                .await?;
            sqlx::query(detach)
                .bind(gateway.as_str())
                .bind(&list)
                .bind(db_now)
                .bind(db_now.saturating_sub(UNNAMED_MS))
                .execute(&mut *tx)
                .await?;
            sqlx::query(touch)
                .bind(gateway.as_str())
                .bind(&list)
                .bind(now_ms)
                .bind(now_ms.saturating_add(row::duration_ms(idle)))
                .execute(&mut *tx)
                .await?;
        });
        Ok(())
    }
}

fn judge(facts: &Facts, now: Timestamp) -> Result<Option<CloseReason>, StoreError> {
    if facts.ended_ms.is_some() {
        let word = facts.end_reason.as_deref();
        return Ok(Some(word.map_or(Ok(CloseReason::Ended), reason_of)?));
    }
    if facts.disabled {
        return Ok(Some(CloseReason::NotAllowed));
    }
    if facts.session_ended_ms.is_some() || facts.session_expires_ms <= now.as_millisecond() {
        return Ok(Some(CloseReason::LoggedOut));
    }
    if facts.generation != facts.desktop_generation || facts.goal != Goal::Running.as_str() {
        return Ok(Some(CloseReason::DesktopGone));
    }
    Ok(None)
}

#[derive(FromRow)]
struct Facts {
    id: String,
    ended_ms: Option<i64>,
    end_reason: Option<String>,
    generation: i64,
    disabled: bool,
    session_ended_ms: Option<i64>,
    session_expires_ms: i64,
    desktop_generation: i64,
    goal: String,
}

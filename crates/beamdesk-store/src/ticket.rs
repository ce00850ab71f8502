//! Issuing tickets: one use, thirty seconds by the database's clock, and only so many.

use std::time::Duration;

use beamdesk_types::{DesktopId, GatewayName, SessionId, Timestamp, UserId};
use sqlx::FromRow;

use crate::{
    Digest, Store, StoreError,
    audit::add_event,
    db::{db_now, transaction},
    row,
};

/// Over which issued tickets are counted.
const ISSUE_WINDOW_MS: i64 = 60_000;

/// A ticket to be issued.
#[derive(Debug, Clone)]
pub struct TicketRow {
    pub hash: Digest,
    pub user: UserId,
    pub session: SessionId,
    pub desktop: DesktopId,
    pub generation: u32,
    pub gateway: GatewayName,
    pub bind_hash: Digest,
    pub ttl: Duration,
}

/// How many tickets there may be (SR-11).
#[derive(Debug, Clone, Copy)]
pub struct TicketLimits {
    pub live_per_desktop_max: u32,
    pub per_user_minute_max: u32,
}

/// What became of a request for a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewTicket {
    /// Issued; expires then, by the database's clock.
    Issued {
        expires: Timestamp,
    },
    TooMany {
        retry_after: Duration,
    },
}

impl Store {
    /// Issues a ticket within the limits. [`StoreError::Foreign`] when the desktop or the session is
    /// not the user's.
    pub async fn add_ticket(
        &self,
        ticket: &TicketRow,
        limits: TicketLimits,
    ) -> Result<NewTicket, StoreError> {
        let t = ticket;
        let user = t.user.to_string();
        let desktop = t.desktop.to_string();
        let expires_ms = transaction!(self, tx => {
            // Locks the user, and with it the user's desktops, so that two requests count one
            // after the other.
            sqlx::query("UPDATE users SET name = name WHERE id = $1")
                .bind(&user)
                .execute(&mut *tx)
                .await?;
            let now = db_now!(self, tx);
            let live: Tickets = sqlx::query_as(
                "SELECT COUNT(*) AS count, MIN(expires_ms) AS first_ms FROM tickets
                 WHERE desktop_id = $1 AND user_id = $2 AND used_ms IS NULL AND expires_ms > $3",
            )
            .bind(&desktop)
            .bind(&user)
            .bind(now)
            .fetch_one(&mut *tx)
            .await?;
            if live.count >= i64::from(limits.live_per_desktop_max) {
                return Ok(too_many(live.first_ms, now));
            }
            let issued: Tickets = sqlx::query_as(
                "SELECT COUNT(*) AS count, MIN(issued_ms) AS first_ms FROM tickets
                 WHERE user_id = $1 AND issued_ms > $2",
            )
            .bind(&user)
            .bind(now.saturating_sub(ISSUE_WINDOW_MS))
            .fetch_one(&mut *tx)
            .await?;
            if issued.count >= i64::from(limits.per_user_minute_max) {
                return Ok(too_many(issued.first_ms.map(|ms| ms + ISSUE_WINDOW_MS), now));
            }
            let expires_ms = now.saturating_add(row::duration_ms(t.ttl));
            sqlx::query(
                "INSERT INTO tickets (hash, user_id, session_id, desktop_id, generation, gateway,
                   bind_hash, issued_ms, expires_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(row::digest_text(&t.hash))
            .bind(&user)
            .bind(t.session.to_string())
            .bind(&desktop)
            .bind(i64::from(t.generation))
            .bind(t.gateway.as_str())
            .bind(row::digest_text(&t.bind_hash))
            .bind(now)
            .bind(expires_ms)
            .execute(&mut *tx)
            .await?;
            let user_name: String = sqlx::query_scalar("SELECT name FROM users WHERE id = $1")
                .bind(&user)
                .fetch_one(&mut *tx)
                .await?;
            let subject = format!("desktop:{}", t.desktop);
            let detail = format!("for gateway {}", t.gateway);
            add_event!(&mut *tx, now, user_name, "ticket_issued", subject, detail);
            expires_ms
        });
        Ok(NewTicket::Issued { expires: row::time(expires_ms)? })
    }
}

fn too_many(first_free_ms: Option<i64>, now: i64) -> NewTicket {
    let wait_ms = first_free_ms.unwrap_or(now).saturating_sub(now).max(0);
    NewTicket::TooMany { retry_after: Duration::from_millis(wait_ms.unsigned_abs()) }
}

#[derive(FromRow)]
struct Tickets {
    count: i64,
    first_ms: Option<i64>,
}

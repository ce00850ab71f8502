//! Tickets for recordings: one use, for one session, one gateway and one browser.

use std::time::Duration;

use beamdesk_types::{
    GatewayName, PlayCheck, RecordingId, RecordingUse, Role, SessionId, Timestamp, UserId,
};
use sqlx::FromRow;

use crate::{
    Digest, NewTicket, RefusedReason, Store, StoreError,
    audit::add_event,
    db::{db_now, on, transaction},
    row,
};

/// Over which issued tickets are counted.
const ISSUE_WINDOW_MS: i64 = 60_000;

/// A ticket for a recording, to be issued.
#[derive(Debug, Clone)]
pub struct PlayTicket {
    pub hash: Digest,
    pub user: UserId,
    pub session: SessionId,
    pub recording: RecordingId,
    pub purpose: RecordingUse,
    pub gateway: GatewayName,
    pub bind_hash: Digest,
    pub ttl: Duration,
}

/// What a good ticket for a recording opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Play {
    pub recording: RecordingId,
    pub session: SessionId,
    pub purpose: RecordingUse,
    pub desktop_name: String,
}

impl Store {
    /// Issues a ticket, so many a minute for one user.
    pub async fn add_play_ticket(
        &self,
        ticket: &PlayTicket,
        per_user_minute_max: u32,
    ) -> Result<NewTicket, StoreError> {
        let user = ticket.user.to_string();
        let expires_ms = transaction!(self, tx => {
            // Locks the user, so that two requests count one after the other.
            sqlx::query("UPDATE users SET name = name WHERE id = $1")
                .bind(&user)
                .execute(&mut *tx)
                .await?;
            let now = db_now!(self, tx);
            let issued: Issued = sqlx::query_as(
                "SELECT COUNT(*) AS count, MIN(issued_ms) AS first_ms FROM recording_tickets
                 WHERE user_id = $1 AND issued_ms > $2",
            )
            .bind(&user)
            .bind(now.saturating_sub(ISSUE_WINDOW_MS))
            .fetch_one(&mut *tx)
            .await?;
            if issued.count >= i64::from(per_user_minute_max) {
                let free = issued.first_ms.unwrap_or(now).saturating_add(ISSUE_WINDOW_MS);
                let wait = free.saturating_sub(now).max(0).unsigned_abs();
                return Ok(NewTicket::TooMany { retry_after: Duration::from_millis(wait) });
            }
            let expires_ms = now.saturating_add(row::duration_ms(ticket.ttl));
            sqlx::query(
                "INSERT INTO recording_tickets (hash, user_id, session_id, recording_id, purpose,
                   gateway, bind_hash, issued_ms, expires_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(row::digest_text(&ticket.hash))
            .bind(&user)
            .bind(ticket.session.to_string())
            .bind(ticket.recording.to_string())
            .bind(ticket.purpose.as_str())
            .bind(ticket.gateway.as_str())
            .bind(row::digest_text(&ticket.bind_hash))
            .bind(now)
            .bind(expires_ms)
            .execute(&mut *tx)
            .await?;
            expires_ms
        });
        Ok(NewTicket::Issued { expires: row::time(expires_ms)? })
    }

    /// Burns the ticket, then judges it: its place, its holder, and whether the holder still may.
    pub async fn redeem_play_ticket(
        &self,
        hash: &Digest,
        gateway: &GatewayName,
        bind_hash: &Digest,
    ) -> Result<Result<Play, RefusedReason>, StoreError> {
        let (hash, bind) = (row::digest_text(hash), row::digest_text(bind_hash));
        let verdict = transaction!(self, tx => {
            let now = db_now!(self, tx);
            let burned: Option<Burned> = sqlx::query_as(
                "UPDATE recording_tickets SET used_ms = $1
                 WHERE hash = $2 AND used_ms IS NULL AND expires_ms > $1
                 RETURNING session_id, recording_id, purpose, gateway, bind_hash",
            )
            .bind(now)
            .bind(&hash)
            .fetch_optional(&mut *tx)
            .await?;
            let Some(ticket) = burned else {
                let used: Option<bool> = sqlx::query_scalar(
                    "SELECT used_ms IS NOT NULL FROM recording_tickets WHERE hash = $1",
                )
                .bind(&hash)
                .fetch_optional(&mut *tx)
                .await?;
                return Ok(Err(match used {
                    None => RefusedReason::Unknown,
                    Some(true) => RefusedReason::AlreadyUsed,
                    Some(false) => RefusedReason::Expired,
                }));
            };
            let facts: Option<Facts> = sqlx::query_as(FACTS)
                .bind(&ticket.session_id)
                .bind(&ticket.recording_id)
                .fetch_optional(&mut *tx)
                .await?;
            let judged = if ticket.gateway != gateway.as_str() {
                Err(RefusedReason::OtherGateway)
            } else if ticket.bind_hash != bind {
                Err(RefusedReason::OtherBrowser)
            } else {
                judge(facts.as_ref(), None)
            };
            let who = facts.as_ref().map_or("system", |facts| facts.user_name.as_str());
            let subject = format!("recording:{}", ticket.recording_id);
            match (judged, facts.as_ref()) {
                (Ok(()), Some(facts)) => {
                    let purpose = RecordingUse::parse(&ticket.purpose)
                        .ok_or(StoreError::Corrupt { what: "use of a recording" })?;
                    let word = match purpose {
                        RecordingUse::Play => "recording_played",
                        RecordingUse::Download => "recording_downloaded",
                    };
                    let detail = format!("desktop {}", facts.desktop_name);
                    add_event!(&mut *tx, now, who, word, subject, detail);
                    Ok(Play {
                        recording: row::parse(&ticket.recording_id, "recording id")?,
                        session: row::parse(&ticket.session_id, "session id")?,
                        purpose,
                        desktop_name: facts.desktop_name.clone(),
                    })
                }
                (refused, _) => {
                    let reason = refused.err().unwrap_or(RefusedReason::Unknown);
                    let detail = format!("{} at gateway {gateway}", reason.as_str());
                    add_event!(&mut *tx, now, who, "recording_refused", subject, detail);
                    Err(reason)
                }
            }
        });
        Ok(verdict)
    }

    /// Whether a play may go on: its session lives at `now`, its user may, the recording is there.
    pub async fn may_play(&self, play: &PlayCheck, now: Timestamp) -> Result<bool, StoreError> {
        let facts: Option<Facts> = on!(self, pool => {
            sqlx::query_as(FACTS)
                .bind(play.session.to_string())
                .bind(play.recording.to_string())
                .fetch_optional(pool)
                .await
        })?;
        Ok(judge(facts.as_ref(), Some(now)).is_ok())
    }
}

const FACTS: &str = "SELECT u.name AS user_name, u.role AS role, u.disabled AS disabled,
       s.ended_ms IS NOT NULL AS session_ended, s.expires_ms AS session_expires_ms,
       r.user_id = s.user_id AS owns, r.desktop_name AS desktop_name
     FROM sessions s JOIN users u ON u.id = s.user_id, recordings r
     WHERE s.id = $1 AND r.id = $2 AND r.removed_ms IS NULL";

/// Nothing found: the recording, or the session, is gone.
fn judge(facts: Option<&Facts>, now: Option<Timestamp>) -> Result<(), RefusedReason> {
    let facts = facts.ok_or(RefusedReason::Unknown)?;
    if facts.disabled {
        return Err(RefusedReason::UserDisabled);
    }
    let is_over = now.is_some_and(|now| facts.session_expires_ms <= now.as_millisecond());
    if facts.session_ended || is_over {
        return Err(RefusedReason::SessionEnded);
    }
    let is_administrator = Role::parse(&facts.role) == Some(Role::Administrator);
    if facts.owns || is_administrator { Ok(()) } else { Err(RefusedReason::Unknown) }
}

#[derive(FromRow)]
struct Issued {
    count: i64,
    first_ms: Option<i64>,
}

#[derive(FromRow)]
struct Burned {
    session_id: String,
    recording_id: String,
    purpose: String,
    gateway: String,
    bind_hash: String,
}

#[derive(FromRow)]
struct Facts {
    user_name: String,
    role: String,
    disabled: bool,
    session_ended: bool,
    session_expires_ms: i64,
    owns: bool,
    desktop_name: String,
}

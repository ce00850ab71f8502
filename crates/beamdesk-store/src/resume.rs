//! Resume handles: each moves its stream to the next one, and a copy ends it.

use std::time::Duration;

use beamdesk_types::{CloseReason, Desktop, GatewayName, StreamId, Timestamp, UserId};

use crate::{
    Digest, RefusedReason, Store, StoreError,
    audit::add_event,
    db::{db_now, transaction},
    desktop::DesktopRow,
    redeem::{Holder, is_at_home, judge_desktop},
    row,
    stream::{StreamColumns, reason_word},
};

/// Over which resumes are counted.
const RESUME_WINDOW_MS: i64 = 60_000;

/// A presented resume handle whose signature was good.
#[derive(Debug, Clone)]
pub struct Rotation<'a> {
    pub stream: StreamId,
    pub counter: u64,
    pub gateway: &'a GatewayName,
    /// Gateways of which any may go on with a stream of another: those behind one address.
    pub peers: &'a [GatewayName],
    pub bind_hash: Digest,
    /// For the life of the session.
    pub now: Timestamp,
    /// How long the last handle may be shown again, for the case that the answer was lost.
    pub again: Duration,
    /// How many resumes a minute one stream may make.
    pub per_minute_max: u32,
}

/// A resumed stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resumed {
    pub stream: StreamId,
    /// Counter of the next handle.
    pub counter: u64,
    pub user: UserId,
    pub user_name: String,
    pub desktop: Desktop,
}

impl Store {
    /// Judges a resume handle and moves the stream to the next one, in one transaction.
    ///
    /// At a peer of its gateway the stream is that one's from then on, and the other's no more.
    ///
    /// A replayed handle, or one from another browser or gateway, ends the stream for good: there
    /// are two holders of it, and we cannot tell which is the right one.
    pub async fn rotate_stream(
        &self,
        rotation: &Rotation<'_>,
    ) -> Result<Result<Resumed, RefusedReason>, StoreError> {
        let id = rotation.stream.to_string();
        let verdict = transaction!(self, tx => {
            // An update that changes nothing locks the row in PostgreSQL too.
            let stream: Option<StreamColumns> =
                sqlx::query_as("UPDATE streams SET counter = counter WHERE id = $1 RETURNING *")
                    .bind(&id)
                    .fetch_optional(&mut *tx)
                    .await?;
            let Some(stream) = stream else { return Ok(Err(RefusedReason::Unknown)) };
            let now = db_now!(self, tx);
            let desktop: DesktopRow = sqlx::query_as("SELECT * FROM desktops WHERE id = $1")
                .bind(&stream.desktop_id)
                .fetch_one(&mut *tx)
                .await?;
            let desktop = desktop.desktop()?;
            let holder: Holder = sqlx::query_as(
                "SELECT u.name AS user_name, u.disabled AS disabled,
                   s.ended_ms IS NOT NULL AS session_ended, s.expires_ms AS session_expires_ms
                 FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1",
            )
            .bind(&stream.session_id)
            .fetch_one(&mut *tx)
            .await?;
            match judge(&stream, rotation, &holder, &desktop, now) {
                Verdict::Resume { counter, rotated_ms, window_ms, window_count } => {
                    sqlx::query(
                        "UPDATE streams SET counter = $1, rotated_ms = $2, window_ms = $3,
                           window_count = $4, detached_ms = NULL, gateway = $5
                         WHERE id = $6",
                    )
                    .bind(counter)
                    .bind(rotated_ms)
                    .bind(window_ms)
                    .bind(window_count)
                    .bind(rotation.gateway.as_str())
                    .bind(&id)
                    .execute(&mut *tx)
                    .await?;
                    Ok(Resumed {
                        stream: rotation.stream,
                        counter: row::number(counter, "counter")?,
                        user: row::parse(&stream.user_id, "user id")?,
                        user_name: holder.user_name,
                        desktop,
                    })
                }
                Verdict::Refuse(reason) => Err(reason),
                Verdict::Kill(reason) => {
                    sqlx::query("UPDATE streams SET ended_ms = $1, end_reason = $2 WHERE id = $3")
                        .bind(now)
                        .bind(reason_word(CloseReason::NotAllowed))
                        .bind(&id)
                        .execute(&mut *tx)
                        .await?;
                    let subject = format!("desktop:{}", stream.desktop_id);
                    let gateway = rotation.gateway;
                    let detail = format!("{} at gateway {gateway}, stream {id}", reason.as_str());
                    add_event!(
                        &mut *tx, now, &holder.user_name, "stream_killed", subject, detail
                    );
                    Err(reason)
                }
            }
        });
        Ok(verdict)
    }
}

/// What becomes of a presented handle.
enum Verdict {
    Resume {
        counter: i64,
        rotated_ms: i64,
        window_ms: i64,
        window_count: i64,
    },
    /// Not now, but the stream is none the worse for it.
    Refuse(RefusedReason),
    /// The stream is over for good.
    Kill(RefusedReason),
}

fn judge(
    stream: &StreamColumns,
    rotation: &Rotation<'_>,
    holder: &Holder,
    desktop: &Desktop,
    now: i64,
) -> Verdict {
    if stream.ended_ms.is_some() {
        return Verdict::Refuse(RefusedReason::StreamEnded);
    }
    if !is_at_home(&stream.gateway, rotation.gateway, rotation.peers) {
        return Verdict::Kill(RefusedReason::OtherGateway);
    }
    if stream.bind_hash != row::digest_text(&rotation.bind_hash) {
        return Verdict::Kill(RefusedReason::OtherBrowser);
    }
    let presented = row::column(rotation.counter);
    let is_newest = presented == stream.counter;
    let is_answer_lost = presented.checked_add(1) == Some(stream.counter)
        && now.saturating_sub(stream.rotated_ms) <= row::duration_ms(rotation.again);
    if !is_newest && !is_answer_lost {
        return Verdict::Kill(RefusedReason::Replayed);
    }
    let is_new_window = now.saturating_sub(stream.window_ms) >= RESUME_WINDOW_MS;
    let (window_ms, window_count) =
        if is_new_window { (now, 0) } else { (stream.window_ms, stream.window_count) };
    if window_count >= i64::from(rotation.per_minute_max) {
        return Verdict::Refuse(RefusedReason::TooMany);
    }
    if holder.session_ended || holder.session_expires_ms <= rotation.now.as_millisecond() {
        let reason =
            if holder.disabled { RefusedReason::UserDisabled } else { RefusedReason::SessionEnded };
        return Verdict::Refuse(reason);
    }
    if let Err(reason) = judge_desktop(holder, desktop, stream.generation) {
        return Verdict::Refuse(reason);
    }
    let (counter, rotated_ms) = if is_newest {
        (stream.counter.saturating_add(1), now)
    } else {
        // The same successor, and no more time for it than the first time.
        (stream.counter, stream.rotated_ms)
    };
    Verdict::Resume { counter, rotated_ms, window_ms, window_count: window_count + 1 }
}

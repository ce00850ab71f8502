//! Recordings: rows begin with the gateway's word, and end when its file is gone.

use std::{collections::HashSet, time::Duration};

use beamdesk_types::{
    DesktopId, GatewayName, RecordingEnd, RecordingId, RecordingPolicy, RecordingSync, StreamId,
    Timestamp, UserId,
};
use sqlx::FromRow;

use crate::{
    Store, StoreError,
    audit::add_event,
    db::{db_now, on, transaction},
    row,
};

/// Name of the setting that holds the policy.
const POLICY_KEY: &str = "recording_policy";
/// A gateway that says which files it has may have begun one since it looked.
const FRESH_MS: i64 = 60_000;

/// One recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingRow {
    pub id: RecordingId,
    pub user: UserId,
    pub desktop: DesktopId,
    pub desktop_name: String,
    pub gateway: GatewayName,
    /// Made because the policy says so.
    pub required: bool,
    pub started: Timestamp,
    pub bytes: u64,
    pub duration: Duration,
    /// `None` while it goes on.
    pub end: Option<RecordingEnd>,
}

/// What a gateway must do after it said how its recordings are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordingOrders {
    pub end: Vec<RecordingId>,
    pub remove: Vec<RecordingId>,
}

impl Store {
    /// `Off` until an administrator says otherwise.
    pub async fn recording_policy(&self) -> Result<RecordingPolicy, StoreError> {
        match self.setting(POLICY_KEY).await? {
            None => Ok(RecordingPolicy::Off),
            Some(word) => policy_of(&word),
        }
    }

    pub async fn put_recording_policy(&self, policy: RecordingPolicy) -> Result<(), StoreError> {
        self.put_setting(POLICY_KEY, policy.as_str()).await
    }

    /// Notes that a gateway begins to record one of its live streams. `None`: it must not.
    pub async fn begin_recording(
        &self,
        gateway: &GatewayName,
        stream: StreamId,
        recording: RecordingId,
    ) -> Result<Option<Timestamp>, StoreError> {
        let started = transaction!(self, tx => {
            let now = db_now!(self, tx);
            let policy: Option<String> =
                sqlx::query_scalar("SELECT value FROM settings WHERE key = $1")
                    .bind(POLICY_KEY)
                    .fetch_optional(&mut *tx)
                    .await?;
            let policy = policy.map_or(Ok(RecordingPolicy::Off), |word| policy_of(&word))?;
            let streamed: Option<Streamed> = sqlx::query_as(
                "SELECT st.user_id AS user_id, st.desktop_id AS desktop_id,
                   u.name AS user_name, d.name AS desktop_name
                 FROM streams st JOIN users u ON u.id = st.user_id
                   JOIN desktops d ON d.id = st.desktop_id
                 WHERE st.id = $1 AND st.gateway = $2 AND st.ended_ms IS NULL",
            )
            .bind(stream.to_string())
            .bind(gateway.as_str())
            .fetch_optional(&mut *tx)
            .await?;
            let (Some(streamed), true) = (streamed, policy != RecordingPolicy::Off) else {
                return Ok(None);
            };
            sqlx::query(
                "INSERT INTO recordings (id, user_id, desktop_id, desktop_name, gateway, required,
                   started_ms, bytes, duration_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0)",
            )
            .bind(recording.to_string())
            .bind(&streamed.user_id)
            .bind(&streamed.desktop_id)
            .bind(&streamed.desktop_name)
            .bind(gateway.as_str())
            .bind(policy == RecordingPolicy::Always)
            .bind(now)
            .execute(&mut *tx)
            .await?;
            let subject = format!("recording:{recording}");
            let detail = format!(
                "desktop {} ({}), policy {}",
                streamed.desktop_name, streamed.desktop_id, policy.as_str()
            );
            add_event!(&mut *tx, now, &streamed.user_name, "recording_started", subject, detail);
            now
        });
        row::time(started).map(Some)
    }

    /// Writes down how a gateway's recordings are; says what it must end and remove.
    ///
    /// A gateway speaks for its own only. What it has and the portal does not know is removed.
    pub async fn sync_recordings(
        &self,
        gateway: &GatewayName,
        sync: &RecordingSync,
    ) -> Result<RecordingOrders, StoreError> {
        let orders = transaction!(self, tx => {
            let now = db_now!(self, tx);
            let known: Vec<Known> = sqlx::query_as(
                "SELECT r.id AS id, r.end_reason IS NOT NULL AS ended,
                   r.removed_ms IS NOT NULL AS removed, r.started_ms AS started_ms,
                   u.name AS user_name, r.desktop_name AS desktop_name
                 FROM recordings r JOIN users u ON u.id = r.user_id WHERE r.gateway = $1",
            )
            .bind(gateway.as_str())
            .fetch_all(&mut *tx)
            .await?;
            let find = |id: RecordingId| known.iter().find(|row| row.id == id.to_string());
            for state in &sync.states {
                let Some(row) = find(state.recording).filter(|row| !row.ended) else { continue };
                sqlx::query(
                    "UPDATE recordings SET bytes = $1, duration_ms = $2, end_reason = $3
                     WHERE id = $4",
                )
                .bind(row::column(state.bytes))
                .bind(row::column(state.duration_ms))
                .bind(state.end.map(RecordingEnd::as_str))
                .bind(&row.id)
                .execute(&mut *tx)
                .await?;
                if let Some(end) = state.end {
                    let subject = format!("recording:{}", row.id);
                    let detail = format!(
                        "{}, desktop {}, {} bytes, {} ms",
                        end.as_str(), row.desktop_name, state.bytes, state.duration_ms
                    );
                    add_event!(&mut *tx, now, &row.user_name, "recording_ended", subject, detail);
                }
            }
            let mut gone: Vec<(&Known, &str)> = sync
                .removed
                .iter()
                .filter_map(|&id| find(id).map(|row| (row, "recording_expired")))
                .collect();
            if let Some(held) = &sync.held {
                let held: HashSet<String> = held.iter().map(ToString::to_string).collect();
                let lost = known.iter().filter(|row| {
                    !held.contains(&row.id) && row.started_ms < now.saturating_sub(FRESH_MS)
                });
                gone.extend(lost.map(|row| (row, "recording_lost")));
            }
            for (row, word) in gone {
                sqlx::query("DELETE FROM recordings WHERE id = $1")
                    .bind(&row.id)
                    .execute(&mut *tx)
                    .await?;
                // A removal was noted when a person asked for it.
                if !row.removed {
                    let subject = format!("recording:{}", row.id);
                    let detail = format!("desktop {}", row.desktop_name);
                    add_event!(&mut *tx, now, "system", word, subject, detail);
                }
            }
            let policy: Option<String> =
                sqlx::query_scalar("SELECT value FROM settings WHERE key = $1")
                    .bind(POLICY_KEY)
                    .fetch_optional(&mut *tx)
                    .await?;
            let policy = policy.map_or(Ok(RecordingPolicy::Off), |word| policy_of(&word))?;
            orders(sync, &known, policy)?
        });
        Ok(orders)
    }

    /// Newest first: one person's, or everybody's. Those to be removed are not shown.
    pub async fn recordings(
        &self,
        of: Option<UserId>,
        before: Option<RecordingId>,
        limit: u32,
    ) -> Result<Vec<RecordingRow>, StoreError> {
        // Every id begins with a hexadecimal digit, and `g` comes after those.
        let rows: Vec<Columns> = on!(self, pool => sqlx::query_as(
            "SELECT * FROM recordings
             WHERE removed_ms IS NULL AND ($1 = '' OR user_id = $1) AND id < $2
             ORDER BY id DESC LIMIT $3",
        )
        .bind(of.map_or_else(String::new, |user| user.to_string()))
        .bind(before.map_or_else(|| "g".to_owned(), |id| id.to_string()))
        .bind(row::rows_max(limit))
        .fetch_all(pool)
        .await)?;
        rows.into_iter().map(Columns::recording).collect()
    }

    pub async fn recording(&self, id: RecordingId) -> Result<Option<RecordingRow>, StoreError> {
        let row: Option<Columns> = on!(self, pool => sqlx::query_as(
            "SELECT * FROM recordings WHERE id = $1 AND removed_ms IS NULL",
        )
        .bind(id.to_string())
        .fetch_optional(pool)
        .await)?;
        row.map(Columns::recording).transpose()
    }

    /// Wants it gone: nobody sees it any more, and its gateway removes the file. False: it was.
    pub async fn remove_recording(&self, id: RecordingId) -> Result<bool, StoreError> {
        let removed = transaction!(self, tx => {
            let now = db_now!(self, tx);
            sqlx::query("UPDATE recordings SET removed_ms = $1 WHERE id = $2 AND removed_ms IS NULL")
                .bind(now)
                .bind(id.to_string())
                .execute(&mut *tx)
                .await?
                .rows_affected()
        });
        Ok(removed == 1)
    }
}

fn orders(
    sync: &RecordingSync,
    known: &[Known],
    policy: RecordingPolicy,
) -> Result<RecordingOrders, StoreError> {
    let parse = |row: &Known| row::parse::<RecordingId>(&row.id, "recording id");
    let gone: HashSet<RecordingId> = sync.removed.iter().copied().collect();
    let mut orders = RecordingOrders::default();
    let mut ids = HashSet::new();
    for row in known {
        let id = parse(row)?;
        ids.insert(id);
        if row.removed && !gone.contains(&id) {
            orders.remove.push(id);
        } else if !row.ended && policy == RecordingPolicy::Off {
            orders.end.push(id);
        }
    }
    let said = sync.states.iter().map(|state| state.recording);
    let said: HashSet<RecordingId> = said.chain(sync.held.iter().flatten().copied()).collect();
    orders.remove.extend(said.difference(&ids));
    Ok(orders)
}

fn policy_of(word: &str) -> Result<RecordingPolicy, StoreError> {
    RecordingPolicy::parse(word).ok_or(StoreError::Corrupt { what: "recording policy" })
}

#[derive(FromRow)]
struct Streamed {
    user_id: String,
    desktop_id: String,
    user_name: String,
    desktop_name: String,
}

#[derive(FromRow)]
struct Known {
    id: String,
    ended: bool,
    removed: bool,
    started_ms: i64,
    user_name: String,
    desktop_name: String,
}

#[derive(FromRow)]
struct Columns {
    id: String,
    user_id: String,
    desktop_id: String,
    desktop_name: String,
    gateway: String,
    required: bool,
    started_ms: i64,
    bytes: i64,
    duration_ms: i64,
    end_reason: Option<String>,
}

impl Columns {
    fn recording(self) -> Result<RecordingRow, StoreError> {
        let corrupt = StoreError::Corrupt { what: "recording's end" };
        let end = match self.end_reason {
            None => None,
            Some(word) => Some(RecordingEnd::parse(&word).ok_or(corrupt)?),
        };
        Ok(RecordingRow {
            id: row::parse(&self.id, "recording id")?,
            user: row::parse(&self.user_id, "user id")?,
            desktop: row::parse(&self.desktop_id, "desktop id")?,
            desktop_name: self.desktop_name,
            gateway: row::parse(&self.gateway, "gateway name")?,
            required: self.required,
            started: row::time(self.started_ms)?,
            bytes: row::number(self.bytes, "number of bytes")?,
            duration: Duration::from_millis(row::number(self.duration_ms, "duration")?),
            end,
        })
    }
}

//! What happened to whom: rows are added and never changed.

use beamdesk_types::Timestamp;
use sqlx::FromRow;

use crate::{Store, StoreError, db::on, row};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    pub at: Timestamp,
    /// Name of the user or gateway, or `system`.
    pub actor: String,
    /// Stable word, like `login` or `ticket_refused`.
    pub action: String,
    /// What it was done to, like `desktop:0190…`.
    pub subject: String,
    /// For people; never a secret.
    pub detail: String,
}

/// An event as the list gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Sorted by time; give it as `before` to page on.
    pub id: String,
    pub event: AuditEvent,
}

/// Sorted by time.
pub(crate) fn entry_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Adds an event through a pool or a transaction.
macro_rules! add_event {
    ($executor:expr, $at_ms:expr, $actor:expr, $action:expr, $subject:expr, $detail:expr) => {
        sqlx::query(
            "INSERT INTO audit (id, at_ms, actor, action, subject, detail)
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind($crate::audit::entry_id())
        .bind($at_ms)
        .bind($actor)
        .bind($action)
        .bind($subject)
        .bind($detail)
        .execute($executor)
        .await?
    };
}
pub(crate) use add_event;

impl Store {
    /// Adds an event.
    pub async fn audit(&self, event: &AuditEvent) -> Result<(), StoreError> {
        on!(self, pool => {
            add_event!(
                pool,
                event.at.as_millisecond(),
                &event.actor,
                &event.action,
                &event.subject,
                &event.detail
            );
        });
        Ok(())
    }

    /// Newest first.
    pub async fn audit_events(
        &self,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        // Every id begins with a hexadecimal digit, and `g` comes after those.
        let rows: Vec<AuditRow> = on!(self, pool => sqlx::query_as(
            "SELECT * FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(before.unwrap_or("g"))
        .bind(row::rows_max(limit))
        .fetch_all(pool)
        .await)?;
        rows.into_iter().map(AuditRow::entry).collect()
    }
}

#[derive(FromRow)]
struct AuditRow {
    id: String,
    at_ms: i64,
    actor: String,
    action: String,
    subject: String,
    detail: String,
}

impl AuditRow {
    fn entry(self) -> Result<AuditEntry, StoreError> {
        let Self { id, at_ms, actor, action, subject, detail } = self;
        let event = AuditEvent { at: row::time(at_ms)?, actor, action, subject, detail };
        Ok(AuditEntry { id, event })
    }
}

//! Desktops: read by all, written by compare-and-swap on their revision.

use beamdesk_types::{Desktop, DesktopId, Failure, FailureCode, Goal, Phase, UserId};
use sqlx::FromRow;

use crate::{
    Store, StoreError,
    db::{on, transaction},
    gpu, row,
};

impl Store {
    /// Adds a desktop unless its owner has `quota_max` already ([`StoreError::QuotaReached`]);
    /// counted and inserted in one transaction. [`StoreError::Foreign`] when there is no such owner.
    pub async fn add_desktop(&self, desktop: &Desktop, quota_max: u32) -> Result<(), StoreError> {
        let d = desktop;
        let owner = d.owner.to_string();
        transaction!(self, tx => {
            // Locks the owner, so that two additions count one after the other, and the size, so
            // that it is not removed meanwhile.
            sqlx::query("UPDATE users SET name = name WHERE id = $1")
                .bind(&owner)
                .execute(&mut *tx)
                .await?;
            sqlx::query("UPDATE sizes SET name = name WHERE id = $1")
                .bind(d.size.as_str())
                .execute(&mut *tx)
                .await?;
            let count: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM desktops WHERE owner_id = $1 AND phase <> 'deleted'",
            )
            .bind(&owner)
            .fetch_one(&mut *tx)
            .await?;
            if count >= i64::from(quota_max) {
                return Err(StoreError::QuotaReached { max: quota_max });
            }
            sqlx::query(
                "INSERT INTO desktops (id, owner_id, name, image_id, size_id, goal, phase,
                   generation, revision, attempts, phase_since_ms, node, address, failure_code,
                   failure_detail, restart, created_ms, gpu, station, queued_ms, ends_ms)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
                   $17, $18, $19, $20, $21)",
            )
            .bind(d.id.to_string())
            .bind(&owner)
            .bind(&d.name)
            .bind(d.image.as_str())
            .bind(d.size.as_str())
            .bind(d.goal.as_str())
            .bind(d.phase.as_str())
            .bind(i64::from(d.generation))
            .bind(d.revision)
            .bind(i64::from(d.attempts))
            .bind(d.phase_since.as_millisecond())
            .bind(d.node.as_ref().map(|node| node.as_str()))
            .bind(d.address.as_deref())
            .bind(d.failure.as_ref().map(|failure| failure.code.as_str()))
            .bind(d.failure.as_ref().map(|failure| failure.detail.as_str()))
            .bind(d.restart)
            .bind(d.created.as_millisecond())
            .bind(gpu::text(&d.gpu)?)
            .bind(d.station.as_ref().map(|station| station.as_str()))
            .bind(d.queued.as_millisecond())
            .bind(d.ends.map(|ends| ends.as_millisecond()))
            .execute(&mut *tx)
            .await?;
        });
        Ok(())
    }

    /// Also finds a deleted one.
    pub async fn desktop(&self, id: DesktopId) -> Result<Option<Desktop>, StoreError> {
        let row: Option<DesktopRow> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM desktops WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(pool)
                .await
        })?;
        row.map(DesktopRow::desktop).transpose()
    }

    /// What a person has, oldest first, without the deleted ones.
    pub async fn desktops_of(
        &self,
        owner: UserId,
        after: Option<DesktopId>,
        limit: u32,
    ) -> Result<Vec<Desktop>, StoreError> {
        let rows = on!(self, pool => sqlx::query_as(
            "SELECT * FROM desktops WHERE owner_id = $1 AND phase <> 'deleted' AND id > $2
             ORDER BY id LIMIT $3",
        )
        .bind(owner.to_string())
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(row::rows_max(limit))
        .fetch_all(pool)
        .await)?;
        desktops(rows)
    }

    /// Everybody's, oldest first, without the deleted ones.
    pub async fn desktops(
        &self,
        after: Option<DesktopId>,
        limit: u32,
    ) -> Result<Vec<Desktop>, StoreError> {
        let rows = on!(self, pool => sqlx::query_as(
            "SELECT * FROM desktops WHERE phase <> 'deleted' AND id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(row::rows_max(limit))
        .fetch_all(pool)
        .await)?;
        desktops(rows)
    }

    /// All that are not deleted yet, for the reconciler: without a limit, since it must see all.
    pub async fn open_desktops(&self) -> Result<Vec<Desktop>, StoreError> {
        let rows = on!(self, pool => {
            sqlx::query_as("SELECT * FROM desktops WHERE phase <> 'deleted' ORDER BY id")
                .fetch_all(pool)
                .await
        })?;
        desktops(rows)
    }

    /// Writes the row if its revision is still `desktop.revision`, and raises that by one.
    /// False: somebody else wrote first; read again.
    /// [`StoreError::NotLeader`] on a fenced handle when another portal leads since.
    pub async fn save_desktop(&self, desktop: &Desktop) -> Result<bool, StoreError> {
        let d = desktop;
        let gpu = gpu::text(&d.gpu)?;
        let written = on!(self, pool => sqlx::query(
            "UPDATE desktops SET name = $1, image_id = $2, size_id = $3, goal = $4, phase = $5,
               generation = $6, attempts = $7, phase_since_ms = $8, node = $9, address = $10,
               failure_code = $11, failure_detail = $12, restart = $13, gpu = $14, station = $15,
               queued_ms = $16, ends_ms = $17, revision = revision + 1
             WHERE id = $18 AND revision = $19
               AND ($20 IS NULL OR EXISTS (SELECT 1 FROM leader WHERE epoch = $20))",
        )
        .bind(&d.name)
        .bind(d.image.as_str())
        .bind(d.size.as_str())
        .bind(d.goal.as_str())
        .bind(d.phase.as_str())
        .bind(i64::from(d.generation))
        .bind(i64::from(d.attempts))
        .bind(d.phase_since.as_millisecond())
        .bind(d.node.as_ref().map(|node| node.as_str()))
        .bind(d.address.as_deref())
        .bind(d.failure.as_ref().map(|failure| failure.code.as_str()))
        .bind(d.failure.as_ref().map(|failure| failure.detail.as_str()))
        .bind(d.restart)
        .bind(&gpu)
        .bind(d.station.as_ref().map(|station| station.as_str()))
        .bind(d.queued.as_millisecond())
        .bind(d.ends.map(|ends| ends.as_millisecond()))
        .bind(d.id.to_string())
        .bind(d.revision)
        .bind(self.fence)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?;
        if written == 0 {
            self.check_fence().await?;
        }
        Ok(written == 1)
    }

    /// Moves the row to phase `deleted`, if its revision is still this one. The row stays, because
    /// the audit speaks of it.
    pub async fn forget_desktop(&self, id: DesktopId, revision: i64) -> Result<bool, StoreError> {
        let written = on!(self, pool => sqlx::query(
            "UPDATE desktops SET phase = 'deleted', goal = 'deleted', node = NULL, address = NULL,
               restart = FALSE, revision = revision + 1
             WHERE id = $1 AND revision = $2",
        )
        .bind(id.to_string())
        .bind(revision)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(written == 1)
    }
}

fn desktops(rows: Vec<DesktopRow>) -> Result<Vec<Desktop>, StoreError> {
    rows.into_iter().map(DesktopRow::desktop).collect()
}

#[derive(FromRow)]
pub(crate) struct DesktopRow {
    id: String,
    owner_id: String,
    name: String,
    image_id: String,
    size_id: String,
    goal: String,
    phase: String,
    generation: i64,
    revision: i64,
    attempts: i64,
    phase_since_ms: i64,
    node: Option<String>,
    address: Option<String>,
    failure_code: Option<String>,
    failure_detail: Option<String>,
    restart: bool,
    created_ms: i64,
    gpu: String,
    station: Option<String>,
    queued_ms: i64,
    ends_ms: Option<i64>,
}

impl DesktopRow {
    pub(crate) fn desktop(self) -> Result<Desktop, StoreError> {
        let failure = match self.failure_code.as_deref() {
            Some(code) => Some(Failure {
                code: FailureCode::parse(code)
                    .ok_or(StoreError::Corrupt { what: "failure code" })?,
                detail: self.failure_detail.unwrap_or_default(),
            }),
            None => None,
        };
        Ok(Desktop {
            id: row::parse(&self.id, "desktop id")?,
            owner: row::parse(&self.owner_id, "user id")?,
            name: self.name,
            image: row::parse(&self.image_id, "image id")?,
            size: row::parse(&self.size_id, "size id")?,
            goal: Goal::parse(&self.goal).ok_or(StoreError::Corrupt { what: "goal" })?,
            phase: Phase::parse(&self.phase).ok_or(StoreError::Corrupt { what: "phase" })?,
            generation: row::number(self.generation, "generation")?,
            revision: self.revision,
            attempts: row::number(self.attempts, "number of attempts")?,
            phase_since: row::time(self.phase_since_ms)?,
            node: self.node.map(|node| row::parse(&node, "node name")).transpose()?,
            address: self.address,
            failure,
            restart: self.restart,
            created: row::time(self.created_ms)?,
            gpu: gpu::read(&self.gpu)?,
            station: self.station.map(|id| row::parse(&id, "station id")).transpose()?,
            queued: row::time(self.queued_ms)?,
            ends: self.ends_ms.map(row::time).transpose()?,
        })
    }
}

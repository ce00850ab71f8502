//! Sizes and images that people may choose from.

use beamdesk_types::{GpuRequest, Image, ImageId, Size, SizeId};
use sqlx::FromRow;

use crate::{
    LIST_ROWS_MAX, Store, StoreError,
    db::{db_now, on, transaction},
    gpu, row,
};

/// Writes a size through a pool or a transaction, in place of one with the same id.
macro_rules! put_size {
    ($executor:expr, $size:expr) => {{
        let size: &Size = $size;
        sqlx::query(
            "INSERT INTO sizes (id, name, vcpus, memory_mib, disk_gib, gpu_count, gpu_memory_mib,
               enabled, gpu, term_hours)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, vcpus = excluded.vcpus,
               memory_mib = excluded.memory_mib, disk_gib = excluded.disk_gib,
               gpu_count = excluded.gpu_count, gpu_memory_mib = excluded.gpu_memory_mib,
               enabled = excluded.enabled, gpu = excluded.gpu, term_hours = excluded.term_hours",
        )
        .bind(size.id.as_str())
        .bind(&size.name)
        .bind(i64::from(size.vcpus))
        .bind(row::column(size.memory_mib))
        .bind(row::column(size.disk_gib))
        .bind(i64::from(size.gpu.count))
        .bind(row::column(size.gpu.memory_mib))
        .bind(size.enabled)
        .bind(gpu::text(&size.gpu)?)
        .bind(i64::from(size.term_hours))
        .execute($executor)
        .await?
    }};
}

impl Store {
    /// Smallest first.
    pub async fn sizes(&self) -> Result<Vec<Size>, StoreError> {
        let rows: Vec<SizeRow> = on!(self, pool => sqlx::query_as(
            "SELECT * FROM sizes ORDER BY gpu_count, vcpus, memory_mib, id LIMIT $1",
        )
        .bind(i64::from(LIST_ROWS_MAX))
        .fetch_all(pool)
        .await)?;
        rows.into_iter().map(SizeRow::size).collect()
    }

    pub async fn size(&self, id: &SizeId) -> Result<Option<Size>, StoreError> {
        let row: Option<SizeRow> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM sizes WHERE id = $1")
                .bind(id.as_str())
                .fetch_optional(pool)
                .await
        })?;
        row.map(SizeRow::size).transpose()
    }

    /// Adds or replaces.
    pub async fn put_size(&self, size: &Size) -> Result<(), StoreError> {
        on!(self, pool => {
            put_size!(pool, size);
        });
        Ok(())
    }

    /// False: there was none. [`StoreError::InUse`] while a desktop has it, or a reservation that is
    /// not over holds room for it.
    pub async fn remove_size(&self, id: &SizeId) -> Result<bool, StoreError> {
        let is_there = transaction!(self, tx => {
            // Locks the size against an addition of a desktop in the same moment.
            let is_there = sqlx::query("UPDATE sizes SET name = name WHERE id = $1")
                .bind(id.as_str())
                .execute(&mut *tx)
                .await?
                .rows_affected()
                == 1;
            let users: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM desktops WHERE size_id = $1 AND phase <> 'deleted'",
            )
            .bind(id.as_str())
            .fetch_one(&mut *tx)
            .await?;
            let now = db_now!(self, tx);
            let reservations: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM reservations WHERE size_id = $1 AND to_ms > $2",
            )
            .bind(id.as_str())
            .bind(now)
            .fetch_one(&mut *tx)
            .await?;
            if users > 0 || reservations > 0 {
                return Err(StoreError::InUse);
            }
            sqlx::query("DELETE FROM sizes WHERE id = $1")
                .bind(id.as_str())
                .execute(&mut *tx)
                .await?;
            is_there
        });
        Ok(is_there)
    }

    /// Adds these when there is no size at all.
    pub async fn seed_sizes(&self, sizes: &[Size]) -> Result<(), StoreError> {
        transaction!(self, tx => {
            let count: i64 =
                sqlx::query_scalar("SELECT COUNT(*) FROM sizes").fetch_one(&mut *tx).await?;
            if count == 0 {
                for size in sizes {
                    put_size!(&mut *tx, size);
                }
            }
        });
        Ok(())
    }

    pub async fn images(&self) -> Result<Vec<Image>, StoreError> {
        let rows: Vec<ImageRow> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM images ORDER BY name, id LIMIT $1")
                .bind(i64::from(LIST_ROWS_MAX))
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter().map(ImageRow::image).collect()
    }

    pub async fn image(&self, id: &ImageId) -> Result<Option<Image>, StoreError> {
        let row: Option<ImageRow> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM images WHERE id = $1")
                .bind(id.as_str())
                .fetch_optional(pool)
                .await
        })?;
        row.map(ImageRow::image).transpose()
    }

    /// Adds or replaces.
    pub async fn put_image(&self, image: &Image) -> Result<(), StoreError> {
        let gpu = gpu::text(&image.gpu)?;
        on!(self, pool => sqlx::query(
            "INSERT INTO images (id, name, description, enabled, gpu) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name,
               description = excluded.description, enabled = excluded.enabled,
               gpu = excluded.gpu",
        )
        .bind(image.id.as_str())
        .bind(&image.name)
        .bind(&image.description)
        .bind(image.enabled)
        .bind(&gpu)
        .execute(pool)
        .await
        .map(drop))?;
        Ok(())
    }
}

#[derive(FromRow)]
pub(crate) struct SizeRow {
    id: String,
    name: String,
    vcpus: i64,
    memory_mib: i64,
    disk_gib: i64,
    gpu_count: i64,
    gpu_memory_mib: i64,
    enabled: bool,
    gpu: String,
    term_hours: i64,
}

impl SizeRow {
    pub(crate) fn size(self) -> Result<Size, StoreError> {
        Ok(Size {
            id: row::parse(&self.id, "size id")?,
            name: self.name,
            vcpus: row::number(self.vcpus, "number of CPUs")?,
            memory_mib: row::number(self.memory_mib, "memory size")?,
            disk_gib: row::number(self.disk_gib, "disk size")?,
            gpu: GpuRequest {
                // A former program, which knows these columns only, may have written them since.
                count: row::number(self.gpu_count, "number of GPUs")?,
                memory_mib: row::number(self.gpu_memory_mib, "memory size")?,
                ..gpu::read(&self.gpu)?
            },
            term_hours: row::number(self.term_hours, "number of hours")?,
            enabled: self.enabled,
        })
    }
}

#[derive(FromRow)]
struct ImageRow {
    id: String,
    name: String,
    description: String,
    enabled: bool,
    gpu: String,
}

impl ImageRow {
    fn image(self) -> Result<Image, StoreError> {
        let Self { id, name, description, enabled, gpu } = self;
        let id = row::parse(&id, "image id")?;
        Ok(Image { id, name, description, gpu: gpu::read(&gpu)?, enabled })
    }
}

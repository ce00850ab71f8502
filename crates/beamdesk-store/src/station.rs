//! Stations (beamlines) that desktops serve.

use beamdesk_types::{NodeName, Station, StationId};
use sqlx::FromRow;

use crate::{
    LIST_ROWS_MAX, Store, StoreError,
    db::{db_now, on, transaction},
    gpu, row,
};

impl Store {
    pub async fn stations(&self) -> Result<Vec<Station>, StoreError> {
        let rows: Vec<StationRow> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM stations ORDER BY name, id LIMIT $1")
                .bind(i64::from(LIST_ROWS_MAX))
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter().map(StationRow::station).collect()
    }

    pub async fn station(&self, id: &StationId) -> Result<Option<Station>, StoreError> {
        let row: Option<StationRow> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM stations WHERE id = $1")
                .bind(id.as_str())
                .fetch_optional(pool)
                .await
        })?;
        row.map(StationRow::station).transpose()
    }

    /// Adds or replaces.
    pub async fn put_station(&self, station: &Station) -> Result<(), StoreError> {
        let gpu = gpu::text(&station.gpu)?;
        let nodes = row::id_list(&station.nodes);
        on!(self, pool => sqlx::query(
            "INSERT INTO stations (id, name, gpu, nodes) VALUES ($1, $2, $3, $4)
             ON CONFLICT (id) DO UPDATE SET name = excluded.name, gpu = excluded.gpu,
               nodes = excluded.nodes",
        )
        .bind(station.id.as_str())
        .bind(&station.name)
        .bind(&gpu)
        .bind(&nodes)
        .execute(pool)
        .await
        .map(drop))?;
        Ok(())
    }

    /// False: there was none. [`StoreError::InUse`] while a desktop serves it, or a reservation of
    /// it is not over. Reservations that are over go with it.
    pub async fn remove_station(&self, id: &StationId) -> Result<bool, StoreError> {
        let was_there = transaction!(self, tx => {
            // Locks the station against a reservation in the same moment.
            sqlx::query("UPDATE stations SET name = name WHERE id = $1")
                .bind(id.as_str())
                .execute(&mut *tx)
                .await?;
            let desktops: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM desktops WHERE station = $1 AND phase <> 'deleted'",
            )
            .bind(id.as_str())
            .fetch_one(&mut *tx)
            .await?;
            let now = db_now!(self, tx);
            let reservations: i64 = sqlx::query_scalar(
                "SELECT COUNT(*) FROM reservations WHERE station = $1 AND to_ms > $2",
            )
            .bind(id.as_str())
            .bind(now)
            .fetch_one(&mut *tx)
            .await?;
            if desktops > 0 || reservations > 0 {
                return Err(StoreError::InUse);
            }
            sqlx::query("DELETE FROM reservations WHERE station = $1")
                .bind(id.as_str())
                .execute(&mut *tx)
                .await?;
            sqlx::query("DELETE FROM stations WHERE id = $1")
                .bind(id.as_str())
                .execute(&mut *tx)
                .await?
                .rows_affected()
                == 1
        });
        Ok(was_there)
    }
}

#[derive(FromRow)]
struct StationRow {
    id: String,
    name: String,
    gpu: String,
    nodes: String,
}

impl StationRow {
    fn station(self) -> Result<Station, StoreError> {
        let nodes: Vec<NodeName> = row::from_json(&self.nodes, "list of nodes")?;
        Ok(Station {
            id: row::parse(&self.id, "station id")?,
            name: self.name,
            gpu: gpu::read(&self.gpu)?,
            nodes,
        })
    }
}

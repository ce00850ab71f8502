//! Room held for stations from one time to another.

use beamdesk_types::{Reservation, ReservationId, Timestamp};
use sqlx::FromRow;

use crate::{
    LIST_ROWS_MAX, Store, StoreError,
    db::{db_now, on, transaction},
    row,
};

impl Store {
    /// Those that end after this moment, in the order in which they begin.
    pub async fn reservations(
        &self,
        until_after: Timestamp,
    ) -> Result<Vec<Reservation>, StoreError> {
        let rows: Vec<ReservationRow> = on!(self, pool => sqlx::query_as(
            "SELECT * FROM reservations WHERE to_ms > $1 ORDER BY from_ms, id LIMIT $2",
        )
        .bind(until_after.as_millisecond())
        .bind(i64::from(LIST_ROWS_MAX))
        .fetch_all(pool)
        .await)?;
        rows.into_iter().map(ReservationRow::reservation).collect()
    }

    pub async fn reservation(&self, id: ReservationId) -> Result<Option<Reservation>, StoreError> {
        let row: Option<ReservationRow> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM reservations WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(pool)
                .await
        })?;
        row.map(ReservationRow::reservation).transpose()
    }

    /// [`StoreError::Foreign`] when there is no such station; [`StoreError::QuotaReached`] when `max`
    /// of all stations together are not over yet.
    pub async fn add_reservation(
        &self,
        reservation: &Reservation,
        max: u32,
    ) -> Result<(), StoreError> {
        let r = reservation;
        transaction!(self, tx => {
            // Locks the station, so that it is not removed meanwhile, and the size alike.
            sqlx::query("UPDATE stations SET name = name WHERE id = $1")
                .bind(r.station.as_str())
                .execute(&mut *tx)
                .await?;
            sqlx::query("UPDATE sizes SET name = name WHERE id = $1")
                .bind(r.size.as_str())
                .execute(&mut *tx)
                .await?;
            let now = db_now!(self, tx);
            let open: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM reservations WHERE to_ms > $1")
                .bind(now)
                .fetch_one(&mut *tx)
                .await?;
            if open >= i64::from(max.min(LIST_ROWS_MAX)) {
                return Err(StoreError::QuotaReached { max });
            }
            sqlx::query(
                "INSERT INTO reservations (id, station, size_id, count, from_ms, to_ms, note,
                   created_by)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(r.id.to_string())
            .bind(r.station.as_str())
            .bind(r.size.as_str())
            .bind(i64::from(r.count))
            .bind(r.from.as_millisecond())
            .bind(r.to.as_millisecond())
            .bind(&r.note)
            .bind(r.created_by.to_string())
            .execute(&mut *tx)
            .await?;
        });
        Ok(())
    }

    /// False: there was none.
    pub async fn remove_reservation(&self, id: ReservationId) -> Result<bool, StoreError> {
        let removed = on!(self, pool => {
            sqlx::query("DELETE FROM reservations WHERE id = $1")
                .bind(id.to_string())
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })?;
        Ok(removed == 1)
    }
}

#[derive(FromRow)]
struct ReservationRow {
    id: String,
    station: String,
    size_id: String,
    count: i64,
    from_ms: i64,
    to_ms: i64,
    note: String,
    created_by: String,
}

impl ReservationRow {
    fn reservation(self) -> Result<Reservation, StoreError> {
        Ok(Reservation {
            id: row::parse(&self.id, "reservation id")?,
            station: row::parse(&self.station, "station id")?,
            size: row::parse(&self.size_id, "size id")?,
            count: row::number(self.count, "number of desktops")?,
            from: row::time(self.from_ms)?,
            to: row::time(self.to_ms)?,
            note: self.note,
            created_by: row::parse(&self.created_by, "user id")?,
        })
    }
}

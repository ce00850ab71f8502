//! Single values under a name.

use crate::{Store, StoreError, db::on};

impl Store {
    pub async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        let value = on!(self, pool => {
            sqlx::query_scalar("SELECT value FROM settings WHERE key = $1")
                .bind(key)
                .fetch_optional(pool)
                .await
        })?;
        Ok(value)
    }

    pub async fn put_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        on!(self, pool => sqlx::query(
            "INSERT INTO settings (key, value) VALUES ($1, $2)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )
        .bind(key)
        .bind(value)
        .execute(pool)
        .await
        .map(drop))?;
        Ok(())
    }

    /// False: there was none.
    pub async fn remove_setting(&self, key: &str) -> Result<bool, StoreError> {
        let removed = on!(self, pool => {
            sqlx::query("DELETE FROM settings WHERE key = $1")
                .bind(key)
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })?;
        Ok(removed == 1)
    }
}

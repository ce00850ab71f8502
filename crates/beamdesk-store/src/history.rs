//! All desktops there ever were, for the simulator.

use std::collections::HashMap;

use beamdesk_types::{Desktop, DesktopId, Size, SizeId};

use crate::{Store, StoreError, db::on, desktop::DesktopRow, row};

/// One desktop, also a deleted one, and what it was made of.
///
/// It began to wait at `queued`. It ended at `phase_since` if its phase is stopped, failed, deleting
/// or deleted; else it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesktopPast {
    pub desktop: Desktop,
    /// As it is today; `None`: it was removed since.
    pub size: Option<Size>,
}

impl Store {
    /// Oldest first.
    pub async fn desktop_history(
        &self,
        after: Option<DesktopId>,
        limit: u32,
    ) -> Result<Vec<DesktopPast>, StoreError> {
        let rows: Vec<DesktopRow> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM desktops WHERE id > $1 ORDER BY id LIMIT $2")
                .bind(after.map(|id| id.to_string()).unwrap_or_default())
                .bind(row::rows_max(limit))
                .fetch_all(pool)
                .await
        })?;
        let sizes: HashMap<SizeId, Size> =
            self.sizes().await?.into_iter().map(|size| (size.id.clone(), size)).collect();
        rows.into_iter()
            .map(|row| {
                let desktop = row.desktop()?;
                Ok(DesktopPast { size: sizes.get(&desktop.size).cloned(), desktop })
            })
            .collect()
    }
}

//! The last day of each node: one point in five minutes.

use std::time::Duration;

use beamdesk_types::{CardAddress, CardState, NodeName, Timestamp};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use crate::{Store, StoreError, db::on, row};

/// Points are so far apart; a later one in the same slot replaces the earlier.
pub const SAMPLE_SLOT: Duration = Duration::from_secs(300);
/// For so long they are kept.
pub const SAMPLES_KEPT: Duration = Duration::from_secs(24 * 3600);

/// One node at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSample {
    pub at: Timestamp,
    pub cpu_busy_permille: u16,
    pub memory_mib: u64,
    pub memory_mib_used: u64,
    pub disk_gib: u64,
    pub disk_gib_used: u64,
    pub cards: Vec<CardSample>,
}

/// One card at that moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardSample {
    pub address: CardAddress,
    pub state: CardState,
    pub busy_percent: Option<u8>,
    pub memory_mib_used: Option<u64>,
    /// What desktops of ours hold of it, in thousandths.
    pub held_milli: u32,
}

/// Begin of the slot a moment lies in, ms.
pub fn slot_ms(at: Timestamp) -> i64 {
    let slot = row::duration_ms(SAMPLE_SLOT);
    at.as_millisecond().div_euclid(slot).saturating_mul(slot)
}

impl Store {
    /// [`StoreError::Foreign`] when there is no such node.
    pub async fn put_node_sample(
        &self,
        node: &NodeName,
        sample: &NodeSample,
    ) -> Result<(), StoreError> {
        let text = row::json(sample, "sample")?;
        on!(self, pool => sqlx::query(
            "INSERT INTO node_samples (node, slot_ms, sample) VALUES ($1, $2, $3)
             ON CONFLICT (node, slot_ms) DO UPDATE SET sample = excluded.sample",
        )
        .bind(node.as_str())
        .bind(slot_ms(sample.at))
        .bind(&text)
        .execute(pool)
        .await
        .map(drop))?;
        Ok(())
    }

    /// Oldest first.
    pub async fn node_samples(
        &self,
        node: &NodeName,
        since: Timestamp,
    ) -> Result<Vec<NodeSample>, StoreError> {
        let rows: Vec<SampleRow> = on!(self, pool => sqlx::query_as(
            "SELECT sample FROM node_samples WHERE node = $1 AND slot_ms >= $2
             ORDER BY slot_ms LIMIT $3",
        )
        .bind(node.as_str())
        .bind(slot_ms(since))
        .bind(i64::from(crate::LIST_ROWS_MAX))
        .fetch_all(pool)
        .await)?;
        rows.into_iter().map(|row| row::from_json(&row.sample, "sample")).collect()
    }
}

#[derive(FromRow)]
struct SampleRow {
    sample: String,
}

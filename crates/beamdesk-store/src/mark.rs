//! By what a reader tells which rows changed since it read them, without reading them again.

use beamdesk_types::{DesktopId, NodeName};

use crate::{Store, StoreError, db::on, row};

/// As long as it stays the same, so do the node's record and all claims on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeMark {
    /// Of the newest report.
    pub generation: u64,
    /// Rises with each claim on the node, and with each that is given back.
    pub claims_revision: i64,
    pub maintenance: bool,
    pub quarantine: Option<String>,
    /// The machine that reports as it.
    pub machine: Option<String>,
}

impl Store {
    /// Of all nodes, by name.
    pub async fn node_marks(&self) -> Result<Vec<(NodeName, NodeMark)>, StoreError> {
        type Row = (String, i64, i64, bool, Option<String>, Option<String>);
        let rows: Vec<Row> = on!(self, pool => sqlx::query_as(
            "SELECT name, generation, claims_revision, maintenance, quarantine, machine
             FROM nodes ORDER BY name",
        )
        .fetch_all(pool)
        .await)?;
        let mark = |(name, generation, claims_revision, maintenance, quarantine, machine): Row| {
            let generation = row::number(generation, "generation")?;
            let mark = NodeMark { generation, claims_revision, maintenance, quarantine, machine };
            Ok((row::parse(&name, "node name")?, mark))
        };
        rows.into_iter().map(mark).collect()
    }

    /// The revisions of all desktops that are not deleted yet, by id.
    pub async fn desktop_marks(&self) -> Result<Vec<(DesktopId, i64)>, StoreError> {
        let rows: Vec<(String, i64)> = on!(self, pool => {
            sqlx::query_as(
                "SELECT id, revision FROM desktops WHERE phase <> 'deleted' ORDER BY id",
            )
            .fetch_all(pool)
            .await
        })?;
        rows.into_iter()
            .map(|(id, revision)| Ok((row::parse(&id, "desktop id")?, revision)))
            .collect()
    }
}

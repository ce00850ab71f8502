//! Nodes as their monitors tell of them (SRM), and whether they are believed.

use beamdesk_types::{Card, NodeFacts, NodeName, STALE_AFTER_INTERVALS, Timestamp};
use sqlx::FromRow;

use crate::{
    Store, StoreError,
    db::{on, transaction},
    row,
};

/// What is known of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRecord {
    pub name: NodeName,
    /// The machine that reports under this name; another one is not believed. `None`: the next that
    /// does will be it.
    pub machine: Option<String>,
    /// Of the newest report.
    pub generation: u64,
    /// When it was made, by the node's clock.
    pub sampled: Option<Timestamp>,
    /// When it came, by ours. Its age is counted from here: a node's clock may be wrong.
    pub received: Option<Timestamp>,
    /// Seconds from one report to the next.
    pub interval_s: u32,
    /// Of the monitor.
    pub version: String,
    /// `None` until the first report.
    pub facts: Option<NodeFacts>,
    pub cards: Vec<Card>,
    pub quarantine: Option<Quarantine>,
    /// An administrator took it out of use for a while.
    pub maintenance: bool,
    /// Rises with each claim on this node, and with each that is given back.
    pub claims_revision: i64,
}

/// Why a node is not believed, and so gets no desktops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// Stable word.
    pub code: String,
    /// For an administrator.
    pub detail: String,
}

impl NodeRecord {
    /// Of a node that has not reported.
    pub fn new(name: NodeName) -> Self {
        Self {
            name,
            machine: None,
            generation: 0,
            sampled: None,
            received: None,
            interval_s: 0,
            version: String::new(),
            facts: None,
            cards: Vec::new(),
            quarantine: None,
            maintenance: false,
            claims_revision: 0,
        }
    }

    /// Whether its monitor has been silent for so long that the record says nothing any more. A
    /// node that never reported is stale, too.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        let limit_ms = i64::from(self.interval_s)
            .saturating_mul(i64::from(STALE_AFTER_INTERVALS))
            .saturating_mul(1000);
        self.received.is_none_or(|received| {
            now.as_millisecond().saturating_sub(received.as_millisecond()) > limit_ms
        })
    }
}

/// Adds a row for a node that has none, through a pool or a transaction.
macro_rules! add_node {
    ($executor:expr, $name:expr) => {
        sqlx::query(
            "INSERT INTO nodes (name, generation, interval_s, version, quarantine_detail,
               maintenance, claims_revision)
             VALUES ($1, 0, 0, '', '', FALSE, 0)
             ON CONFLICT (name) DO NOTHING",
        )
        .bind($name.as_str())
        .execute($executor)
        .await?
    };
}

impl Store {
    pub async fn node_record(&self, name: &NodeName) -> Result<Option<NodeRecord>, StoreError> {
        let row: Option<NodeRow> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM nodes WHERE name = $1")
                .bind(name.as_str())
                .fetch_optional(pool)
                .await
        })?;
        row.map(NodeRow::record).transpose()
    }

    /// All of them, by name: without a limit, since the scheduler must see all.
    pub async fn node_records(&self) -> Result<Vec<NodeRecord>, StoreError> {
        let rows: Vec<NodeRow> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM nodes ORDER BY name").fetch_all(pool).await
        })?;
        rows.into_iter().map(NodeRow::record).collect()
    }

    /// The node that this machine reports as.
    pub async fn node_of_machine(&self, machine: &str) -> Result<Option<NodeName>, StoreError> {
        let name: Option<String> = on!(self, pool => {
            sqlx::query_scalar("SELECT name FROM nodes WHERE machine = $1 ORDER BY name LIMIT 1")
                .bind(machine)
                .fetch_optional(pool)
                .await
        })?;
        name.map(|name| row::parse(&name, "node name")).transpose()
    }

    /// Writes what a report brought, if the generation is still `expected`; adds the row where
    /// there is none. False: somebody else wrote first; read again.
    ///
    /// Quarantine, maintenance and claims are left as they are: those are not the monitor's.
    pub async fn put_node_report(
        &self,
        record: &NodeRecord,
        expected: u64,
    ) -> Result<bool, StoreError> {
        let r = record;
        let facts = r.facts.as_ref().map(|facts| row::json(facts, "record")).transpose()?;
        let cards = row::json(&r.cards, "record")?;
        let written = on!(self, pool => sqlx::query(
            "INSERT INTO nodes (name, machine, generation, sampled_ms, received_ms, interval_s,
               version, facts, cards, quarantine_detail, maintenance, claims_revision)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', FALSE, 0)
             ON CONFLICT (name) DO UPDATE SET machine = excluded.machine,
               generation = excluded.generation, sampled_ms = excluded.sampled_ms,
               received_ms = excluded.received_ms, interval_s = excluded.interval_s,
               version = excluded.version, facts = excluded.facts, cards = excluded.cards
             WHERE nodes.generation = $10",
        )
        .bind(r.name.as_str())
        .bind(r.machine.as_deref())
        .bind(row::column(r.generation))
        .bind(r.sampled.map(Timestamp::as_millisecond))
        .bind(r.received.map(Timestamp::as_millisecond))
        .bind(i64::from(r.interval_s))
        .bind(&r.version)
        .bind(&facts)
        .bind(&cards)
        .bind(row::column(expected))
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(written == 1)
    }

    /// The same for a report in which nothing but its time is new: most are.
    pub async fn touch_node(&self, record: &NodeRecord, expected: u64) -> Result<bool, StoreError> {
        let written = on!(self, pool => sqlx::query(
            "UPDATE nodes SET generation = $1, sampled_ms = $2, received_ms = $3
             WHERE name = $4 AND generation = $5",
        )
        .bind(row::column(record.generation))
        .bind(record.sampled.map(Timestamp::as_millisecond))
        .bind(record.received.map(Timestamp::as_millisecond))
        .bind(record.name.as_str())
        .bind(row::column(expected))
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(written == 1)
    }

    /// No placement is made on it from now on; not even one that was decided a moment ago.
    pub async fn quarantine_node(
        &self,
        name: &NodeName,
        quarantine: &Quarantine,
    ) -> Result<(), StoreError> {
        transaction!(self, tx => {
            add_node!(&mut *tx, name);
            sqlx::query("UPDATE nodes SET quarantine = $1, quarantine_detail = $2 WHERE name = $3")
                .bind(&quarantine.code)
                .bind(&quarantine.detail)
                .bind(name.as_str())
                .execute(&mut *tx)
                .await?;
        });
        Ok(())
    }

    /// Believes the node again, and whichever machine reports as it next. False: it was believed.
    pub async fn lift_quarantine(&self, name: &NodeName) -> Result<bool, StoreError> {
        let written = on!(self, pool => sqlx::query(
            "UPDATE nodes SET quarantine = NULL, quarantine_detail = '', machine = NULL
             WHERE name = $1 AND quarantine IS NOT NULL",
        )
        .bind(name.as_str())
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(written == 1)
    }

    /// Believes the node again if that is what it is in quarantine for; its machine stays the one it
    /// was. For what puts itself right. False: it is not.
    pub async fn heal_quarantine(&self, name: &NodeName, code: &str) -> Result<bool, StoreError> {
        let written = on!(self, pool => sqlx::query(
            "UPDATE nodes SET quarantine = NULL, quarantine_detail = ''
             WHERE name = $1 AND quarantine = $2",
        )
        .bind(name.as_str())
        .bind(code)
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?;
        Ok(written == 1)
    }

    /// Takes a node out of use, or puts it back. Also one that has no monitor.
    pub async fn set_maintenance(&self, name: &NodeName, on: bool) -> Result<(), StoreError> {
        transaction!(self, tx => {
            add_node!(&mut *tx, name);
            sqlx::query("UPDATE nodes SET maintenance = $1 WHERE name = $2")
                .bind(on)
                .bind(name.as_str())
                .execute(&mut *tx)
                .await?;
        });
        Ok(())
    }

    /// Forgets a node and its history. False: there was none. [`StoreError::InUse`] while a desktop
    /// holds something of it.
    pub async fn remove_node(&self, name: &NodeName) -> Result<bool, StoreError> {
        let was_there = transaction!(self, tx => {
            // Locks the node against a claim in the same moment.
            sqlx::query("UPDATE nodes SET version = version WHERE name = $1")
                .bind(name.as_str())
                .execute(&mut *tx)
                .await?;
            let claims: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM claims WHERE node = $1")
                .bind(name.as_str())
                .fetch_one(&mut *tx)
                .await?;
            if claims > 0 {
                return Err(StoreError::InUse);
            }
            sqlx::query("DELETE FROM node_samples WHERE node = $1")
                .bind(name.as_str())
                .execute(&mut *tx)
                .await?;
            sqlx::query("DELETE FROM nodes WHERE name = $1")
                .bind(name.as_str())
                .execute(&mut *tx)
                .await?
                .rows_affected()
                == 1
        });
        Ok(was_there)
    }
}

#[derive(FromRow)]
struct NodeRow {
    name: String,
    machine: Option<String>,
    generation: i64,
    sampled_ms: Option<i64>,
    received_ms: Option<i64>,
    interval_s: i64,
    version: String,
    facts: Option<String>,
    cards: Option<String>,
    quarantine: Option<String>,
    quarantine_detail: String,
    maintenance: bool,
    claims_revision: i64,
}

impl NodeRow {
    fn record(self) -> Result<NodeRecord, StoreError> {
        let cards = self.cards.as_deref().map(|cards| row::from_json(cards, "record"));
        let facts = self.facts.as_deref().map(|facts| row::from_json(facts, "record"));
        let detail = self.quarantine_detail;
        Ok(NodeRecord {
            name: row::parse(&self.name, "node name")?,
            machine: self.machine,
            generation: row::number(self.generation, "generation")?,
            sampled: self.sampled_ms.map(row::time).transpose()?,
            received: self.received_ms.map(row::time).transpose()?,
            interval_s: row::number(self.interval_s, "interval")?,
            version: self.version,
            facts: facts.transpose()?,
            cards: cards.transpose()?.unwrap_or_default(),
            quarantine: self.quarantine.map(|code| Quarantine { code, detail }),
            maintenance: self.maintenance,
            claims_revision: self.claims_revision,
        })
    }
}

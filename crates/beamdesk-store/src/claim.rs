//! What desktops have taken of nodes: the one place where a card is given to somebody.

use std::collections::BTreeMap;

use beamdesk_types::{CardAddress, Claim, DesktopId, NodeName, Timestamp, WHOLE_CARD};
use sqlx::FromRow;

use crate::{
    Store, StoreError,
    db::{fence, on, transaction},
    row,
};

/// A claim as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRow {
    pub claim: Claim,
    /// When it was made: a report that was sampled before knows nothing of it.
    pub claimed: Timestamp,
}

impl Store {
    /// All claims, by desktop: without a limit, since the scheduler must see all.
    pub async fn claims(&self) -> Result<Vec<ClaimRow>, StoreError> {
        // Both from one statement, so that no claim is seen without its cards.
        let rows: Vec<JoinedRow> = on!(self, pool => sqlx::query_as(
            "SELECT claims.desktop_id, claims.node, vcpus, memory_mib, disk_gib, claimed_ms, card,
               share_milli
             FROM claims LEFT JOIN card_claims ON card_claims.desktop_id = claims.desktop_id
             ORDER BY claims.desktop_id, card",
        )
        .fetch_all(pool)
        .await)?;
        claims(rows)
    }

    /// What this desktop has taken.
    pub async fn desktop_claim(&self, desktop: DesktopId) -> Result<Option<ClaimRow>, StoreError> {
        let rows: Vec<JoinedRow> = on!(self, pool => sqlx::query_as(
            "SELECT claims.desktop_id, claims.node, vcpus, memory_mib, disk_gib, claimed_ms, card,
               share_milli
             FROM claims LEFT JOIN card_claims ON card_claims.desktop_id = claims.desktop_id
             WHERE claims.desktop_id = $1 ORDER BY card",
        )
        .bind(desktop.to_string())
        .fetch_all(pool)
        .await)?;
        Ok(claims(rows)?.pop())
    }

    /// All claims on this node.
    pub async fn node_claims(&self, node: &NodeName) -> Result<Vec<ClaimRow>, StoreError> {
        let rows: Vec<JoinedRow> = on!(self, pool => sqlx::query_as(
            "SELECT claims.desktop_id, claims.node, vcpus, memory_mib, disk_gib, claimed_ms, card,
               share_milli
             FROM claims LEFT JOIN card_claims ON card_claims.desktop_id = claims.desktop_id
             WHERE claims.node = $1 ORDER BY claims.desktop_id, card",
        )
        .bind(node.as_str())
        .fetch_all(pool)
        .await)?;
        claims(rows)
    }

    /// What each node's next claim is compared with; one that is missing has zero.
    ///
    /// Whoever decides by [`Self::claims`] reads this first: then a claim made in between is seen by
    /// the comparison, if not by the decision.
    pub async fn claims_revisions(&self) -> Result<BTreeMap<NodeName, i64>, StoreError> {
        let rows: Vec<(String, i64)> = on!(self, pool => {
            sqlx::query_as("SELECT name, claims_revision FROM nodes").fetch_all(pool).await
        })?;
        rows.into_iter()
            .map(|(name, revision)| Ok((row::parse(&name, "node name")?, revision)))
            .collect()
    }

    /// Takes what the claim says, in one transaction.
    ///
    /// False, and nothing is taken: another claim was made on this node since `expected`, a card
    /// would be given more than once, the desktop has a claim already, or the node is in
    /// maintenance or quarantine. Look again, and decide anew.
    pub async fn claim(
        &self,
        claim: &Claim,
        expected: i64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let c = claim;
        let (desktop, node) = (c.desktop.to_string(), c.node.as_str());
        let share = i64::from(c.share_milli);
        // Who is too late mostly learns it here, without the one write lock that all others need.
        let seen: Option<i64> = on!(self, pool => {
            sqlx::query_scalar("SELECT claims_revision FROM nodes WHERE name = $1")
                .bind(node)
                .fetch_optional(pool)
                .await
        })?;
        if seen.unwrap_or(0) != expected {
            return Ok(false);
        }
        transaction!(self, tx => {
            fence!(self, tx);
            // Locks the node's row until the end: two claims on one node take turns, and the second
            // finds the revision raised.
            let raised = sqlx::query(
                "UPDATE nodes SET claims_revision = claims_revision + 1
                 WHERE name = $1 AND claims_revision = $2 AND quarantine IS NULL
                   AND NOT maintenance",
            )
            .bind(node)
            .bind(expected)
            .execute(&mut *tx)
            .await?
            .rows_affected();
            if raised == 0 && expected != 0 {
                return Ok(false);
            }
            if raised == 0 {
                // A node without a monitor has no row before its first claim.
                let added = sqlx::query(
                    "INSERT INTO nodes (name, generation, interval_s, version, quarantine_detail,
                       maintenance, claims_revision)
                     VALUES ($1, 0, 0, '', '', FALSE, 1)
                     ON CONFLICT (name) DO NOTHING",
                )
                .bind(node)
                .execute(&mut *tx)
                .await?
                .rows_affected();
                if added == 0 {
                    return Ok(false);
                }
            }
            let claimed = sqlx::query(
                "INSERT INTO claims (desktop_id, node, vcpus, memory_mib, disk_gib, claimed_ms)
                 VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (desktop_id) DO NOTHING",
            )
            .bind(&desktop)
            .bind(node)
            .bind(i64::from(c.vcpus))
            .bind(row::column(c.memory_mib))
            .bind(row::column(c.disk_gib))
            .bind(now.as_millisecond())
            .execute(&mut *tx)
            .await?
            .rows_affected();
            if claimed == 0 {
                return Ok(false);
            }
            for card in &c.cards {
                sqlx::query(
                    "INSERT INTO card_claims (node, card, desktop_id, share_milli)
                     VALUES ($1, $2, $3, $4)",
                )
                .bind(node)
                .bind(card.as_str())
                .bind(&desktop)
                .bind(share)
                .execute(&mut *tx)
                .await?;
                let taken: i64 = sqlx::query_scalar(
                    "SELECT CAST(SUM(share_milli) AS BIGINT) FROM card_claims
                     WHERE node = $1 AND card = $2",
                )
                .bind(node)
                .bind(card.as_str())
                .fetch_one(&mut *tx)
                .await?;
                if taken > i64::from(WHOLE_CARD) {
                    return Ok(false);
                }
            }
        });
        Ok(true)
    }

    /// Gives back what the desktop has taken, and raises its node's revision. False: it had nothing.
    pub async fn release_claim(&self, desktop: DesktopId) -> Result<bool, StoreError> {
        let desktop = desktop.to_string();
        let released = transaction!(self, tx => {
            fence!(self, tx);
            // In the order of `claim`, so that the two never wait for each other.
            sqlx::query(
                "UPDATE nodes SET claims_revision = claims_revision + 1
                 WHERE name = (SELECT node FROM claims WHERE desktop_id = $1)",
            )
            .bind(&desktop)
            .execute(&mut *tx)
            .await?;
            sqlx::query("DELETE FROM card_claims WHERE desktop_id = $1")
                .bind(&desktop)
                .execute(&mut *tx)
                .await?;
            sqlx::query("DELETE FROM claims WHERE desktop_id = $1")
                .bind(&desktop)
                .execute(&mut *tx)
                .await?
                .rows_affected()
                == 1
        });
        Ok(released)
    }
}

/// Of rows in the order of their desktops.
fn claims(rows: Vec<JoinedRow>) -> Result<Vec<ClaimRow>, StoreError> {
    let mut claims: Vec<ClaimRow> = Vec::new();
    for row in rows {
        let (id, card, share_milli) = row.card()?;
        match claims.last_mut() {
            Some(last) if last.claim.desktop == id => last.claim.cards.extend(card),
            Some(_) | None => claims.push(row.claim(id, card, share_milli)?),
        }
    }
    Ok(claims)
}

/// A claim with one of its cards, or without any.
#[derive(FromRow)]
struct JoinedRow {
    desktop_id: String,
    node: String,
    vcpus: i64,
    memory_mib: i64,
    disk_gib: i64,
    claimed_ms: i64,
    card: Option<String>,
    share_milli: Option<i64>,
}

impl JoinedRow {
    fn card(&self) -> Result<(DesktopId, Option<CardAddress>, u32), StoreError> {
        let card = self.card.as_deref().map(|card| row::parse(card, "card")).transpose()?;
        let share_milli = self.share_milli.map(|share| row::number(share, "share")).transpose()?;
        Ok((row::parse(&self.desktop_id, "desktop id")?, card, share_milli.unwrap_or(WHOLE_CARD)))
    }

    fn claim(
        &self,
        desktop: DesktopId,
        card: Option<CardAddress>,
        share_milli: u32,
    ) -> Result<ClaimRow, StoreError> {
        let claim = Claim {
            desktop,
            node: row::parse(&self.node, "node name")?,
            vcpus: row::number(self.vcpus, "number of CPUs")?,
            memory_mib: row::number(self.memory_mib, "memory size")?,
            disk_gib: row::number(self.disk_gib, "disk size")?,
            cards: card.into_iter().collect(),
            share_milli,
        };
        Ok(ClaimRow { claim, claimed: row::time(self.claimed_ms)? })
    }
}

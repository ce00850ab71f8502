//! Nodes, claims and desktops as they stand: kept from one plan to the next, so that only what
//! changed in between is read again.

use std::collections::BTreeMap;

use beamdesk_store::{NodeMark, NodeRecord, Store, StoreError};
use beamdesk_types::{Claim, Desktop, DesktopId, NodeName, Phase};

/// With more changes than this it is quicker to read all anew than one after the other.
const SINGLE_READS_MAX: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    nodes: BTreeMap<NodeName, Kept>,
    desktops: BTreeMap<DesktopId, Desktop>,
}

#[derive(Debug)]
struct Kept {
    /// Read before the rest: what changed in between is found the next time.
    mark: NodeMark,
    record: NodeRecord,
    claims: Vec<Claim>,
}

impl Ledger {
    /// Brings it up to date. After an error it is as good as before.
    pub(crate) async fn refresh(&mut self, store: &Store) -> Result<(), StoreError> {
        self.refresh_nodes(store).await?;
        self.refresh_desktops(store).await
    }

    pub(crate) fn records(&self) -> Vec<NodeRecord> {
        self.nodes.values().map(|kept| kept.record.clone()).collect()
    }

    pub(crate) fn claims(&self) -> Vec<Claim> {
        self.nodes.values().flat_map(|kept| kept.claims.iter().cloned()).collect()
    }

    /// What the next claim on each node is to be compared with: read before the claims, so that one
    /// made in between makes the comparison fail.
    pub(crate) fn revisions(&self) -> BTreeMap<NodeName, i64> {
        let of = |(name, kept): (&NodeName, &Kept)| (name.clone(), kept.mark.claims_revision);
        self.nodes.iter().map(of).collect()
    }

    /// Those that are not deleted yet.
    pub(crate) fn desktops(&self) -> Vec<Desktop> {
        self.desktops.values().cloned().collect()
    }

    async fn refresh_nodes(&mut self, store: &Store) -> Result<(), StoreError> {
        let marks: BTreeMap<NodeName, NodeMark> = store.node_marks().await?.into_iter().collect();
        let is_new = |(name, mark): &(&NodeName, &NodeMark)| {
            self.nodes.get(*name).is_none_or(|kept| kept.mark != **mark)
        };
        let changed: Vec<(NodeName, NodeMark)> =
            marks.iter().filter(is_new).map(|(name, mark)| (name.clone(), mark.clone())).collect();
        let mut read = Vec::new();
        if changed.len() > SINGLE_READS_MAX {
            let mut records: BTreeMap<NodeName, NodeRecord> =
                store.node_records().await?.into_iter().map(|r| (r.name.clone(), r)).collect();
            let mut claims: BTreeMap<NodeName, Vec<Claim>> = BTreeMap::new();
            for row in store.claims().await? {
                claims.entry(row.claim.node.clone()).or_default().push(row.claim);
            }
            for (name, mark) in changed {
                if let Some(record) = records.remove(&name) {
                    let claims = claims.remove(&name).unwrap_or_default();
                    read.push((name, Kept { mark, record, claims }));
                }
            }
        } else {
            for (name, mark) in changed {
                let Some(record) = store.node_record(&name).await? else { continue };
                let known = self.nodes.get(&name);
                let is_same =
                    known.filter(|kept| kept.mark.claims_revision == mark.claims_revision);
                let claims = match is_same {
                    Some(kept) => kept.claims.clone(),
                    None => {
                        let rows = store.node_claims(&name).await?;
                        rows.into_iter().map(|row| row.claim).collect()
                    }
                };
                read.push((name, Kept { mark, record, claims }));
            }
        }
        self.nodes.retain(|name, _| marks.contains_key(name));
        self.nodes.extend(read);
        Ok(())
    }

    async fn refresh_desktops(&mut self, store: &Store) -> Result<(), StoreError> {
        let marks: BTreeMap<DesktopId, i64> = store.desktop_marks().await?.into_iter().collect();
        let is_new = |(id, revision): &(&DesktopId, &i64)| {
            self.desktops.get(id).is_none_or(|desktop| desktop.revision != **revision)
        };
        let changed: Vec<DesktopId> = marks.iter().filter(is_new).map(|(id, _)| *id).collect();
        if changed.len() > SINGLE_READS_MAX {
            let all = store.open_desktops().await?;
            self.desktops = all.into_iter().map(|desktop| (desktop.id, desktop)).collect();
            return Ok(());
        }
        let mut read = Vec::new();
        for id in changed {
            let desktop = store.desktop(id).await?;
            read.extend(desktop.filter(|desktop| desktop.phase != Phase::Deleted));
        }
        self.desktops.retain(|id, _| marks.contains_key(id));
        self.desktops.extend(read.into_iter().map(|desktop| (desktop.id, desktop)));
        Ok(())
    }
}

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use beamdesk_store::{NodeRecord, Quarantine, Store, User};
    use beamdesk_types::{
        Claim, Desktop, DesktopId, Goal, GpuRequest, NodeName, Phase, Role, Timestamp, UserId,
    };

    use super::{Ledger, SINGLE_READS_MAX};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn node(number: usize) -> NodeName {
        format!("node-{number}").parse().unwrap()
    }

    async fn user(store: &Store) -> UserId {
        let user = User {
            id: UserId::fresh(),
            name: "ada".to_owned(),
            role: Role::User,
            disabled: false,
            password_hash: String::new(),
            language: String::new(),
            theme: "system".to_owned(),
            created: at(0),
        };
        store.add_user(&user).await.unwrap();
        user.id
    }

    async fn add_desktop(store: &Store, owner: UserId) -> DesktopId {
        let desktop = Desktop {
            id: DesktopId::fresh(),
            owner,
            name: "Beamline".to_owned(),
            image: "debian".parse().unwrap(),
            size: "small".parse().unwrap(),
            goal: Goal::Running,
            phase: Phase::Pending,
            generation: 0,
            revision: 0,
            attempts: 0,
            phase_since: at(0),
            node: None,
            address: None,
            failure: None,
            restart: false,
            created: at(0),
            gpu: GpuRequest::default(),
            station: None,
            queued: at(0),
            ends: None,
        };
        store.add_desktop(&desktop, u32::MAX).await.unwrap();
        desktop.id
    }

    async fn take(store: &Store, desktop: DesktopId, node: NodeName) {
        let revision = store.claims_revisions().await.unwrap().get(&node).copied().unwrap_or(0);
        let claim = Claim {
            desktop,
            node,
            vcpus: 1,
            memory_mib: 1,
            disk_gib: 1,
            cards: vec![format!("0000:{revision:02x}:00.0").parse().unwrap()],
            share_milli: 1000,
        };
        store.claim(&claim, revision, at(1)).await.unwrap();
    }

    async fn report(store: &Store, name: NodeName, second: i64) {
        let known = store.node_record(&name).await.unwrap();
        let known = known.unwrap_or_else(|| NodeRecord::new(name));
        let next = NodeRecord {
            generation: known.generation + 1,
            received: Some(at(second)),
            interval_s: 10,
            ..known.clone()
        };
        assert!(store.put_node_report(&next, known.generation).await.unwrap());
    }

    async fn assert_as_a_full_read(ledger: &mut Ledger, store: &Store, after: &str) {
        ledger.refresh(store).await.unwrap();
        let by_name = |records: Vec<NodeRecord>| -> BTreeMap<NodeName, NodeRecord> {
            records.into_iter().map(|record| (record.name.clone(), record)).collect()
        };
        assert_eq!(
            by_name(ledger.records()),
            by_name(store.node_records().await.unwrap()),
            "{after}"
        );
        let by_desktop = |claims: Vec<Claim>| -> BTreeMap<DesktopId, Claim> {
            claims.into_iter().map(|claim| (claim.desktop, claim)).collect()
        };
        let claims = store.claims().await.unwrap().into_iter().map(|row| row.claim).collect();
        assert_eq!(by_desktop(ledger.claims()), by_desktop(claims), "{after}");
        assert_eq!(ledger.revisions(), store.claims_revisions().await.unwrap(), "{after}");
        assert_eq!(ledger.desktops(), store.open_desktops().await.unwrap(), "{after}");
    }

    #[tokio::test]
    async fn after_whatever_changed_it_is_as_a_full_read() {
        let store = Store::open("sqlite::memory:").await.unwrap();
        let owner = user(&store).await;
        let mut ledger = Ledger::default();
        let mut ids = Vec::new();
        let mut state = 7_usize;
        for step in 0..200_i64 {
            // A linear congruential generator: any order will do, the same each time.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888);
            let (what, node) = ((state >> 33) % 9, node((state >> 40) % 5));
            let desktop = ids.get((state >> 45) % ids.len().max(1)).copied();
            match (what, desktop) {
                (0 | 1, _) | (_, None) => ids.push(add_desktop(&store, owner).await),
                (2 | 3, Some(desktop)) => take(&store, desktop, node).await,
                (4, Some(desktop)) => drop(store.release_claim(desktop).await.unwrap()),
                (5, _) => report(&store, node, step).await,
                (6, _) => store.set_maintenance(&node, step % 2 == 0).await.unwrap(),
                (7, Some(desktop)) => {
                    let row = store.desktop(desktop).await.unwrap().unwrap();
                    let phase = if step % 3 == 0 { Phase::Deleted } else { Phase::Building };
                    assert!(store.save_desktop(&Desktop { phase, ..row }).await.unwrap());
                }
                _ => {
                    let quarantine = Quarantine { code: "doubt".to_owned(), detail: String::new() };
                    if !store.lift_quarantine(&node).await.unwrap() {
                        store.quarantine_node(&node, &quarantine).await.unwrap();
                    }
                }
            }
            assert_as_a_full_read(&mut ledger, &store, &format!("step {step}: {what}")).await;
        }
    }

    #[tokio::test]
    async fn many_changes_at_once_are_read_together() {
        let store = Store::open("sqlite::memory:").await.unwrap();
        let owner = user(&store).await;
        let mut ledger = Ledger::default();
        for round in 0..2 {
            for number in 0..2 * SINGLE_READS_MAX {
                report(&store, node(number), round).await;
                let desktop = add_desktop(&store, owner).await;
                take(&store, desktop, node(number)).await;
            }
            assert_as_a_full_read(&mut ledger, &store, "many").await;
        }
        store.remove_node(&node(0)).await.unwrap_err();
        let gone = ledger.claims().into_iter().filter(|claim| claim.node == node(0));
        for claim in gone {
            store.release_claim(claim.desktop).await.unwrap();
        }
        assert!(store.remove_node(&node(0)).await.unwrap());
        assert_as_a_full_read(&mut ledger, &store, "a node is gone").await;
    }
}

//! What the scheduler sees of all nodes, from what drivers, monitors and claims say of them.
//!
//! ```text
//! driver's nodes   CPU, memory, disk, enabled; cards where no monitor tells of them
//! records (SRM)    cards and their state; how old; maintenance, quarantine
//! claims           what desktops have taken: wins over what a monitor saw before or after
//! stations         which nodes are kept for whom
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use beamdesk_sched::{Amount, CardRoom, Host};
use beamdesk_store::NodeRecord;
use beamdesk_types::{
    Card, CardAddress, CardState, Claim, DesktopId, Misfit, Node, NodeFacts, NodeName,
    Partitioning, Station, StationId, Timestamp, WHOLE_CARD,
};

/// All that is known of the nodes at one moment.
#[derive(Debug, Clone)]
pub struct Facts {
    pub now: Timestamp,
    /// As the cloud's driver counts them.
    pub nodes: Vec<Node>,
    /// As their monitors tell of them.
    pub records: Vec<NodeRecord>,
    pub claims: Vec<Claim>,
    /// Desktops whose servers are in the driver's count.
    pub counted: HashSet<DesktopId>,
    pub stations: Vec<Station>,
}

/// One host for each node that the driver has, by name. Monitors of other machines count nothing.
/// Where the driver has none because it may not see them, monitors' nodes are all there are.
pub fn hosts(facts: &Facts) -> Vec<Host> {
    if facts.nodes.is_empty() {
        let nodes = told_nodes(&facts.records, &facts.claims);
        if !nodes.is_empty() {
            // Their count has all claims in it.
            let counted = facts.claims.iter().map(|claim| claim.desktop).collect();
            return hosts(&Facts { nodes, counted, ..facts.clone() });
        }
    }
    let records: HashMap<&NodeName, &NodeRecord> =
        facts.records.iter().map(|record| (&record.name, record)).collect();
    let kept = kept_for(&facts.stations);
    let mut claims: HashMap<&NodeName, Vec<&Claim>> = HashMap::new();
    for claim in &facts.claims {
        claims.entry(&claim.node).or_default().push(claim);
    }
    let mut models = Models::default();
    let mut hosts: Vec<Host> = facts
        .nodes
        .iter()
        .map(|node| {
            let record = records.get(&node.name).copied();
            let claims = claims.get(&node.name).map_or(&[][..], Vec::as_slice);
            let kept_for = kept.get(&node.name).cloned().unwrap_or_default();
            host(facts, node, record, claims, kept_for, &mut models)
        })
        .collect();
    hosts.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    hosts
}

fn host(
    facts: &Facts,
    node: &Node,
    record: Option<&NodeRecord>,
    claims: &[&Claim],
    kept_for: Vec<StationId>,
    models: &mut Models,
) -> Host {
    // Of a claim whose server the driver counts, its own count is the truth.
    let promised = || claims.iter().filter(|claim| !facts.counted.contains(&claim.desktop));
    let sum = |used: u64, of: fn(&Claim) -> u64| {
        promised().fold(used, |sum, claim| sum.saturating_add(of(claim)))
    };
    let milli = |cpus: u32| u64::from(cpus) * 1000;
    Host {
        name: node.name.clone(),
        cpu_milli: Amount {
            total: milli(node.vcpus),
            used: sum(milli(node.vcpus_used), |claim| u64::from(claim.vcpus) * 1000),
        },
        memory_mib: Amount {
            total: node.memory_mib,
            used: sum(node.memory_mib_used, |claim| claim.memory_mib),
        },
        disk_gib: Amount {
            total: node.disk_gib,
            used: sum(node.disk_gib_used, |claim| claim.disk_gib),
        },
        cards: cards(node, record, claims, models),
        closed: closed(node, record),
        is_stale: record.is_some_and(|record| record.facts.is_some() && record.is_stale(facts.now)),
        kept_for,
    }
}

/// The nodes that monitors tell of, with what our own desktops have taken of them: for clouds that do
/// not let us see their hosts. Whoever else is there is not counted, and the cloud has the last word.
pub(crate) fn told_nodes(records: &[NodeRecord], claims: &[Claim]) -> Vec<Node> {
    let told = records.iter().filter_map(|record| Some((record, record.facts.as_ref()?)));
    let node = |(record, facts): (&NodeRecord, &NodeFacts)| {
        let here = || claims.iter().filter(|claim| claim.node == record.name);
        Node {
            name: record.name.clone(),
            vcpus: facts.cpus,
            vcpus_used: here().fold(0, |sum, claim| sum.saturating_add(claim.vcpus)),
            memory_mib: facts.memory_mib,
            memory_mib_used: here().fold(0, |sum, claim| sum.saturating_add(claim.memory_mib)),
            disk_gib: facts.disk_gib,
            disk_gib_used: here().fold(0, |sum, claim| sum.saturating_add(claim.disk_gib)),
            cards: Vec::new(),
            enabled: true,
        }
    };
    told.map(node).collect()
}

fn closed(node: &Node, record: Option<&NodeRecord>) -> Option<Misfit> {
    if !node.enabled {
        return Some(Misfit::Disabled);
    }
    let record = record?;
    if record.maintenance {
        Some(Misfit::Maintenance)
    } else {
        record.quarantine.as_ref().map(|_| Misfit::Quarantined)
    }
}

/// The cards as the monitor tells of them or, without one, the driver.
pub(crate) fn known_cards<'a>(node: &'a Node, record: Option<&'a NodeRecord>) -> &'a [Card] {
    match record {
        Some(record) if record.facts.is_some() => &record.cards,
        Some(_) | None => &node.cards,
    }
}

fn cards(
    node: &Node,
    record: Option<&NodeRecord>,
    claims: &[&Claim],
    models: &mut Models,
) -> Vec<CardRoom> {
    let cards = known_cards(node, record).iter().map(|card| CardRoom {
        address: card.address.clone(),
        model: models.of(&card.model),
        memory_mib: card.memory_mib,
        cores: card.cores,
        bandwidth_gb_s: card.bandwidth_gb_s,
        clock_mhz: card.clock_mhz,
        gflops: card.gflops,
        numa_node: card.numa_node,
        free_milli: free_milli(card, claimed_milli(&card.address, claims)),
        is_shared: card.partitioning == Partitioning::Shared,
    });
    let mut cards: Vec<CardRoom> = cards.collect();
    cards.sort_unstable_by(|one, other| one.address.cmp(&other.address));
    cards
}

/// Thousandths of a card that desktops of ours have taken.
fn claimed_milli(card: &CardAddress, claims: &[&Claim]) -> u32 {
    let holders = claims.iter().filter(|claim| claim.cards.contains(card));
    holders.fold(0, |sum, claim| sum.saturating_add(claim.share_milli))
}

/// What can be had of a card. One that is in use, but by nobody of ours, is a stranger's, or that
/// of a desktop that has just gone: free again once its monitor says so.
fn free_milli(card: &Card, claimed_milli: u32) -> u32 {
    match card.state {
        CardState::Free => WHOLE_CARD.saturating_sub(claimed_milli),
        CardState::Assigned if claimed_milli > 0 => WHOLE_CARD.saturating_sub(claimed_milli),
        CardState::Assigned | CardState::Reserved | CardState::Faulty => 0,
    }
}

fn kept_for(stations: &[Station]) -> BTreeMap<NodeName, Vec<StationId>> {
    let mut kept: BTreeMap<NodeName, BTreeSet<StationId>> = BTreeMap::new();
    for station in stations {
        for node in &station.nodes {
            kept.entry(node.clone()).or_default().insert(station.id.clone());
        }
    }
    kept.into_iter().map(|(node, stations)| (node, stations.into_iter().collect())).collect()
}

/// Names of models, each once in memory.
#[derive(Debug, Default)]
struct Models(BTreeMap<String, Arc<str>>);

impl Models {
    fn of(&mut self, model: &str) -> Arc<str> {
        if let Some(known) = self.0.get(model) {
            return known.clone();
        }
        let name: Arc<str> = model.into();
        self.0.insert(model.to_owned(), name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use beamdesk_cloud::sim::Sim;
    use beamdesk_sched::Host;
    use beamdesk_store::{NodeRecord, Quarantine};
    use beamdesk_types::{
        CardState, Claim, DesktopId, Misfit, NodeFacts, Partitioning, Station, Timestamp,
        WHOLE_CARD,
    };
    use jiff::SignedDuration;

    use super::{Facts, hosts};

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    /// One node with two cards that its monitor tells of.
    fn facts() -> Facts {
        let nodes = Sim::equal_nodes(1, 16, 65_536, 100);
        let record = NodeRecord {
            received: Some(now()),
            interval_s: 10,
            facts: Some(NodeFacts::default()),
            cards: Sim::equal_cards(2, "A40", 49_152, &Partitioning::Whole),
            ..NodeRecord::new(nodes[0].name.clone())
        };
        Facts {
            now: now(),
            nodes,
            records: vec![record],
            claims: Vec::new(),
            counted: HashSet::new(),
            stations: Vec::new(),
        }
    }

    fn claim(facts: &Facts, card: usize, share_milli: u32) -> Claim {
        Claim {
            desktop: DesktopId::from_u128(1),
            node: facts.records[0].name.clone(),
            vcpus: 4,
            memory_mib: 1024,
            disk_gib: 10,
            cards: vec![facts.records[0].cards[card].address.clone()],
            share_milli,
        }
    }

    fn only(facts: &Facts) -> Host {
        let [host] = hosts(facts).try_into().unwrap();
        host
    }

    fn free(facts: &Facts) -> Vec<u32> {
        only(facts).cards.iter().map(|card| card.free_milli).collect()
    }

    #[test]
    fn a_claim_wins_over_a_sample_that_is_older_and_over_one_that_shows_it() {
        let mut facts = facts();
        assert_eq!(free(&facts), [1000, 1000]);
        facts.claims = vec![claim(&facts, 0, WHOLE_CARD)];
        assert_eq!(free(&facts), [0, 1000], "sampled before");
        facts.records[0].cards[0].state = CardState::Assigned;
        assert_eq!(free(&facts), [0, 1000], "sampled after");
        facts.claims.clear();
        assert_eq!(free(&facts), [0, 1000], "its server may still be there");
        facts.records[0].cards[0].state = CardState::Free;
        assert_eq!(free(&facts), [1000, 1000]);
    }

    #[test]
    fn of_a_shared_card_the_rest_can_be_had() {
        let mut facts = facts();
        facts.claims = vec![claim(&facts, 1, 400)];
        facts.records[0].cards[1].partitioning = Partitioning::Shared;
        facts.records[0].cards[1].state = CardState::Assigned;
        assert_eq!(free(&facts), [1000, 600]);
        assert!(only(&facts).cards[1].is_shared);
    }

    #[test]
    fn a_card_that_is_kept_back_or_broken_is_not_free() {
        let mut facts = facts();
        facts.records[0].cards[0].state = CardState::Reserved;
        facts.records[0].cards[1].state = CardState::Faulty;
        assert_eq!(free(&facts), [0, 0]);
    }

    #[test]
    fn what_is_promised_counts_until_the_driver_counts_it() {
        let mut facts = facts();
        facts.claims = vec![claim(&facts, 0, WHOLE_CARD)];
        assert_eq!(only(&facts).cpu_milli.used, 4000);
        assert_eq!(only(&facts).memory_mib.used, 1024);
        facts.counted = HashSet::from([DesktopId::from_u128(1)]);
        facts.nodes[0].vcpus_used = 4;
        assert_eq!(only(&facts).cpu_milli.used, 4000);
        assert_eq!(free(&facts), [0, 1000], "cards are ours to count");
    }

    #[test]
    fn a_record_that_is_old_closed_or_not_believed_is_told_apart() {
        let mut facts = facts();
        facts.now = now() + SignedDuration::from_secs(30);
        assert!(!only(&facts).is_stale);
        facts.now = now() + SignedDuration::from_secs(31);
        assert!(only(&facts).is_stale);
        assert_eq!(only(&facts).closed, None, "desktops without cards may go there");
        facts.records[0].quarantine =
            Some(Quarantine { code: "clock".to_owned(), detail: String::new() });
        assert_eq!(only(&facts).closed, Some(Misfit::Quarantined));
        facts.records[0].maintenance = true;
        assert_eq!(only(&facts).closed, Some(Misfit::Maintenance));
        facts.nodes[0].enabled = false;
        assert_eq!(only(&facts).closed, Some(Misfit::Disabled));
    }

    #[test]
    fn without_a_monitor_the_drivers_cards_count() {
        let mut facts = facts();
        facts.nodes[0].cards = Sim::equal_cards(1, "T4", 15_360, &Partitioning::Whole);
        assert_eq!(free(&facts).len(), 2, "the record wins");
        facts.records[0].facts = None;
        assert_eq!(&*only(&facts).cards[0].model, "T4");
        assert!(!only(&facts).is_stale);
        facts.records.clear();
        assert_eq!(free(&facts), [1000]);
    }

    #[test]
    fn where_the_cloud_shows_no_hosts_monitors_tell_of_them() {
        let mut facts = facts();
        facts.nodes.clear();
        facts.records[0].facts =
            Some(NodeFacts { cpus: 8, memory_mib: 4096, disk_gib: 50, ..NodeFacts::default() });
        let free = |facts: &Facts| {
            let host = only(facts);
            (host.cpu_milli.free(), host.memory_mib.free(), host.disk_gib.free())
        };
        assert_eq!(free(&facts), (8000, 4096, 50));
        facts.claims = vec![claim(&facts, 0, WHOLE_CARD)];
        assert_eq!(free(&facts), (4000, 3072, 40), "as long as its server is being made");
        facts.counted = HashSet::from([DesktopId::from_u128(1)]);
        assert_eq!(free(&facts), (4000, 3072, 40), "and when it is there");
        assert_eq!(only(&facts).cards.iter().map(|card| card.free_milli).sum::<u32>(), 1000);
        // A node that is closed here is closed.
        facts.records[0].maintenance = true;
        assert_eq!(only(&facts).closed, Some(Misfit::Maintenance));
        // One whose monitor has not told anything yet is none.
        facts.records[0].facts = None;
        assert_eq!(hosts(&facts).len(), 0);
    }

    #[test]
    fn a_node_is_kept_for_the_stations_that_name_it() {
        let mut facts = facts();
        let station = |id: &str| Station {
            id: id.parse().unwrap(),
            name: id.to_owned(),
            gpu: beamdesk_types::GpuRequest::default(),
            nodes: vec![facts.nodes[0].name.clone()],
        };
        facts.stations = vec![station("b7"), station("b2")];
        let kept: Vec<String> = only(&facts).kept_for.iter().map(ToString::to_string).collect();
        assert_eq!(kept, ["b2", "b7"]);
    }
}

//! Hosts, where Nova lets us see them.

use std::collections::BTreeMap;

use beamdesk_types::Node;
use serde::Deserialize;
use tracing::debug;

use super::{ApiError, Microversion, OpenStack, Service};

/// Compute API, *List Hypervisors Details*.
#[derive(Debug, Clone, Deserialize)]
struct Hypervisor {
    id: String,
    #[serde(default)]
    hypervisor_hostname: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    vcpus: u32,
    #[serde(default)]
    vcpus_used: u32,
    #[serde(default)]
    memory_mb: u64,
    #[serde(default)]
    memory_mb_used: u64,
    #[serde(default)]
    local_gb: u64,
    #[serde(default)]
    local_gb_used: u64,
    service: ComputeService,
}

#[derive(Debug, Clone, Deserialize)]
struct ComputeService {
    /// What Nova calls the host when one is asked for.
    host: String,
}

/// Placement API, *Show resource provider inventories*.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Inventories {
    inventories: BTreeMap<String, Inventory>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Inventory {
    total: u64,
    #[serde(default)]
    reserved: u64,
    #[serde(default)]
    allocation_ratio: Option<f64>,
}

/// What may be given away of a host, where it is not what it has: reserved and overcommitted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Room {
    vcpus: Option<u32>,
    memory_mib: Option<u64>,
    disk_gib: Option<u64>,
}

/// The last with numbers of hosts: later ones have them in Placement alone.
const WITH_NUMBERS: Microversion = Microversion::new(2, 87);
const PAGE: usize = 500;
/// 50,000 hosts.
const PAGES_MAX: usize = 100;

impl Inventory {
    /// Placement API: (total − reserved) × ratio.
    fn capacity(self) -> u64 {
        let free = self.total.saturating_sub(self.reserved);
        // In thousandths, so that nothing is lost by rounding.
        let ratio = self.allocation_ratio.filter(|ratio| ratio.is_finite()).unwrap_or(1.0);
        let milli = thousandths(ratio);
        free.saturating_mul(milli) / 1000
    }
}

/// A ratio is a few tens at most.
fn thousandths(ratio: f64) -> u64 {
    let text = format!("{:.0}", (ratio * 1000.0).clamp(0.0, 1e9));
    text.parse().unwrap_or(1000)
}

fn node(hypervisor: &Hypervisor, room: Room) -> Option<Node> {
    let name = hypervisor.service.host.to_ascii_lowercase().parse().ok()?;
    Some(Node {
        name,
        vcpus: room.vcpus.unwrap_or(hypervisor.vcpus),
        vcpus_used: hypervisor.vcpus_used,
        memory_mib: room.memory_mib.unwrap_or(hypervisor.memory_mb),
        memory_mib_used: hypervisor.memory_mb_used,
        disk_gib: room.disk_gib.unwrap_or(hypervisor.local_gb),
        disk_gib_used: hypervisor.local_gb_used,
        cards: Vec::new(),
        enabled: hypervisor.state == "up" && hypervisor.status == "enabled",
    })
}

/// Nova counts what it keeps for the host as used; Placement leaves it out of what there is.
fn without_reserved(mut hypervisor: Hypervisor, inventory: &Inventories) -> (Hypervisor, Room) {
    let of = |class: &str| inventory.inventories.get(class).copied();
    let reserved = |class: &str| of(class).map_or(0, |inventory| inventory.reserved);
    hypervisor.memory_mb_used = hypervisor.memory_mb_used.saturating_sub(reserved("MEMORY_MB"));
    hypervisor.local_gb_used = hypervisor.local_gb_used.saturating_sub(reserved("DISK_GB"));
    let room = Room {
        vcpus: of("VCPU").map(|vcpus| u32::try_from(vcpus.capacity()).unwrap_or(u32::MAX)),
        memory_mib: of("MEMORY_MB").map(Inventory::capacity),
        disk_gib: of("DISK_GB").map(Inventory::capacity),
    };
    (hypervisor, room)
}

impl OpenStack {
    /// Empty where we may not see hosts.
    pub(super) async fn hypervisor_nodes(&self) -> Result<Vec<Node>, ApiError> {
        let hypervisors = match self.hypervisors().await {
            Ok(hypervisors) => hypervisors,
            Err(error) if error.status() == Some(403) => {
                debug!("The cloud does not show its hosts: their monitors tell of them");
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let mut nodes = Vec::with_capacity(hypervisors.len());
        for hypervisor in hypervisors {
            let (hypervisor, room) = match self.inventories(&hypervisor.id).await? {
                Some(inventories) => without_reserved(hypervisor, &inventories),
                None => (hypervisor, Room::default()),
            };
            match node(&hypervisor, room) {
                Some(node) => nodes.push(node),
                None => {
                    debug!(host = %hypervisor.hypervisor_hostname, "A host's name is none for a node");
                }
            }
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }

    async fn hypervisors(&self) -> Result<Vec<Hypervisor>, ApiError> {
        #[derive(Deserialize)]
        struct Page {
            hypervisors: Vec<Hypervisor>,
        }
        let mut all: Vec<Hypervisor> = Vec::new();
        for _page in 0..PAGES_MAX {
            let mut call = self
                .client()
                .get(Service::Compute, "/os-hypervisors/detail")
                .version(WITH_NUMBERS)
                .query("limit", PAGE);
            if let Some(last) = all.last() {
                call = call.query("marker", &last.id);
            }
            let page: Page = call.send().await?;
            let is_last = page.hypervisors.len() < PAGE;
            all.extend(page.hypervisors);
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    /// They change when an administrator changes them, so once in a while is often enough.
    async fn inventories(&self, provider: &str) -> Result<Option<Inventories>, ApiError> {
        let now = self.now();
        if let Some((until, known)) = self.known().inventories.get(provider)
            && *until > now
        {
            return Ok(known.clone());
        }
        let path = format!("/resource_providers/{provider}/inventories");
        let found = match self.client().get(Service::Placement, path).found().await {
            Ok(found) => found,
            Err(error) if error.status() == Some(403) => None,
            Err(error) => return Err(error),
        };
        let until = now.checked_add(INVENTORIES_AGE).unwrap_or(now);
        self.known().inventories.insert(provider.to_owned(), (until, found.clone()));
        Ok(found)
    }
}

const INVENTORIES_AGE: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Hypervisor, Inventories, Room, node, without_reserved};

    fn hypervisor() -> Hypervisor {
        serde_json::from_value(json!({
            "id": "u", "hypervisor_hostname": "c1.example.org", "state": "up", "status": "enabled",
            "vcpus": 64, "vcpus_used": 2, "memory_mb": 262144, "memory_mb_used": 1024,
            "local_gb": 2000, "local_gb_used": 10, "service": {"id": "s", "host": "C1"},
        }))
        .unwrap()
    }

    #[test]
    fn a_host_is_a_node_of_its_services_name() {
        let node = node(&hypervisor(), Room::default()).unwrap();
        assert_eq!((node.name.as_str(), node.vcpus, node.memory_mib), ("c1", 64, 262_144));
        assert!(node.enabled);
    }

    #[test]
    fn a_disabled_or_lost_host_takes_nothing_new() {
        for (state, status) in [("up", "disabled"), ("down", "enabled")] {
            let mut host = hypervisor();
            (host.state, host.status) = (state.to_owned(), status.to_owned());
            assert!(!node(&host, Room::default()).unwrap().enabled);
        }
        let mut host = hypervisor();
        host.service.host = "not a name".to_owned();
        assert_eq!(node(&host, Room::default()), None);
    }

    #[test]
    fn what_may_be_given_away_is_what_placement_says() {
        let inventories: Inventories = serde_json::from_value(json!({ "inventories": {
            "VCPU": {"total": 64, "reserved": 4, "allocation_ratio": 16.0},
            "MEMORY_MB": {"total": 262144, "reserved": 512, "allocation_ratio": 1.5},
        }}))
        .unwrap();
        let (host, room) = without_reserved(hypervisor(), &inventories);
        let node = node(&host, room).unwrap();
        assert_eq!((node.vcpus, node.memory_mib, node.disk_gib), (960, 392_448, 2000));
        assert_eq!((node.memory_mib_used, node.disk_gib_used), (512, 10));
    }
}

//! What the cloud has, for administrators. What our account may not see is named, and left out.

use std::{collections::BTreeMap, time::Duration};

use beamdesk_types::{
    CloudHost, CloudLimit, CloudService, Flavor, Inventory, Lack, MadeOf, Resource, Size,
};
use serde::Deserialize;
use tokio::{task::JoinSet, time::Instant};

use super::{ApiError, Client, Microversion, OpenStack, Service, Trouble, flavor, server::key};
use crate::{CloudError, ServerId};

/// A page that somebody waits for shows what is known by then.
const PLACEMENT_DEADLINE: Duration = Duration::from_secs(20);
/// Hosts asked about at once: Placement answers in some ten milliseconds.
const PLACEMENT_AT_ONCE: usize = 8;
/// The last version in which hypervisors tell how many servers they run.
const WITH_NUMBERS: Microversion = Microversion::new(2, 87);
const HYPERVISORS_PAGE: usize = 500;
/// 10,000 hosts; a list that goes on is a loop.
const HYPERVISORS_PAGES_MAX: usize = 20;
/// The parts of a cloud that we use.
const SERVICES: [(Service, &str); 5] = [
    (Service::Compute, "compute"),
    (Service::Placement, "placement"),
    (Service::Image, "image"),
    (Service::Network, "network"),
    (Service::Volume, "volume"),
];

/// Compute API, *List Hypervisors Details*.
#[derive(Debug, Clone, Deserialize)]
struct Hypervisor {
    /// Also that of its provider at Placement.
    id: String,
    #[serde(default)]
    hypervisor_hostname: String,
    #[serde(default)]
    hypervisor_type: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    running_vms: u32,
    service: ComputeService,
}

#[derive(Debug, Clone, Deserialize)]
struct ComputeService {
    host: String,
    #[serde(default)]
    disabled_reason: Option<String>,
}

/// Compute API, *List Aggregates*.
#[derive(Debug, Deserialize)]
struct Aggregates {
    aggregates: Vec<Aggregate>,
}

#[derive(Debug, Deserialize)]
struct Aggregate {
    name: String,
    #[serde(default)]
    hosts: Vec<String>,
}

/// Compute API, *Show Rate And Absolute Limits*.
#[derive(Debug, Deserialize)]
struct Limits {
    limits: AbsoluteLimits,
}

#[derive(Debug, Deserialize)]
struct AbsoluteLimits {
    absolute: BTreeMap<String, i64>,
}

/// Placement API, *List resource providers*.
#[derive(Debug, Deserialize)]
struct Providers {
    resource_providers: Vec<Provider>,
}

#[derive(Debug, Clone, Deserialize)]
struct Provider {
    uuid: String,
    name: String,
}

/// Placement API, *List resource provider inventories*.
#[derive(Debug, Default, Deserialize)]
struct Inventories {
    inventories: BTreeMap<String, Stock>,
}

#[derive(Debug, Deserialize)]
struct Stock {
    total: u64,
    #[serde(default)]
    reserved: u64,
    #[serde(default)]
    allocation_ratio: Option<f64>,
}

/// Placement API, *List resource provider usages*.
#[derive(Debug, Default, Deserialize)]
struct Usages {
    usages: BTreeMap<String, u64>,
}

#[derive(Debug, Default, Deserialize)]
struct Traits {
    traits: Vec<String>,
}

/// What Placement tells of one host.
#[derive(Debug, Default)]
struct Placed {
    resources: Vec<Resource>,
    traits: Vec<String>,
}

impl OpenStack {
    pub(super) async fn inventory_of(&self, sizes: &[Size]) -> Result<Inventory, CloudError> {
        let mut lacks = Lacks::default();
        let identity = self.client().identity().await?;
        let services = services(self.client()).await?;
        let hypervisors = lacks.or_empty("hypervisors", hypervisors(self.client()).await)?;
        let aggregates = lacks.or_empty("aggregates", aggregates(self.client()).await)?;
        let mut placed = placed(self.client(), &hypervisors, &mut lacks).await?;
        let mut hosts: Vec<_> = hypervisors
            .into_iter()
            .filter_map(|hypervisor| {
                let placed = placed.remove(&hypervisor.id).unwrap_or_default();
                host(hypervisor, placed, &aggregates)
            })
            .collect();
        // Nova has them in the order in which they came.
        hosts.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let limits = lacks.or_empty("limits", limits(self.client()).await)?;
        let there = self.flavors().await?;
        let flavor = |size: &Size| {
            let wanted = flavor::wanted(self.config(), size, None);
            let found = there.iter().find(|flavor| flavor.name == wanted.name);
            Flavor {
                size: size.id.clone(),
                name: found.map(|found| found.name.clone()).unwrap_or_default(),
                drift: found.map(|found| flavor::drift(&wanted, found)).unwrap_or_default(),
            }
        };
        Ok(Inventory {
            kind: "openstack".to_owned(),
            project: identity.project_name,
            services,
            hosts,
            flavors: sizes.iter().map(flavor).collect(),
            limits,
            lacks: lacks.0,
        })
    }

    /// What is written on a server of ours about what it was made of.
    pub(super) async fn made_of_server(&self, id: &ServerId) -> Result<Option<MadeOf>, CloudError> {
        #[derive(Deserialize)]
        struct Answer {
            server: Told,
        }
        #[derive(Deserialize)]
        struct Told {
            #[serde(default)]
            name: String,
            #[serde(default)]
            metadata: BTreeMap<String, String>,
        }
        let call = self.client().get(Service::Compute, format!("/servers/{id}"));
        let Some(Answer { server }) = call.found::<Answer>().await? else { return Ok(None) };
        let said = |key: &str| server.metadata.get(key);
        Ok(Some(MadeOf {
            owner: said(key::OWNER).and_then(|text| text.parse().ok()),
            image: said(key::IMAGE).and_then(|text| text.parse().ok()),
            size: said(key::SIZE).and_then(|text| text.parse().ok()),
            name: server.name,
        }))
    }
}

/// What our account may not see, as it comes up.
#[derive(Debug, Default)]
struct Lacks(Vec<Lack>);

impl Lacks {
    /// Nothing, and a word of it, where we may not see it; other errors are errors.
    fn or_empty<T: Default>(
        &mut self,
        what: &str,
        asked: Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        match asked {
            Err(error) if matches!(error.status(), Some(403)) => {
                self.note(what, &error);
                Ok(T::default())
            }
            asked => asked,
        }
    }

    fn note(&mut self, what: &str, error: &ApiError) {
        if !self.0.iter().any(|lack| lack.what == what) {
            let request = error.request().map(|request| format!(" (request {request})"));
            let why = format!("{error}{}", request.unwrap_or_default());
            self.0.push(Lack { what: what.to_owned(), why });
        }
    }
}

async fn services(client: &Client) -> Result<Vec<CloudService>, ApiError> {
    let mut services = Vec::new();
    for (service, name) in SERVICES {
        let version = match client.version(service).await {
            Ok(version) => version.map(|version| version.to_string()).unwrap_or_default(),
            Err(error) if matches!(error.trouble(), Trouble::NoService { .. }) => continue,
            Err(error) => return Err(error),
        };
        services.push(CloudService { name: name.to_owned(), version });
    }
    Ok(services)
}

async fn hypervisors(client: &Client) -> Result<Vec<Hypervisor>, ApiError> {
    #[derive(Deserialize)]
    struct Page {
        hypervisors: Vec<Hypervisor>,
    }
    let mut all: Vec<Hypervisor> = Vec::new();
    for _ in 0..HYPERVISORS_PAGES_MAX {
        let mut call = client
            .get(Service::Compute, "/os-hypervisors/detail")
            .version(WITH_NUMBERS)
            .query("limit", HYPERVISORS_PAGE);
        if let Some(last) = all.last() {
            call = call.query("marker", &last.id);
        }
        let page: Page = call.send().await?;
        let is_last = page.hypervisors.len() < HYPERVISORS_PAGE;
        all.extend(page.hypervisors);
        if is_last {
            break;
        }
    }
    Ok(all)
}

/// By host, the names of its aggregates.
async fn aggregates(client: &Client) -> Result<BTreeMap<String, Vec<String>>, ApiError> {
    let told: Aggregates = client.get(Service::Compute, "/os-aggregates").send().await?;
    let mut by_host: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for aggregate in told.aggregates {
        for host in aggregate.hosts {
            by_host.entry(host).or_default().push(aggregate.name.clone());
        }
    }
    Ok(by_host)
}

async fn limits(client: &Client) -> Result<Vec<CloudLimit>, ApiError> {
    let told: Limits = client.get(Service::Compute, "/limits").send().await?;
    Ok(read_limits(&told.limits.absolute))
}

/// Nova says -1 for what has no limit.
fn read_limits(absolute: &BTreeMap<String, i64>) -> Vec<CloudLimit> {
    let pairs = [
        ("instances", "totalInstancesUsed", "maxTotalInstances"),
        ("cores", "totalCoresUsed", "maxTotalCores"),
        ("ram", "totalRAMUsed", "maxTotalRAMSize"),
    ];
    let number = |key: &str| absolute.get(key).and_then(|number| u64::try_from(*number).ok());
    let limit = |(what, used, max): (&str, &str, &str)| CloudLimit {
        what: what.to_owned(),
        used: number(used).unwrap_or_default(),
        max: number(max),
    };
    pairs.into_iter().map(limit).collect()
}

/// By provider, what Placement tells: of as many hosts as there is time for.
async fn placed(
    client: &Client,
    hypervisors: &[Hypervisor],
    lacks: &mut Lacks,
) -> Result<BTreeMap<String, Placed>, ApiError> {
    let until = Instant::now() + PLACEMENT_DEADLINE;
    let mut placed = BTreeMap::new();
    let mut waiting = hypervisors.iter().map(|hypervisor| hypervisor.id.clone());
    let mut asked: JoinSet<(String, Result<Placed, ApiError>)> = JoinSet::new();
    loop {
        while asked.len() < PLACEMENT_AT_ONCE
            && let Some(id) = waiting.next()
        {
            let client = client.clone();
            asked.spawn(async move {
                let placed = placed_host(&client, &id).await;
                (id, placed)
            });
        }
        match tokio::time::timeout_at(until, asked.join_next()).await {
            Ok(None) => return Ok(placed),
            // One that broke has told nothing; the others have.
            Ok(Some(Err(_))) => {}
            Ok(Some(Ok((id, Ok(one))))) => {
                placed.insert(id, one);
            }
            Ok(Some(Ok((_, Err(error))))) if error.status() == Some(403) => {
                lacks.note("placement", &error);
                return Ok(placed);
            }
            // It went away in between.
            Ok(Some(Ok((_, Err(error))))) if error.is_missing() => {}
            Ok(Some(Ok((_, Err(error))))) => return Err(error),
            Err(_) => {
                let why = "it did not tell of all hosts in time".to_owned();
                lacks.0.push(Lack { what: "placement".to_owned(), why });
                return Ok(placed);
            }
        }
    }
}

/// A host and its parts: its cards are providers of their own below it.
async fn placed_host(client: &Client, id: &str) -> Result<Placed, ApiError> {
    let tree: Providers =
        client.get(Service::Placement, "/resource_providers").query("in_tree", id).send().await?;
    let mut placed = Placed::default();
    for provider in tree.resource_providers {
        let path = |what: &str| format!("/resource_providers/{}/{what}", provider.uuid);
        let stock: Inventories = client.get(Service::Placement, path("inventories")).send().await?;
        let used: Usages = client.get(Service::Placement, path("usages")).send().await?;
        let traits: Traits = client.get(Service::Placement, path("traits")).send().await?;
        let part = if provider.uuid == id { "" } else { provider.name.as_str() };
        placed.resources.extend(resources(part, stock, &used));
        placed.traits.extend(traits.traits);
    }
    placed.traits.sort_unstable();
    placed.traits.dedup();
    Ok(placed)
}

fn resources(part: &str, stock: Inventories, used: &Usages) -> Vec<Resource> {
    let resource = |(class, stock): (String, Stock)| Resource {
        part: part.to_owned(),
        total: stock.total,
        reserved: stock.reserved,
        ratio_percent: percent(stock.allocation_ratio.unwrap_or(1.0)),
        used: used.usages.get(&class).copied().unwrap_or_default(),
        class,
    };
    stock.inventories.into_iter().map(resource).collect()
}

/// A ratio is a few tens at most; what is no number is shown as 1.
fn percent(ratio: f64) -> u64 {
    if !ratio.is_finite() {
        return 100;
    }
    format!("{:.0}", (ratio * 100.0).clamp(0.0, 1e6)).parse().unwrap_or(100)
}

/// `None`: its name is none for a node.
fn host(
    hypervisor: Hypervisor,
    placed: Placed,
    aggregates: &BTreeMap<String, Vec<String>>,
) -> Option<CloudHost> {
    let Hypervisor { hypervisor_hostname, hypervisor_type, state, status, running_vms, .. } =
        hypervisor;
    let ComputeService { host, disabled_reason } = hypervisor.service;
    Some(CloudHost {
        name: host.to_ascii_lowercase().parse().ok()?,
        is_up: state == "up",
        is_enabled: status == "enabled",
        disabled_reason: disabled_reason.unwrap_or_default(),
        hypervisor: format!("{hypervisor_type} {hypervisor_hostname}").trim().to_owned(),
        servers: running_vms,
        resources: placed.resources,
        traits: placed.traits,
        aggregates: aggregates.get(&host).cloned().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::{Hypervisor, Inventories, Placed, Usages, host, percent, read_limits, resources};

    #[test]
    fn a_host_is_told_with_what_is_said_of_it() {
        let hypervisor: Hypervisor = serde_json::from_value(json!({
            "id": "u", "hypervisor_hostname": "c1.example.org", "hypervisor_type": "QEMU",
            "state": "down", "status": "disabled", "running_vms": 3, "vcpus": 64,
            "service": {"id": "s", "host": "C1", "disabled_reason": "new fan"},
        }))
        .unwrap();
        let aggregates = BTreeMap::from([("C1".to_owned(), vec!["gpu".to_owned()])]);
        let told = host(hypervisor, Placed::default(), &aggregates).unwrap();
        assert_eq!((told.name.as_str(), told.is_up, told.is_enabled), ("c1", false, false));
        assert_eq!((&*told.disabled_reason, &*told.hypervisor), ("new fan", "QEMU c1.example.org"));
        assert_eq!((told.servers, &*told.aggregates[0]), (3, "gpu"));
    }

    #[test]
    fn what_placement_counts_is_told_per_part() {
        let stock: Inventories = serde_json::from_value(json!({ "inventories": {
            "VCPU": {"total": 64, "reserved": 2, "allocation_ratio": 16.0, "max_unit": 64},
            "CUSTOM_GPU": {"total": 1},
        }}))
        .unwrap();
        let used: Usages = serde_json::from_value(
            json!({ "usages": {"VCPU": 5}, "resource_provider_generation": 1 }),
        )
        .unwrap();
        let told = resources("card", stock, &used);
        let seen: Vec<_> = told
            .iter()
            .map(|r| (&*r.class, &*r.part, r.total, r.reserved, r.ratio_percent, r.used))
            .collect();
        assert_eq!(seen, [("CUSTOM_GPU", "card", 1, 0, 100, 0), ("VCPU", "card", 64, 2, 1600, 5)]);
        assert_eq!([f64::NAN, f64::INFINITY, -1.0, 1e12].map(percent), [100, 100, 0, 1_000_000]);
    }

    #[test]
    fn no_limit_is_none() {
        let absolute =
            [("maxTotalInstances", -1), ("totalInstancesUsed", 7), ("maxTotalCores", 20)];
        let absolute = absolute.map(|(key, number)| (key.to_owned(), number)).into();
        let told = read_limits(&absolute);
        assert_eq!((told[0].used, told[0].max), (7, None));
        assert_eq!((told[1].used, told[1].max), (0, Some(20)));
    }
}

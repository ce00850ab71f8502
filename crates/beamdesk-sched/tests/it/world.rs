//! Small clusters, quickly written.

use std::sync::Arc;

use beamdesk_sched::{Amount, CardRoom, Cluster, Host, NoRoom, Policy, Request, Settings};
use beamdesk_types::{GpuRequest, NodeName, WHOLE_CARD};

pub(crate) const GIB: u64 = 1024;

/// Memory MiB, cores, GFLOPS, GB/s, MHz: public figures.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Model(
    pub(crate) &'static str,
    pub(crate) u64,
    pub(crate) u32,
    pub(crate) u32,
    pub(crate) u32,
    pub(crate) u32,
);

pub(crate) const A6000: Model = Model("RTX A6000", 48 * GIB, 10752, 38_700, 768, 1800);
pub(crate) const A40: Model = Model("A40", 48 * GIB, 10752, 37_400, 696, 1740);
pub(crate) const V100: Model = Model("V100", 16 * GIB, 5120, 15_700, 900, 1530);
pub(crate) const T4: Model = Model("T4", 16 * GIB, 2560, 8100, 320, 1590);
/// So much memory and nothing else.
pub(crate) fn plain(memory_mib: u64) -> Model {
    Model("plain", memory_mib, 0, 0, 0, 0)
}

pub(crate) fn name(text: &str) -> NodeName {
    text.parse().unwrap()
}

/// Empty, without cards.
pub(crate) fn host(text: &str, cpus: u64, memory_gib: u64) -> Host {
    Host::new(name(text), cpus * 1000, memory_gib * GIB, 1000)
}

pub(crate) fn card(model: Model, index: usize) -> CardRoom {
    let Model(text, memory_mib, cores, gflops, bandwidth_gb_s, clock_mhz) = model;
    CardRoom {
        address: format!("0000:{index:02x}:00.0").parse().unwrap(),
        model: Arc::from(text),
        memory_mib,
        cores,
        bandwidth_gb_s,
        clock_mhz,
        gflops,
        numa_node: None,
        free_milli: WHOLE_CARD,
        is_shared: true,
    }
}

pub(crate) fn with_cards(host: Host, models: &[Model]) -> Host {
    let cards = models.iter().enumerate().map(|(index, model)| card(*model, index)).collect();
    Host { cards, ..host }
}

/// With so much of each card free.
pub(crate) fn with_free(mut host: Host, free_milli: &[u32]) -> Host {
    for (card, free) in host.cards.iter_mut().zip(free_milli) {
        card.free_milli = *free;
    }
    host
}

pub(crate) fn with_used(mut host: Host, cpus: u64, memory_gib: u64) -> Host {
    host.cpu_milli.used = cpus * 1000;
    host.memory_mib.used = memory_gib * GIB;
    host
}

/// Nothing of it is free. It only sets the maxima.
pub(crate) fn full(host: Host) -> Host {
    let none = vec![0; host.cards.len()];
    let used = |amount: Amount| Amount { used: amount.total, ..amount };
    let (cpu_milli, memory_mib) = (used(host.cpu_milli), used(host.memory_mib));
    with_free(Host { cpu_milli, memory_mib, ..host }, &none)
}

pub(crate) fn request(cpus: u64, memory_gib: u64) -> Request {
    Request { cpu_milli: cpus * 1000, memory_mib: memory_gib * GIB, ..Request::default() }
}

pub(crate) fn with_gpu(request: Request, gpu: GpuRequest) -> Request {
    Request { gpu, ..request }
}

pub(crate) fn share(milli: u32) -> GpuRequest {
    GpuRequest { share_milli: milli, ..GpuRequest::whole(1, 0) }
}

pub(crate) fn cluster(policy: Policy, hosts: &[Host]) -> Cluster {
    Cluster::new(hosts.to_vec(), Settings { policy, guard: None, ..Settings::default() })
}

/// The name of the host that is chosen.
pub(crate) fn chosen(cluster: &mut Cluster, request: &Request) -> Result<String, NoRoom> {
    let placement = cluster.place(request)?;
    Ok(cluster.hosts()[placement.host].name.to_string())
}

/// The score of the host at this index, which fits.
pub(crate) fn score(cluster: &Cluster, request: &Request, host: usize) -> f64 {
    cluster.ranks(request)[host].unwrap().score
}

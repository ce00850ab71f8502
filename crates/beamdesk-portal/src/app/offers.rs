//! What can be had now: images, sizes, stations, and what is free.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use beamdesk_sched::{
    Cluster, Host, Misfit, Request,
    queue::{self, Job, Wait, plan},
};
use beamdesk_types::{
    Actor, DesktopId, GpuRequest, Image, ImageId, Node, Protection, Role, Size, SizeId, Station,
    StationId, WHOLE_CARD,
};
use tokio::{sync::Mutex, time::Instant};

use crate::{
    App, PortalError,
    app::{
        demand::{Books, demand, group_of, term},
        desktops, placement,
        planning::{self, Gathered},
        stations,
    },
};

/// How long pages may see an old count of what is free; saves the cloud a call per viewer.
const NODES_FRESH: Duration = Duration::from_secs(1);
/// A cloud that takes longer is shown as unavailable.
const NODES_DEADLINE: Duration = Duration::from_secs(5);

/// How long the count of a cloud elsewhere is good: to tell of hundreds of hosts costs it seconds.
const COUNT_FRESH: Duration = Duration::from_secs(10);
/// How long such a cloud may take.
const COUNT_DEADLINE: Duration = Duration::from_secs(15);

/// The nodes as they were a moment ago.
#[derive(Debug, Default)]
pub(crate) struct NodesCache {
    pages: Mutex<Option<(Instant, Arc<[Node]>)>>,
    count: Mutex<Option<(Instant, Count)>>,
}

/// Nodes as a cloud counts them, and whose servers are in that count.
pub(crate) type Count = (Vec<Node>, HashSet<DesktopId>);

/// Why a desktop of some size has to wait, and on how many nodes that is the reason.
pub(crate) type Misfits = BTreeMap<Misfit, usize>;

#[derive(Debug)]
pub(crate) struct Offers {
    pub(crate) images: Vec<Image>,
    pub(crate) sizes: Vec<(Size, Result<(), Misfits>)>,
    pub(crate) stations: Vec<Station>,
    pub(crate) free: Free,
    pub(crate) gpu_additions: bool,
    pub(crate) nodes: usize,
    pub(crate) desktops: usize,
    pub(crate) protections: Vec<Protection>,
}

/// What is free on nodes that take desktops.
#[derive(Debug, Default)]
pub(crate) struct Free {
    pub(crate) vcpus: u64,
    pub(crate) memory_mib: u64,
    pub(crate) disk_gib: u64,
    /// Whole cards.
    pub(crate) gpus: usize,
    pub(crate) cards: Vec<Cards>,
}

/// Cards of one kind.
#[derive(Debug)]
pub(crate) struct Cards {
    pub(crate) model: String,
    pub(crate) memory_mib: u64,
    pub(crate) cores: u32,
    pub(crate) bandwidth_gb_s: u32,
    pub(crate) is_shared: bool,
    pub(crate) total: usize,
    /// Whole ones.
    pub(crate) free: usize,
}

/// What a person might ask for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) image: ImageId,
    pub(crate) size: SizeId,
    pub(crate) station: Option<StationId>,
    pub(crate) gpu: GpuRequest,
}

/// A wish that may be asked for, with what it comes to.
#[derive(Debug, Clone)]
pub(crate) struct Allowed {
    pub(crate) size: Size,
    pub(crate) gpu: GpuRequest,
}

/// What would come of a wish now.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) gpu: GpuRequest,
    pub(crate) nodes: usize,
    /// `None`: it would start at once.
    pub(crate) wait: Option<Wait>,
    /// How many would wait then.
    pub(crate) queue: usize,
    pub(crate) books: Books,
}

pub(crate) async fn offers(app: &App, actor: &Actor) -> Result<Offers, PortalError> {
    let planned = planning::recent(app).await?;
    let images = app.store.images().await?.into_iter().filter(|image| image.enabled).collect();
    let sizes: Vec<Size> =
        app.store.sizes().await?.into_iter().filter(|size| size.enabled).collect();
    let mut stations = stations::for_actor(app, actor).await?;
    if actor.role < Role::Operator {
        stations.iter_mut().for_each(|station| station.nodes.clear());
    }
    let free = free(&planned.hosts);
    let nodes = planned.hosts.len();
    let rooms = tokio::task::spawn_blocking(move || rooms(&planned, sizes));
    Ok(Offers {
        images,
        sizes: rooms.await.map_err(|_| PortalError::Unplanned)?,
        stations,
        free,
        gpu_additions: placement::settings(app).await?.gpu_additions,
        nodes,
        desktops: desktops::own(app, actor).await?.len(),
        protections: protections(app, actor),
    })
}

/// What would come of a wish now, unless it may not be asked for at all.
pub(crate) async fn check(app: &App, actor: &Actor, wish: &Wish) -> Result<Check, PortalError> {
    let Allowed { size, gpu } = allowed(app, actor, wish).await?;
    let planned = planning::recent(app).await?;
    let job = Job {
        id: DesktopId::fresh(),
        group: group_of(wish.station.as_ref(), actor.user),
        request: Request {
            gpu: gpu.clone(),
            station: wish.station.clone(),
            ..Request::from(&size)
        },
        queued: planned.gathered.now,
        term: term(&size),
    };
    let (nodes, queue) = (planned.hosts.len(), planned.waits.len() + 1);
    let would = tokio::task::spawn_blocking(move || would(planned.gathered.clone(), job));
    let wait = would.await.map_err(|_| PortalError::Unplanned)?;
    Ok(Check { gpu, nodes, wait, queue, books: Books::read(app).await? })
}

/// Whether this may be asked for: offered, possible together, within policy, and not beyond all
/// cards that there are.
pub(crate) async fn allowed(app: &App, actor: &Actor, wish: &Wish) -> Result<Allowed, PortalError> {
    let refused = |field| PortalError::Invalid { field, why: "not offered" };
    let image = app.store.image(&wish.image).await?.filter(|image| image.enabled);
    let image = image.ok_or_else(|| refused("image"))?;
    let size = app.store.size(&wish.size).await?.filter(|size| size.enabled);
    let size = size.ok_or_else(|| refused("size"))?;
    let station = match &wish.station {
        Some(id) => {
            let station = app.store.station(id).await?;
            let may = stations::may_choose(app, actor, id).await?;
            Some(station.filter(|_| may).ok_or_else(|| refused("station"))?)
        }
        None => None,
    };
    wish.gpu.check()?;
    let gpu = demand(&size, &image, station.as_ref(), &wish.gpu)?;
    if wish.gpu != GpuRequest::default() {
        if !placement::settings(app).await?.gpu_additions {
            return Err(PortalError::Invalid {
                field: "gpu",
                why: "nothing may be asked for beyond the size",
            });
        }
        exists(&gpu, &planning::recent(app).await?.hosts)?;
    }
    Ok(Allowed { size, gpu })
}

/// Whether any node has such cards at all, whoever holds them; else the key that is too much.
fn exists(gpu: &GpuRequest, hosts: &[Host]) -> Result<(), PortalError> {
    let count = usize::try_from(gpu.count).unwrap_or(usize::MAX);
    let mut asked = GpuRequest { count: gpu.count, ..GpuRequest::default() };
    let has = |asked: &GpuRequest| hosts.iter().any(|host| most_of_a_model(asked, host) >= count);
    let refuse =
        |key| Err(beamdesk_types::GpuRequestError { key, why: "is more than any node has" }.into());
    if !has(&asked) {
        return refuse("heps:gpu_num");
    }
    asked.models.clone_from(&gpu.models);
    if !has(&asked) {
        return refuse("heps:gpu_model");
    }
    asked.share_milli = gpu.share_milli;
    if !has(&asked) {
        return refuse("heps:gpu_share");
    }
    asked.memory_mib = gpu.memory_mib;
    if !has(&asked) {
        return refuse("heps:gpu_mem_mib");
    }
    asked.cores = gpu.cores;
    if !has(&asked) {
        return refuse("heps:gpu_cores");
    }
    asked.bandwidth_gb_s = gpu.bandwidth_gb_s;
    if has(&asked) { Ok(()) } else { refuse("heps:gpu_bandwidth") }
}

/// Cards of one model of a host that have what is asked, were all of them free.
fn most_of_a_model(gpu: &GpuRequest, host: &Host) -> usize {
    let share = u64::from(gpu.share_milli);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for card in &host.cards {
        let has = (gpu.models.is_empty() || gpu.models.iter().any(|model| **model == *card.model))
            && (gpu.share_milli == WHOLE_CARD || card.is_shared)
            && card.memory_mib.saturating_mul(share)
                >= gpu.memory_mib.saturating_mul(u64::from(WHOLE_CARD))
            && card.cores >= gpu.cores
            && card.bandwidth_gb_s >= gpu.bandwidth_gb_s;
        if has {
            *counts.entry(&card.model).or_default() += 1;
        }
    }
    counts.into_values().max().unwrap_or(0)
}

/// Whether a desktop of each size, asked for now, would start at once.
fn rooms(planned: &planning::Planned, sizes: Vec<Size>) -> Vec<(Size, Result<(), Misfits>)> {
    let gathered = &planned.gathered;
    if gathered.queue.is_empty() && gathered.bookings.is_empty() {
        // Nobody to be kept waiting: then it is enough to look for room.
        let mut cluster = Cluster::new(planned.hosts.clone(), gathered.settings.clone());
        let room = |size: Size| {
            let room = cluster.place(&Request::from(&size));
            (size, room.map(|_| ()).map_err(|no_room| no_room.misfits))
        };
        return sizes.into_iter().map(room).collect();
    }
    let asked: Vec<_> =
        sizes.iter().map(|size| (size.id.clone(), Request::from(size), term(size))).collect();
    let rooms = queue::offers(&gathered.situation(), &asked);
    let mut rooms: HashMap<SizeId, Result<(), Misfits>> = rooms.into_iter().collect();
    let room = |size: Size| {
        let room = rooms.remove(&size.id).unwrap_or_else(|| Err(Misfits::new()));
        (size, room)
    };
    sizes.into_iter().map(room).collect()
}

/// How one more desktop would wait; `None`: it would start at once.
fn would(mut gathered: Gathered, job: Job) -> Option<Wait> {
    let id = job.id;
    gathered.queue.push(job);
    plan(&gathered.situation()).waits.into_iter().find(|wait| wait.id == id)
}

fn free(hosts: &[Host]) -> Free {
    let mut free = Free::default();
    let mut cards: BTreeMap<(&str, u64), Cards> = BTreeMap::new();
    for host in hosts.iter().filter(|host| host.closed.is_none()) {
        free.vcpus += host.cpu_milli.free() / 1000;
        free.memory_mib += host.memory_mib.free();
        free.disk_gib += host.disk_gib.free();
        for card in &host.cards {
            let kind = cards.entry((&card.model, card.memory_mib)).or_insert_with(|| Cards {
                model: card.model.to_string(),
                memory_mib: card.memory_mib,
                cores: card.cores,
                bandwidth_gb_s: card.bandwidth_gb_s,
                is_shared: false,
                total: 0,
                free: 0,
            });
            kind.total += 1;
            kind.is_shared |= card.is_shared;
            if card.is_free() && !host.is_stale {
                kind.free += 1;
                free.gpus += 1;
            }
        }
    }
    free.cards = cards.into_values().collect();
    free
}

/// The nodes as of at most a second ago, as the cloud counts them.
pub(crate) async fn nodes(app: &App) -> Result<Arc<[Node]>, PortalError> {
    // Held over the call, so that a hundred pages make one call and not a hundred.
    let mut cached = app.nodes_cache().pages.lock().await;
    if let Some((at, nodes)) = &*cached
        && at.elapsed() < NODES_FRESH
    {
        return Ok(nodes.clone());
    }
    let (nodes, _) = counted_nodes(app, app.planning().counted()).await?;
    let nodes: Arc<[Node]> = nodes.into();
    *cached = Some((Instant::now(), nodes.clone()));
    Ok(nodes)
}

/// The nodes as the cloud counts them: now or, where that costs it much, a moment ago. `counted` are
/// those whose servers are in the cloud now; the answer says whose are in the count.
pub(crate) async fn counted_nodes(
    app: &App,
    counted: HashSet<DesktopId>,
) -> Result<Count, PortalError> {
    if !app.cloud.seeds() {
        let asked = tokio::time::timeout(NODES_DEADLINE, app.cloud.nodes()).await;
        return Ok((asked.map_err(|_| late())??, counted));
    }
    // Held over the call: who comes meanwhile takes what it brings.
    let mut cached = app.nodes_cache().count.lock().await;
    if let Some((at, count)) = &*cached
        && at.elapsed() < COUNT_FRESH
    {
        return Ok(count.clone());
    }
    let asked = tokio::time::timeout(COUNT_DEADLINE, app.cloud.nodes()).await;
    let count = (asked.map_err(|_| late())??, counted);
    *cached = Some((Instant::now(), count.clone()));
    Ok(count)
}

/// What is free has changed by our own doing.
pub(crate) async fn forget_nodes(app: &App) {
    *app.nodes_cache().pages.lock().await = None;
    app.planning().changed();
}

/// Everybody may know which walls stand; what they are made of is for operators.
pub(crate) fn protections(app: &App, actor: &Actor) -> Vec<Protection> {
    let mut protections = app.cloud.protections();
    if actor.role < Role::Operator {
        for protection in &mut protections {
            protection.detail.clear();
        }
    }
    protections
}

fn late() -> beamdesk_cloud::CloudError {
    beamdesk_cloud::CloudError::unavailable("no answer in time")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use beamdesk_sched::{CardRoom, Host};
    use beamdesk_types::GpuRequest;

    use super::exists;

    fn host(model: &str, cards: usize, is_shared: bool) -> Host {
        let card = |number: usize| CardRoom {
            address: format!("0000:{number:02}:00.0").parse().unwrap(),
            model: Arc::from(model),
            memory_mib: 49_152,
            cores: 10_752,
            bandwidth_gb_s: 768,
            clock_mhz: 1800,
            gflops: 38_700,
            numa_node: None,
            free_milli: 0,
            is_shared,
        };
        let cards = (0..cards).map(card).collect();
        Host { cards, ..Host::new(model.to_ascii_lowercase().parse().unwrap(), 1, 1, 1) }
    }

    #[test]
    fn more_than_any_node_has_is_refused_with_its_key() {
        let hosts = [host("A40", 2, false), host("T4", 4, true)];
        let one = GpuRequest::whole(1, 0);
        let models = vec!["A40".to_owned()];
        for (gpu, key) in [
            (GpuRequest { count: 5, ..one.clone() }, "heps:gpu_num"),
            (GpuRequest { count: 3, models: models.clone(), ..one.clone() }, "heps:gpu_model"),
            (GpuRequest { share_milli: 500, models, ..one.clone() }, "heps:gpu_share"),
            (GpuRequest { memory_mib: 49_153, ..one.clone() }, "heps:gpu_mem_mib"),
            (
                GpuRequest { memory_mib: 24_577, share_milli: 500, ..one.clone() },
                "heps:gpu_mem_mib",
            ),
            (GpuRequest { cores: 10_753, ..one.clone() }, "heps:gpu_cores"),
            (GpuRequest { bandwidth_gb_s: 769, ..one.clone() }, "heps:gpu_bandwidth"),
        ] {
            let refused = exists(&gpu, &hosts).unwrap_err().to_string();
            assert!(refused.starts_with(key), "{refused}");
        }
        assert!(exists(&GpuRequest { count: 4, ..one }, &hosts).is_ok(), "whoever holds them");
    }
}

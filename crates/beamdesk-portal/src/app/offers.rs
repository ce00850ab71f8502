//! What can be had now: images, sizes, and what is free.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use beamdesk_sched::{Misfit, Request, place};
use beamdesk_types::{Actor, Image, Node, Protection, Role, Size};
use tokio::{sync::Mutex, time::Instant};

use crate::{App, PortalError, app::desktops};

/// How long pages may see an old count of what is free; saves the cloud a call per viewer.
const NODES_FRESH: Duration = Duration::from_secs(1);
/// A cloud that takes longer is shown as unavailable.
const NODES_DEADLINE: Duration = Duration::from_secs(5);

/// The nodes as they were a moment ago.
#[derive(Debug, Default)]
pub(crate) struct NodesCache(Mutex<Option<(Instant, Arc<[Node]>)>>);

/// Why a desktop of some size has to wait, and on how many nodes that is the reason.
pub(crate) type Misfits = BTreeMap<Misfit, usize>;

#[derive(Debug)]
pub(crate) struct Offers {
    pub(crate) images: Vec<Image>,
    pub(crate) sizes: Vec<(Size, Result<(), Misfits>)>,
    pub(crate) nodes: Arc<[Node]>,
    pub(crate) desktops: usize,
    pub(crate) protections: Vec<Protection>,
}

pub(crate) async fn offers(app: &App, actor: &Actor) -> Result<Offers, PortalError> {
    let nodes = nodes(app).await?;
    let images = app.store.images().await?.into_iter().filter(|image| image.enabled).collect();
    let mut sizes = Vec::new();
    for size in app.store.sizes().await?.into_iter().filter(|size| size.enabled) {
        let room = room(&size, &nodes);
        sizes.push((size, room));
    }
    let desktops = desktops::own(app, actor).await?.len();
    Ok(Offers { images, sizes, nodes, desktops, protections: protections(app, actor) })
}

/// The nodes as of at most a second ago.
pub(crate) async fn nodes(app: &App) -> Result<Arc<[Node]>, PortalError> {
    // Held over the call, so that a hundred pages make one call and not a hundred.
    let mut cached = app.nodes_cache().0.lock().await;
    if let Some((at, nodes)) = &*cached
        && at.elapsed() < NODES_FRESH
    {
        return Ok(nodes.clone());
    }
    let asked = tokio::time::timeout(NODES_DEADLINE, app.cloud.nodes()).await;
    let nodes: Arc<[Node]> = asked.map_err(|_| late())??.into();
    *cached = Some((Instant::now(), nodes.clone()));
    Ok(nodes)
}

/// What is free has changed by our own doing.
pub(crate) async fn forget_nodes(app: &App) {
    *app.nodes_cache().0.lock().await = None;
}

/// Whether a desktop of this size would find room, and if not, why.
pub(crate) fn room(size: &Size, nodes: &[Node]) -> Result<(), Misfits> {
    let Err(no_room) = place(&Request::from(size), nodes) else { return Ok(()) };
    let mut misfits = Misfits::new();
    for (_, misfit) in no_room.misfits {
        *misfits.entry(misfit).or_default() += 1;
    }
    Err(misfits)
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
    beamdesk_cloud::CloudError::Unavailable {
        retry_after: None,
        source: "no answer in time".into(),
    }
}

//! A desktop as pages see it.

use std::collections::HashMap;

use beamdesk_sched::Misfit;
use beamdesk_types::{
    Actor, Desktop, DesktopId, FailureCode, Goal, Image, ImageId, NodeName, Phase, Role, Size,
    SizeId, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App, PortalError,
    app::{
        offers::{self, Misfits},
        policy::{self, Act},
        users,
    },
};

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct DesktopList {
    pub(super) desktops: Vec<DesktopView>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct DesktopView {
    id: DesktopId,
    name: String,
    owner: Owner,
    image: ImageName,
    size: Size,
    goal: Goal,
    phase: Phase,
    phase_since: Timestamp,
    created: Timestamp,
    /// Which incarnation of its server this is.
    generation: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureView>,
    /// Why it waits for room, while it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<Vec<Waiting>>,
    /// Where it runs; for operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<NodeName>,
    /// How far its start has come, while it is being made.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
    may: May,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
struct Owner {
    id: UserId,
    name: String,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct ImageName {
    id: ImageId,
    name: String,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct FailureView {
    code: FailureCode,
    /// For operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// One reason why there is no room.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Waiting {
    code: MisfitCode,
    /// On how many nodes this is the reason.
    nodes: usize,
}

/// What a node has too little of.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum MisfitCode {
    Disabled,
    Vcpus,
    Memory,
    Disk,
    Gpus,
    GpuMemory,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct Progress {
    /// 1 waits for room, 2 is being made, 3 starts.
    step: u32,
    steps: u32,
}

/// What the one who asks may do to it now.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct May {
    connect: bool,
    start: bool,
    stop: bool,
    restart: bool,
    retry: bool,
    remove: bool,
}

impl From<Misfit> for MisfitCode {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::Disabled => Self::Disabled,
            Misfit::Vcpus => Self::Vcpus,
            Misfit::Memory => Self::Memory,
            Misfit::Disk => Self::Disk,
            Misfit::Gpus => Self::Gpus,
            Misfit::GpuMemory => Self::GpuMemory,
        }
    }
}

pub(super) fn waiting(misfits: Misfits) -> Vec<Waiting> {
    misfits.into_iter().map(|(misfit, nodes)| Waiting { code: misfit.into(), nodes }).collect()
}

/// What `actor` sees of these desktops.
pub(super) async fn views(
    app: &App,
    actor: &Actor,
    desktops: Vec<Desktop>,
) -> Result<Vec<DesktopView>, PortalError> {
    let names = Names::load(app, actor, &desktops).await?;
    let waits = desktops.iter().any(is_waiting);
    // A cloud that does not answer must not keep people from seeing their desktops.
    let nodes = if waits { offers::nodes(app).await.ok() } else { None };
    let mut views = Vec::with_capacity(desktops.len());
    for desktop in desktops {
        let size = names.size(&desktop.size);
        let misfits = match &nodes {
            Some(nodes) if is_waiting(&desktop) => offers::room(&size, nodes).err(),
            Some(_) | None => None,
        };
        views.push(view(actor, desktop, &names, size, misfits.map(waiting)));
    }
    Ok(views)
}

/// What `actor` sees of this desktop.
pub(super) async fn view_of(
    app: &App,
    actor: &Actor,
    desktop: Desktop,
) -> Result<DesktopView, PortalError> {
    views(app, actor, vec![desktop]).await?.pop().ok_or(PortalError::NotFound)
}

fn is_waiting(desktop: &Desktop) -> bool {
    desktop.goal == Goal::Running && desktop.phase == Phase::Pending
}

fn view(
    actor: &Actor,
    desktop: Desktop,
    names: &Names,
    size: Size,
    waiting: Option<Vec<Waiting>>,
) -> DesktopView {
    let operates = actor.role >= Role::Operator;
    let can = |act| policy::may(actor, act, &desktop) && policy::is_possible(act, &desktop);
    let may = May {
        connect: can(Act::Connect),
        start: can(Act::Start),
        stop: can(Act::Stop),
        restart: can(Act::Restart),
        retry: can(Act::Retry),
        remove: can(Act::Remove),
    };
    let failed = desktop.phase == Phase::Failed;
    let failure = desktop.failure.filter(|_| failed);
    DesktopView {
        owner: Owner { id: desktop.owner, name: names.user(desktop.owner) },
        image: ImageName { name: names.image(&desktop.image), id: desktop.image },
        size,
        failure: failure
            .map(|f| FailureView { code: f.code, detail: operates.then_some(f.detail) }),
        waiting,
        node: desktop.node.filter(|_| operates),
        progress: progress(desktop.goal, desktop.phase),
        may,
        id: desktop.id,
        name: desktop.name,
        goal: desktop.goal,
        phase: desktop.phase,
        phase_since: desktop.phase_since,
        created: desktop.created,
        generation: desktop.generation,
    }
}

fn progress(goal: Goal, phase: Phase) -> Option<Progress> {
    if goal != Goal::Running {
        return None;
    }
    let step = match phase {
        Phase::Pending => 1,
        Phase::Building => 2,
        Phase::Booting => 3,
        Phase::Ready
        | Phase::Stopping
        | Phase::Stopped
        | Phase::Failed
        | Phase::Deleting
        | Phase::Deleted => return None,
    };
    Some(Progress { step, steps: 3 })
}

/// What the ids in rows are called.
struct Names {
    users: HashMap<UserId, String>,
    images: HashMap<ImageId, Image>,
    sizes: HashMap<SizeId, Size>,
}

impl Names {
    async fn load(app: &App, actor: &Actor, desktops: &[Desktop]) -> Result<Self, PortalError> {
        let mut users = HashMap::from([(actor.user, actor.name.clone())]);
        let others = desktops.iter().filter(|desktop| desktop.owner != actor.user).count();
        if others == 1 {
            for desktop in desktops {
                if let Some(user) = app.store.user(desktop.owner).await? {
                    users.insert(user.id, user.name);
                }
            }
        } else if others > 1 {
            users.extend(users::all(app).await?.into_iter().map(|user| (user.id, user.name)));
        }
        let images = app.store.images().await?;
        let sizes = app.store.sizes().await?;
        Ok(Self {
            users,
            images: images.into_iter().map(|image| (image.id.clone(), image)).collect(),
            sizes: sizes.into_iter().map(|size| (size.id.clone(), size)).collect(),
        })
    }

    fn user(&self, id: UserId) -> String {
        self.users.get(&id).cloned().unwrap_or_default()
    }

    fn image(&self, id: &ImageId) -> String {
        self.images.get(id).map_or_else(|| id.to_string(), |image| image.name.clone())
    }

    /// One that is gone is shown by its id, with nothing in it.
    fn size(&self, id: &SizeId) -> Size {
        self.sizes.get(id).cloned().unwrap_or_else(|| Size {
            id: id.clone(),
            name: id.to_string(),
            vcpus: 0,
            memory_mib: 0,
            disk_gib: 0,
            gpu: beamdesk_types::GpuRequest::default(),
            enabled: false,
        })
    }
}

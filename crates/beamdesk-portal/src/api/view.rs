//! A desktop as pages see it.

use std::collections::{HashMap, HashSet};

use beamdesk_sched::queue::{Held, Wait};
use beamdesk_store::CloudNote;
use beamdesk_types::{
    Actor, Claim, Desktop, DesktopId, FailureCode, Goal, GpuRequest, ImageId, Misfit, NodeName,
    Phase, Role, Size, SizeId, StationId, Timestamp, UserId,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App, PortalError,
    app::{
        demand::{Books, demand},
        offers::Misfits,
        planning::{self, Planned, is_waiting},
        policy::{self, Act},
        terms::ends_soon,
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
    /// Why it waits for room and how long, while it does and that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<WaitingView>,
    /// The station it serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    station: Option<StationName>,
    /// What it needs of cards: by its size, image, station and owner together.
    gpu: GpuRequest,
    /// When it is stopped, unless it is extended; absent: it runs without end, or not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    ends: Option<Timestamp>,
    /// Its end is near: within half an hour.
    ends_soon: bool,
    /// A card it had is gone from its node: it may have to be restarted.
    card_gone: bool,
    /// What the cloud says of it beside its phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    cloud: Option<CloudWord>,
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

/// A state of its server that the cloud has and we have not, or what keeps the cloud from doing what
/// it is asked.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct CloudWord {
    /// `paused`, `rescued`, `locked`, …; its server is left as it is meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// `cloud_quota`, `cloud_credentials`, `cloud_unavailable` or `cloud_refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
    /// For operators: with the cloud's request.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct FailureView {
    code: FailureCode,
    /// For operators.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
struct StationName {
    id: StationId,
    name: String,
}

/// What one who waits is told.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct WaitingView {
    /// In the queue; 1 is the next to come.
    pub(super) place: usize,
    pub(super) queue_length: usize,
    /// When it starts, if all keep to their terms and nobody comes before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub(super) estimate: Option<Timestamp>,
    /// How many nodes there are.
    pub(super) nodes: usize,
    pub(super) misfits: Vec<MisfitCount>,
    /// There is room, but it is held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<HeldFor>,
    /// Until when it could run if it started now; its term is all that keeps it waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "date-time")]
    pub(super) shorter: Option<Timestamp>,
    /// Sizes that would start now, the most alike first.
    pub(super) nearest: Vec<SizeName>,
    /// No node could take it even when empty.
    pub(super) never: bool,
}

/// One reason why there is no room.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct MisfitCount {
    code: Misfit,
    /// On how many nodes this is the reason.
    nodes: usize,
}

/// For whom room is held.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum HeldFor {
    /// For a station's beam time.
    Reservation,
    /// For somebody who waits longer.
    Earlier,
    /// For itself: the cloud makes only so many at once.
    Pace,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(super) struct SizeName {
    id: SizeId,
    name: String,
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
    extend: bool,
    /// Take another size, while it waits.
    resize: bool,
    remove: bool,
}

pub(super) fn misfit_counts(misfits: &Misfits) -> Vec<MisfitCount> {
    misfits.iter().map(|(&code, &nodes)| MisfitCount { code, nodes }).collect()
}

pub(super) fn waiting(wait: &Wait, queue_length: usize, books: &Books) -> WaitingView {
    let name = |id: &SizeId| {
        let name = books.sizes.get(id).map_or_else(|| id.to_string(), |size| size.name.clone());
        SizeName { id: id.clone(), name }
    };
    WaitingView {
        place: wait.place,
        queue_length,
        estimate: wait.estimate,
        nodes: wait.hosts,
        misfits: misfit_counts(&wait.misfits),
        held: wait.held.map(|held| match held {
            Held::Reservation(_) => HeldFor::Reservation,
            Held::Earlier => HeldFor::Earlier,
            Held::Pace => HeldFor::Pace,
        }),
        shorter: wait.shorter,
        nearest: wait.nearest.iter().map(name).collect(),
        never: wait.never,
    }
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
    let planned = if waits { planning::last(app).await.ok() } else { None };
    let gone = cards_gone(app, &names, &desktops).await?;
    let mut words: HashMap<DesktopId, CloudNote> =
        app.store.cloud_notes().await?.into_iter().collect();
    let now = app.clock.now();
    let mut view = |desktop: Desktop| {
        let planned = planned.as_deref().filter(|_| is_waiting(&desktop));
        let card_gone = gone.contains(&desktop.id);
        let word = words.remove(&desktop.id);
        View { actor, names: &names, planned, now, card_gone, word }.of(desktop)
    };
    Ok(desktops.into_iter().map(&mut view).collect())
}

/// Of these desktops those that hold a card that is gone.
async fn cards_gone(
    app: &App,
    names: &Names,
    desktops: &[Desktop],
) -> Result<HashSet<DesktopId>, PortalError> {
    let has_cards = |desktop: &Desktop| desktop.node.is_some() && names.gpu(desktop).count > 0;
    if !desktops.iter().any(has_cards) {
        return Ok(HashSet::new());
    }
    let gone = planning::cards_gone(app).await?;
    if gone.is_empty() {
        return Ok(HashSet::new());
    }
    let claims = app.store.claims().await?.into_iter().map(|row| row.claim);
    let has_lost = |claim: &Claim| {
        claim.cards.iter().any(|card| gone.contains(&(claim.node.clone(), card.clone())))
    };
    Ok(claims.filter(has_lost).map(|claim| claim.desktop).collect())
}

/// What `actor` sees of this desktop.
pub(super) async fn view_of(
    app: &App,
    actor: &Actor,
    desktop: Desktop,
) -> Result<DesktopView, PortalError> {
    views(app, actor, vec![desktop]).await?.pop().ok_or(PortalError::NotFound)
}

/// What is needed to show a desktop.
struct View<'a> {
    actor: &'a Actor,
    names: &'a Names,
    /// While it waits.
    planned: Option<&'a Planned>,
    now: Timestamp,
    card_gone: bool,
    word: Option<CloudNote>,
}

impl View<'_> {
    fn of(self, desktop: Desktop) -> DesktopView {
        let operates = self.actor.role >= Role::Operator;
        let can =
            |act| policy::may(self.actor, act, &desktop) && policy::is_possible(act, &desktop);
        let may = May {
            connect: can(Act::Connect),
            start: can(Act::Start),
            stop: can(Act::Stop),
            restart: can(Act::Restart),
            retry: can(Act::Retry),
            extend: can(Act::Extend),
            resize: can(Act::Resize),
            remove: can(Act::Remove),
        };
        let names = self.names;
        let waiting = self.planned.and_then(|planned| {
            let wait = planned.waits.get(&desktop.id)?;
            Some(waiting(wait, planned.waits.len(), &names.books))
        });
        let failed = desktop.phase == Phase::Failed;
        DesktopView {
            owner: Owner { id: desktop.owner, name: names.user(desktop.owner) },
            waiting,
            gpu: names.gpu(&desktop),
            ends: desktop.ends,
            ends_soon: ends_soon(&desktop, self.now),
            card_gone: self.card_gone,
            cloud: self.word.map(|word| CloudWord {
                state: word.state,
                trouble: word.trouble,
                detail: Some(word.detail).filter(|text| operates && !text.is_empty()),
            }),
            image: ImageName { name: names.image(&desktop.image), id: desktop.image },
            size: names.size(&desktop.size),
            failure: desktop
                .failure
                .filter(|_| failed)
                .map(|f| FailureView { code: f.code, detail: operates.then_some(f.detail) }),
            station: desktop.station.map(|id| names.station(id)),
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
    books: Books,
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
        Ok(Self { users, books: Books::read(app).await? })
    }

    fn user(&self, id: UserId) -> String {
        self.users.get(&id).cloned().unwrap_or_default()
    }

    fn image(&self, id: &ImageId) -> String {
        self.books.images.get(id).map_or_else(|| id.to_string(), |image| image.name.clone())
    }

    fn station(&self, id: StationId) -> StationName {
        let station = self.books.stations.get(&id);
        StationName { name: station.map_or_else(|| id.to_string(), |s| s.name.clone()), id }
    }

    /// What it needs by all who have a say; of its size alone, where that cannot be had together.
    fn gpu(&self, desktop: &Desktop) -> GpuRequest {
        let size = self.size(&desktop.size);
        let station = desktop.station.as_ref().and_then(|id| self.books.stations.get(id));
        let image = self.books.images.get(&desktop.image);
        let all = image.and_then(|image| demand(&size, image, station, &desktop.gpu).ok());
        all.unwrap_or(size.gpu)
    }

    /// One that is gone is shown by its id, with nothing in it.
    fn size(&self, id: &SizeId) -> Size {
        self.books.sizes.get(id).cloned().unwrap_or_else(|| Size {
            id: id.clone(),
            name: id.to_string(),
            vcpus: 0,
            memory_mib: 0,
            disk_gib: 0,
            gpu: GpuRequest::default(),
            term_hours: 0,
            enabled: false,
        })
    }
}

//! Who starts where and who waits for what: one plan for all desktops together, a moment old at most.
//!
//! [`gather`] reads what there is, `beamdesk_sched` decides, and [`Planning`] keeps the outcome for
//! the placer, which claims what the plan starts, and for pages, which show why others wait.

mod ledger;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use beamdesk_sched::{
    Host, Policy, Request, Settings, Shape,
    queue::{Booking, Job, Plan, Running, Situation, Wait, plan},
};
use beamdesk_types::{
    CardAddress, Claim, Desktop, DesktopId, Goal, NodeName, Phase, Reservation, SizeId, Timestamp,
};
use tokio::{sync::Notify, time::Instant};

use self::ledger::Ledger;
use crate::{
    App, PortalError,
    app::{
        cluster::{Facts, hosts},
        demand::{Books, group},
        notices::Notices,
        offers, pace,
        placement::{self, PlacementSettings},
        srm::is_gone,
    },
};

/// How old a plan may be that pages are shown.
const FRESH: Duration = Duration::from_secs(1);
/// How often what was asked in the last weeks is looked at: it changes slowly.
const EXPECTED_EVERY: Duration = Duration::from_secs(600);
/// How long a node is left alone that failed for a desktop; doubled with each failure in a row.
const SHUN_FIRST: Duration = Duration::from_secs(1);
const SHUN_MAX: Duration = Duration::from_secs(60);
/// How often pages look for cards that are gone; monitors report every ten seconds.
const GONE_EVERY: Duration = Duration::from_secs(3);

/// What the tasks and the pages share of plans.
#[derive(Debug, Default)]
pub(crate) struct Planning {
    /// Held while a plan is made, so that a hundred pages make one.
    last: tokio::sync::Mutex<Option<Arc<Planned>>>,
    ledger: tokio::sync::Mutex<Ledger>,
    rules: Mutex<Option<(Instant, Arc<Rules>)>>,
    expected: Mutex<Option<(Instant, Policy, Vec<Shape>)>>,
    gone: Mutex<Option<(Instant, Arc<CardsGone>)>>,
    is_stale: AtomicBool,
    /// Who was in the queue of the last plan.
    known: Mutex<HashSet<DesktopId>>,
    wake: Notify,
    counted: Mutex<HashSet<DesktopId>>,
    /// Held while a what-if is simulated.
    pub(crate) asking: Arc<tokio::sync::Mutex<()>>,
    notices: Notices,
    shunned: Mutex<HashMap<DesktopId, Vec<Shunned>>>,
}

/// Cards that vanished while desktops held them.
pub(crate) type CardsGone = HashSet<(NodeName, CardAddress)>;

/// What people laid down.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) books: Books,
    reservations: Vec<Reservation>,
    chosen: PlacementSettings,
}

/// A node that failed for a desktop.
#[derive(Debug)]
struct Shunned {
    node: NodeName,
    until: Instant,
    failures: u32,
}

/// A plan, and what it was made of.
#[derive(Debug)]
pub(crate) struct Planned {
    at: Instant,
    /// What is to be claimed, in this order.
    pub(crate) starts: Vec<Claim>,
    /// What those claims are compared with.
    pub(crate) revisions: BTreeMap<NodeName, i64>,
    pub(crate) waits: HashMap<DesktopId, Wait>,
    /// With what starts taken too.
    pub(crate) hosts: Vec<Host>,
    pub(crate) gathered: Gathered,
}

/// All that a plan is made of.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    pub now: Timestamp,
    pub hosts: Vec<Host>,
    pub settings: Settings,
    pub running: Vec<Running>,
    pub bookings: Vec<Booking>,
    pub queue: Vec<Job>,
    pub offers: Vec<(SizeId, Request)>,
    /// Servers that the cloud is making, or is about to be asked for.
    pub making: usize,
}

impl Gathered {
    /// Of hosts and claims, of whom runs and who waits.
    pub fn new(
        facts: &Facts,
        settings: Settings,
        books: &Books,
        desktops: &[Desktop],
        reservations: &[Reservation],
        excluded: &HashMap<DesktopId, Vec<NodeName>>,
    ) -> Self {
        let hosts = hosts(facts);
        let claims: HashMap<DesktopId, &Claim> =
            facts.claims.iter().map(|claim| (claim.desktop, claim)).collect();
        let (mut running, mut queue) = (Vec::new(), Vec::new());
        for desktop in desktops {
            let excluded = excluded.get(&desktop.id).map_or(&[][..], Vec::as_slice);
            match claims.get(&desktop.id) {
                Some(claim) => running.extend(runs(desktop, claim, &hosts, books)),
                None if is_waiting(desktop) => queue.extend(job(desktop, books, excluded)),
                None => {}
            }
        }
        let offers = books.sizes.values().filter(|size| size.enabled);
        Self {
            making: pace::in_the_making(desktops, &facts.claims),
            now: facts.now,
            settings,
            running,
            bookings: reservations.iter().filter_map(|r| booking(r, books)).collect(),
            queue,
            offers: offers.map(|size| (size.id.clone(), Request::from(size))).collect(),
            hosts,
        }
    }

    pub fn situation(&self) -> Situation<'_> {
        Situation {
            now: self.now,
            hosts: self.hosts.clone(),
            settings: self.settings.clone(),
            running: &self.running,
            reservations: &self.bookings,
            queue: &self.queue,
            offers: &self.offers,
        }
    }

    /// What each start of a plan takes.
    pub fn claims(&self, plan: &Plan) -> Vec<Claim> {
        let jobs: HashMap<DesktopId, &Job> = self.queue.iter().map(|job| (job.id, job)).collect();
        let claim = |start: &beamdesk_sched::queue::Start| {
            let host = self.hosts.get(start.placement.host)?;
            let request = &jobs.get(&start.id)?.request;
            let cards = start.placement.cards.iter().map(|&card| host.cards.get(card));
            Some(Claim {
                desktop: start.id,
                node: host.name.clone(),
                vcpus: u32::try_from(request.cpu_milli / 1000).ok()?,
                memory_mib: request.memory_mib,
                disk_gib: request.disk_gib,
                cards: cards
                    .map(|card| card.map(|card| card.address.clone()))
                    .collect::<Option<_>>()?,
                share_milli: request.gpu.share_milli,
            })
        };
        plan.starts.iter().filter_map(claim).collect()
    }
}

/// Whether its server is on, as far as its row tells.
fn is_on(desktop: &Desktop) -> bool {
    match desktop.phase {
        Phase::Building | Phase::Booting | Phase::Ready | Phase::Stopping => true,
        Phase::Pending | Phase::Stopped | Phase::Failed | Phase::Deleting | Phase::Deleted => false,
    }
}

pub(crate) fn is_waiting(desktop: &Desktop) -> bool {
    desktop.goal == Goal::Running && desktop.phase == Phase::Pending
}

fn job(desktop: &Desktop, books: &Books, excluded: &[NodeName]) -> Option<Job> {
    Some(Job {
        id: desktop.id,
        group: group(desktop),
        request: books.request(desktop, excluded)?,
        queued: desktop.queued,
        term: books.term(desktop),
    })
}

/// `None`: its node or card is not there any more.
fn runs(desktop: &Desktop, claim: &Claim, hosts: &[Host], books: &Books) -> Option<Running> {
    let host = hosts.binary_search_by(|host| host.name.cmp(&claim.node)).ok()?;
    let room = &hosts.get(host)?.cards;
    let card = |address: &CardAddress| room.iter().position(|card| card.address == *address);
    let asked = books.request(desktop, &[]).unwrap_or_default();
    let gpu = beamdesk_types::GpuRequest {
        count: u32::try_from(claim.cards.len()).unwrap_or(u32::MAX),
        share_milli: claim.share_milli,
        ..asked.gpu
    };
    Some(Running {
        id: desktop.id,
        group: group(desktop),
        // What it has, whatever its size says by now.
        request: Request {
            cpu_milli: u64::from(claim.vcpus) * 1000,
            memory_mib: claim.memory_mib,
            disk_gib: claim.disk_gib,
            gpu,
            station: desktop.station.clone(),
            only: None,
            excluded: Vec::new(),
        },
        host,
        cards: claim.cards.iter().filter_map(card).collect(),
        ends: desktop.ends,
    })
}

/// `None`: its size is gone.
pub(crate) fn booking(reservation: &Reservation, books: &Books) -> Option<Booking> {
    let size = books.sizes.get(&reservation.size)?;
    let gpu = match books.stations.get(&reservation.station) {
        Some(station) => size.gpu.and(&station.gpu).ok()?,
        None => size.gpu.clone(),
    };
    Some(Booking {
        id: reservation.id,
        station: reservation.station.clone(),
        request: Request { gpu, station: Some(reservation.station.clone()), ..Request::from(size) },
        count: reservation.count,
        from: reservation.from,
        to: reservation.to,
    })
}

impl Planning {
    pub(crate) fn new(notices: Notices) -> Self {
        Self { notices, ..Self::default() }
    }

    /// What was remembered of an earlier leadership: others led since.
    pub(crate) fn forget(&self) {
        lock(&self.counted).clear();
        lock(&self.shunned).clear();
        lock(&self.known).clear();
        self.is_stale.store(true, Ordering::Release);
    }

    /// Something changed that a plan depends on: room came or went, or somebody decided.
    pub(crate) fn changed(&self) {
        self.changed_elsewhere();
        self.notices.plan();
    }

    /// The same, at another portal.
    pub(crate) fn changed_elsewhere(&self) {
        *lock(&self.rules) = None;
        self.is_stale.store(true, Ordering::Release);
        if !lock(&self.known).is_empty() {
            self.wake.notify_one();
        }
    }

    /// A desktop waits for room; `is_new`: since just now.
    pub(crate) fn wants_room(&self, desktop: DesktopId, is_new: bool) {
        if is_new || !lock(&self.known).contains(&desktop) {
            self.is_stale.store(true, Ordering::Release);
            self.wake.notify_one();
        }
    }

    /// Waits until there may be something to place.
    pub(crate) async fn called(&self) {
        self.wake.notified().await;
    }

    /// Whether the driver counts this desktop's server.
    pub(crate) fn counts(&self, desktop: DesktopId, is_counted: bool) {
        let mut counted = lock(&self.counted);
        if is_counted {
            counted.insert(desktop);
        } else {
            counted.remove(&desktop);
        }
    }

    /// Whose servers the driver counts.
    pub(crate) fn counted(&self) -> HashSet<DesktopId> {
        lock(&self.counted).clone()
    }

    /// The node failed for this desktop: not there again for a while.
    pub(crate) fn shun(&self, desktop: DesktopId, node: &NodeName) {
        let mut shunned = lock(&self.shunned);
        let nodes = shunned.entry(desktop).or_default();
        let now = Instant::now();
        match nodes.iter_mut().find(|shunned| shunned.node == *node) {
            Some(known) => {
                known.failures = known.failures.saturating_add(1);
                let doubled = 2_u32.saturating_pow(known.failures.saturating_sub(1).min(8));
                known.until = now + (SHUN_FIRST * doubled).min(SHUN_MAX);
            }
            None => {
                nodes.push(Shunned { node: node.clone(), until: now + SHUN_FIRST, failures: 1 });
            }
        }
        drop(shunned);
        self.is_stale.store(true, Ordering::Release);
    }

    /// It runs, is gone, or its owner decided anew: what failed before counts no more.
    pub(crate) fn forgive(&self, desktop: DesktopId) {
        lock(&self.shunned).remove(&desktop);
    }

    pub(crate) fn is_shunned(&self, desktop: DesktopId, node: &NodeName) -> bool {
        let shunned = lock(&self.shunned);
        let now = Instant::now();
        let nodes = shunned.get(&desktop).map_or(&[][..], Vec::as_slice);
        nodes.iter().any(|shunned| shunned.node == *node && shunned.until > now)
    }

    fn excluded(&self) -> HashMap<DesktopId, Vec<NodeName>> {
        let shunned = lock(&self.shunned);
        let now = Instant::now();
        let still = |nodes: &Vec<Shunned>| -> Vec<NodeName> {
            let nodes = nodes.iter().filter(|shunned| shunned.until > now);
            nodes.map(|shunned| shunned.node.clone()).collect()
        };
        shunned.iter().map(|(desktop, nodes)| (*desktop, still(nodes))).collect()
    }
}

/// The rules as they were a moment ago: each desktop is looked at every few seconds, and hardly
/// ever are they others.
pub(crate) async fn rules(app: &App) -> Result<Arc<Rules>, PortalError> {
    let planning = app.planning();
    if let Some((at, rules)) = &*lock(&planning.rules)
        && at.elapsed() < FRESH
    {
        return Ok(rules.clone());
    }
    let at = Instant::now();
    let rules = Arc::new(Rules {
        books: Books::read(app).await?,
        reservations: app.store.reservations(app.clock.now()).await?,
        chosen: placement::settings(app).await?,
    });
    *lock(&planning.rules) = Some((at, rules.clone()));
    Ok(rules)
}

/// A plan for pages: at most a second old and, unless it is asked for so often, true to the moment.
pub(crate) async fn recent(app: &App) -> Result<Arc<Planned>, PortalError> {
    let planning = app.planning();
    let mut last = planning.last.lock().await;
    if let Some(planned) = &*last
        && planned.at.elapsed() < FRESH
        && !planning.is_stale.load(Ordering::Acquire)
    {
        return Ok(planned.clone());
    }
    let planned = make(app).await?;
    *last = Some(planned.clone());
    Ok(planned)
}

/// The last plan, however old: while somebody waits it is made anew every other second.
pub(crate) async fn last(app: &App) -> Result<Arc<Planned>, PortalError> {
    if let Some(planned) = &*app.planning().last.lock().await
        && planned.at.elapsed() < FRESH
    {
        return Ok(planned.clone());
    }
    recent(app).await
}

/// A plan of this moment, to act on. Says whether people see something new in it.
pub(crate) async fn anew(app: &App) -> Result<(Arc<Planned>, bool), PortalError> {
    let mut last = app.planning().last.lock().await;
    let planned = make(app).await?;
    let before = last.as_ref().map(|last| &last.waits);
    let is_news = before.map_or(!planned.waits.is_empty(), |before| *before != planned.waits);
    *last = Some(planned.clone());
    Ok((planned, is_news))
}

async fn make(app: &App) -> Result<Arc<Planned>, PortalError> {
    let planning = app.planning();
    // Before anything is read: what changes while we read makes the next plan.
    planning.is_stale.store(false, Ordering::Release);
    let at = Instant::now();
    let (gathered, revisions) = match gather(app).await {
        Ok(gathered) => gathered,
        Err(error) => {
            planning.is_stale.store(true, Ordering::Release);
            return Err(error);
        }
    };
    let making_max = app.cloud.builds_max();
    // Not on the threads that serve requests: a large plan takes tens of milliseconds.
    let made = tokio::task::spawn_blocking(move || {
        let mut plan = plan(&gathered.situation());
        pace::pace(&mut plan, gathered.making, making_max, gathered.hosts.len());
        (gathered, plan)
    });
    let (gathered, plan) = made.await.map_err(|_| PortalError::Unplanned)?;
    let mut hosts = gathered.hosts.clone();
    let requests: HashMap<DesktopId, &Request> =
        gathered.queue.iter().map(|job| (job.id, &job.request)).collect();
    for start in &plan.starts {
        if let (Some(host), Some(request)) =
            (hosts.get_mut(start.placement.host), requests.get(&start.id))
        {
            host.take(request, &start.placement.cards);
        }
    }
    *lock(&planning.known) = gathered.queue.iter().map(|job| job.id).collect();
    Ok(Arc::new(Planned {
        at,
        starts: gathered.claims(&plan),
        revisions,
        waits: plan.waits.into_iter().map(|wait| (wait.id, wait)).collect(),
        hosts,
        gathered,
    }))
}

/// Reads what a plan is made of, and what claims are to be compared with.
pub(crate) async fn gather(app: &App) -> Result<(Gathered, BTreeMap<NodeName, i64>), PortalError> {
    let planning = app.planning();
    let now = app.clock.now();
    let (records, claims, desktops, revisions) = {
        let mut ledger = planning.ledger.lock().await;
        ledger.refresh(&app.store).await?;
        (ledger.records(), ledger.claims(), ledger.desktops(), ledger.revisions())
    };
    // Before the driver's count: who comes in between is counted twice, not never.
    let counted = if app.leads() {
        lock(&planning.counted).clone()
    } else {
        // Whom another portal's tasks have counted.
        desktops.iter().filter(|desktop| is_on(desktop)).map(|desktop| desktop.id).collect()
    };
    let (nodes, counted) = offers::counted_nodes(app, counted).await?;
    let rules = rules(app).await?;
    let Rules { books, reservations, chosen } = &*rules;
    let mut settings = chosen.settings()?;
    settings.workload = expected(app, books, settings.policy).await?;
    let stations = books.stations.values().cloned().collect();
    let facts = Facts { now, nodes, records, claims, counted, stations };
    let excluded = planning.excluded();
    let gathered = Gathered::new(&facts, settings, books, &desktops, reservations, &excluded);
    Ok((gathered, revisions))
}

/// The workload as this policy wants it, read again every ten minutes.
async fn expected(app: &App, books: &Books, policy: Policy) -> Result<Vec<Shape>, PortalError> {
    if let Some((at, asker, shapes)) = &*lock(&app.planning().expected)
        && at.elapsed() < EXPECTED_EVERY
        && *asker == policy
    {
        return Ok(shapes.clone());
    }
    let shapes = placement::expected(app, &books.sizes, policy).await?;
    *lock(&app.planning().expected) = Some((Instant::now(), policy, shapes.clone()));
    Ok(shapes)
}

/// Cards that vanished while desktops held them, as of a few seconds ago.
pub(crate) async fn cards_gone(app: &App) -> Result<Arc<CardsGone>, PortalError> {
    if let Some((at, gone)) = &*lock(&app.planning().gone)
        && at.elapsed() < GONE_EVERY
    {
        return Ok(gone.clone());
    }
    let mut gone = CardsGone::new();
    for record in app.store.node_records().await? {
        let cards = record.cards.iter().filter(|card| is_gone(card));
        gone.extend(cards.map(|card| (record.name.clone(), card.address.clone())));
    }
    let gone = Arc::new(gone);
    *lock(&app.planning().gone) = Some((Instant::now(), gone.clone()));
    Ok(gone)
}

/// A panic elsewhere while it was held is that task's failure, not ours.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! One look at one desktop: look, step, store, act, until there is nothing to do at once.

use std::time::Duration;

use beamdesk_cloud::{CloudError, PowerState, RequestId, Server};
use beamdesk_store::CloudNote;
use beamdesk_types::{Claim, Desktop, DesktopId, Goal, Phase, SessionState};
use jiff::SignedDuration;
use tracing::{debug, info, warn};

use crate::{
    App, PortalError,
    app::{
        demand::{Books, demand, term},
        offers::forget_nodes,
        planning::{self, is_waiting},
    },
    tasks::{
        lifecycle::{Action, AgentSeen, Seen, Step, Trouble, step},
        memory::Memory,
        perform::{Offer, perform},
    },
};

/// From a request to a booting server takes four; more in one go is a quarrel with another writer.
const STEPS_MAX: usize = 12;
const FIND_DEADLINE: Duration = Duration::from_secs(30);
/// How often a phase that ends soon is looked at: a person waits.
const SOON: Duration = Duration::from_millis(100);
/// How often a phase that takes long is looked at.
const SELDOM: Duration = Duration::from_secs(5);
/// A ready desktop whose agent missed an answer.
const PROBE_AGAIN: Duration = Duration::from_secs(1);
/// Nothing is expected to happen to a stopped or failed desktop.
const AT_REST: Duration = Duration::from_secs(30);
/// A cloud elsewhere may go on for so long with a request whose sender died: its own deadlines for
/// one call are shorter.
const LATE_BIRTH: SignedDuration = SignedDuration::from_secs(20);

/// When to look again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Again(Duration),
    /// It is deleted; never again.
    Gone,
}

/// Its logs carry the desktop's id by their span, `reconcile`.
pub(crate) async fn pass(
    app: &App,
    id: DesktopId,
    memory: &mut Memory,
) -> Result<Outcome, PortalError> {
    let outcome = steps(app, id, memory).await;
    if let Err(PortalError::Cloud(error)) = &outcome {
        memory.missed(error);
    }
    let note =
        if matches!(outcome, Ok(Outcome::Gone)) { CloudNote::default() } else { memory.note() };
    tell(app, id, memory, note).await?;
    outcome
}

/// Keeps for pages what the cloud says of it, where that is new.
async fn tell(
    app: &App,
    id: DesktopId,
    memory: &mut Memory,
    note: CloudNote,
) -> Result<(), PortalError> {
    let noted = match memory.noted.take() {
        Some(noted) => noted,
        None => app.store.cloud_note(id).await?.unwrap_or_default(),
    };
    if noted != note {
        app.store.put_cloud_note(id, &note).await?;
        app.events().changed();
    }
    memory.noted = Some(note);
    Ok(())
}

async fn steps(app: &App, id: DesktopId, memory: &mut Memory) -> Result<Outcome, PortalError> {
    for _ in 0..STEPS_MAX {
        let Some(desktop) = app.store.desktop(id).await? else {
            return Ok(Outcome::Gone);
        };
        let look = look(app, &desktop, memory).await?;
        if desktop.phase == Phase::Deleted {
            release(app, look.claim.as_ref()).await?;
            return Ok(Outcome::Gone);
        }
        let trouble = memory.trouble.take();
        let seen = Seen {
            server: look.server.as_ref(),
            agent: look.agent,
            claim: look.claim.as_ref(),
            shunned: look.shunned,
            term: look.offer.as_ref().and_then(|offer| term(&offer.size)),
            trouble: trouble.as_ref(),
            offered: look.offer.is_some(),
            first_look: memory.first_look,
            late_birth: late_birth(app),
        };
        let Step { desktop: next, action, frees } = step(&desktop, &seen, app.clock.now());
        if frees && next.phase == Phase::Deleted {
            // Before: nobody looks at it again once it is deleted.
            release(app, look.claim.as_ref()).await?;
        }
        let Some(next) = save(app, &desktop, next).await? else {
            memory.trouble = trouble; // Not heard yet.
            continue;
        };
        memory.first_look = false;
        if next.attempts > desktop.attempts
            && let Some(node) = &desktop.node
        {
            app.planning().shun(id, node);
        }
        if frees {
            release(app, look.claim.as_ref()).await?;
        }
        let is_new = frees || next.phase != desktop.phase;
        if is_waiting(&next) && (frees || look.claim.is_none()) {
            app.planning().wants_room(id, is_new);
        }
        let acted = match action {
            Some(action) if !memory.is_repeat(&action) || next.phase != desktop.phase => {
                // From here to the cloud's own logs.
                let request = RequestId::fresh();
                info!(cloud.request = %request, ?action, "Asking the cloud");
                let (offer, claim) = (look.offer.as_ref(), look.claim.as_ref());
                let asked = perform(app, &next, offer, claim, &action);
                let outcome = request.clone().scope(asked).await;
                if let Err(trouble) = &outcome {
                    warn!(cloud.request = %request, ?action, ?trouble, "The cloud did not do it");
                    shun(app, &next, &action, trouble);
                }
                memory.acted(action, outcome);
                // Others may wait for the room this took or gave back.
                forget_nodes(app).await;
                app.events().changed();
                true
            }
            Some(_) | None => false,
        };
        // What nobody knew the outcome of, and is there, was no trouble.
        let resolved = matches!(trouble, Some(Trouble::Unknown(_))) && look.server.is_some();
        if trouble.is_some() && !resolved {
            return Ok(Outcome::Again(memory.backoff()));
        }
        if !acted && next.phase == desktop.phase {
            memory.calmed();
            return Ok(Outcome::Again(wait(app, &next, look.server.is_some(), memory)));
        }
    }
    Ok(Outcome::Again(SOON))
}

/// What is found out before a step.
struct Look {
    server: Option<Server>,
    agent: AgentSeen,
    offer: Option<Offer>,
    claim: Option<Claim>,
    shunned: bool,
}

async fn look(app: &App, desktop: &Desktop, memory: &mut Memory) -> Result<Look, PortalError> {
    let found = tokio::time::timeout(FIND_DEADLINE, app.cloud.find(desktop.id)).await;
    let late = "the server was not found out about in time";
    let server = found.map_err(|_| CloudError::unavailable(late))??;
    memory.saw(server.as_ref().and_then(|server| server.note.as_ref()));
    let is_on = server.as_ref().is_some_and(|server| server.state != PowerState::Off);
    app.planning().counts(desktop.id, is_on);
    let agent = match &server {
        Some(server) if server.state == PowerState::Active => {
            probe(app, desktop, server, memory).await
        }
        Some(_) | None => AgentSeen::Unsure,
    };
    let offer = offer(app, desktop).await?;
    let claim = app.store.desktop_claim(desktop.id).await?.map(|row| row.claim);
    let claim = match (claim, &server, &offer) {
        (None, Some(server), Some(offer)) if desktop.goal == Goal::Running => {
            adopt(app, desktop, server, offer).await?
        }
        (claim, ..) => claim,
    };
    let no_use = |claim: &Claim| {
        let is_other = offer.as_ref().is_some_and(|offer| !is_for(claim, offer));
        app.planning().is_shunned(desktop.id, &claim.node) || is_other
    };
    let shunned = claim.as_ref().is_some_and(no_use);
    Ok(Look { server, agent, offer, claim, shunned })
}

/// Whether a claim is what the desktop asks for now: its size may have changed while it waited.
fn is_for(claim: &Claim, offer: &Offer) -> bool {
    let cards = usize::try_from(offer.gpu.count).unwrap_or(usize::MAX);
    (claim.vcpus, claim.memory_mib, claim.disk_gib)
        == (offer.size.vcpus, offer.size.memory_mib, offer.size.disk_gib)
        && claim.cards.len() == cards
        && (cards == 0 || claim.share_milli == offer.gpu.share_milli)
}

/// `None`: its image or size is gone, or what they and others ask cannot be had together any more.
async fn offer(app: &App, desktop: &Desktop) -> Result<Option<Offer>, PortalError> {
    match offered(&planning::rules(app).await?.books, desktop) {
        Some(offer) => Ok(Some(offer)),
        // Perhaps only since a moment ago: nobody is refused for that.
        None => Ok(offered(&Books::read(app).await?, desktop)),
    }
}

fn offered(books: &Books, desktop: &Desktop) -> Option<Offer> {
    let (image, size) = (books.images.get(&desktop.image)?, books.sizes.get(&desktop.size)?);
    let station = desktop.station.as_ref().and_then(|station| books.stations.get(station));
    let gpu = demand(size, image, station, &desktop.gpu).ok()?;
    Some(Offer { image: image.clone(), size: size.clone(), gpu })
}

/// A server that runs without a claim: begun by a portal of an earlier version, or the database is
/// restored from a backup. What it has is its own.
async fn adopt(
    app: &App,
    desktop: &Desktop,
    server: &Server,
    offer: &Offer,
) -> Result<Option<Claim>, PortalError> {
    match server.state {
        PowerState::Active | PowerState::Building => {}
        PowerState::Off | PowerState::Error(_) | PowerState::Deleting => return Ok(None),
    }
    let claim = Claim {
        desktop: desktop.id,
        node: server.node.clone(),
        vcpus: offer.size.vcpus,
        memory_mib: offer.size.memory_mib,
        disk_gib: offer.size.disk_gib,
        cards: server.cards.clone(),
        share_milli: offer.gpu.share_milli,
    };
    let record = app.store.node_record(&server.node).await?;
    let revision = record.map_or(0, |record| record.claims_revision);
    let claimed = app.store.claim(&claim, revision, app.clock.now()).await?;
    if claimed {
        info!(node.name = %claim.node, "Took over a server that had no claim");
    }
    Ok(claimed.then_some(claim))
}

/// How long after a request its server may appear that nobody has seen.
fn late_birth(app: &App) -> SignedDuration {
    // Drivers on this machine end with the process, and their requests with them.
    if app.cloud.seeds() { LATE_BIRTH } else { SignedDuration::ZERO }
}

/// Gives back what the desktop had taken.
async fn release(app: &App, claim: Option<&Claim>) -> Result<(), PortalError> {
    let Some(claim) = claim else { return Ok(()) };
    if app.store.release_claim(claim.desktop).await? {
        debug!(node.name = %claim.node, "Gave back its room");
        app.planning().changed();
        app.events().changed();
    }
    Ok(())
}

/// A node that cannot make or start it is left alone for a while.
fn shun(app: &App, desktop: &Desktop, action: &Action, trouble: &Trouble) {
    let is_start = matches!(action, Action::Create | Action::PowerOn(_));
    let is_node = match trouble {
        Trouble::NoCapacity | Trouble::Refused(_) => true,
        Trouble::DiskFull
        | Trouble::Unknown(_)
        | Trouble::Blocked { .. }
        | Trouble::Impossible { .. } => false,
    };
    if is_start
        && is_node
        && let Some(node) = &desktop.node
    {
        app.planning().shun(desktop.id, node);
    }
}

async fn probe(app: &App, desktop: &Desktop, server: &Server, memory: &mut Memory) -> AgentSeen {
    let Some(address) = &server.address else { return AgentSeen::Unsure };
    if desktop.goal != Goal::Running || desktop.restart {
        return AgentSeen::Unsure; // It is on its way out.
    }
    match app.probe.status(desktop.id, server.generation, address).await {
        Ok(status) => memory.probed(status.session == SessionState::Up),
        Err(error) => {
            debug!(%error, "The agent did not answer");
            memory.probed(false)
        }
    }
}

/// `None`: somebody else wrote first.
async fn save(app: &App, before: &Desktop, after: Desktop) -> Result<Option<Desktop>, PortalError> {
    if after == *before {
        return Ok(Some(after));
    }
    if !app.store.save_desktop(&after).await? {
        return Ok(None);
    }
    if after.phase != before.phase {
        forget_nodes(app).await;
        if after.phase == Phase::Ready {
            app.planning().forgive(after.id);
        }
        let cause = after.failure.as_ref().filter(|_| after.phase == Phase::Failed);
        info!(
            from = before.phase.as_str(),
            to = after.phase.as_str(),
            generation = after.generation,
            node.name = after.node.as_ref().map(|n| n.as_str()),
            cause = cause.map(|cause| cause.detail.as_str()),
            "Desktop moved"
        );
    }
    app.events().changed();
    Ok(Some(Desktop { revision: after.revision + 1, ..after }))
}

fn wait(app: &App, desktop: &Desktop, has_server: bool, memory: &Memory) -> Duration {
    let age = app.clock.now().duration_since(desktop.phase_since);
    // A phase that takes long already may as well take a tenth longer.
    let soon = Duration::try_from(age / 10).unwrap_or(SOON).clamp(SOON, SELDOM);
    match desktop.phase {
        // Its old server is on its way out; else who gives it room tells us.
        Phase::Pending if !has_server => SELDOM,
        Phase::Pending | Phase::Building | Phase::Booting | Phase::Stopping | Phase::Deleting => {
            soon
        }
        Phase::Ready if memory.is_probe_missed() => PROBE_AGAIN,
        Phase::Ready => SELDOM,
        Phase::Failed | Phase::Stopped | Phase::Deleted => AT_REST,
    }
}

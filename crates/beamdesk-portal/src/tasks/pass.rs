//! One look at one desktop: look, step, store, act, until there is nothing to do at once.

use std::time::Duration;

use beamdesk_cloud::{CloudError, PowerState, Server};
use beamdesk_sched::Request;
use beamdesk_types::{Desktop, DesktopId, Goal, Phase, SessionState};
use tracing::{debug, info, warn};

use crate::{
    App, PortalError,
    app::offers::forget_nodes,
    tasks::{
        lifecycle::{AgentSeen, Seen, Step, Trouble, step},
        memory::Memory,
        perform::{Offer, perform},
        room::Room,
    },
};

/// From a request to a booting server takes four; more in one go is a quarrel with another writer.
const STEPS_MAX: usize = 12;
const FIND_DEADLINE: Duration = Duration::from_secs(30);
/// How often a phase that ends soon is looked at: a person waits.
const SOON: Duration = Duration::from_millis(100);
/// How often a phase that takes long is looked at.
const SELDOM: Duration = Duration::from_secs(5);
/// Room comes when others go.
const ROOM_AGAIN: Duration = Duration::from_secs(2);
/// A ready desktop whose agent missed an answer.
const PROBE_AGAIN: Duration = Duration::from_secs(1);
/// Nothing is expected to happen to a stopped or failed desktop.
const AT_REST: Duration = Duration::from_secs(30);

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
    room: &Room,
    id: DesktopId,
    memory: &mut Memory,
) -> Result<Outcome, PortalError> {
    for _ in 0..STEPS_MAX {
        let Some(desktop) = app.store.desktop(id).await? else {
            return Ok(Outcome::Gone);
        };
        if desktop.phase == Phase::Deleted {
            room.release(id).await;
            return Ok(Outcome::Gone);
        }
        let look = look(app, room, &desktop, memory).await?;
        let trouble = memory.trouble.take();
        let seen = Seen {
            server: look.server.as_ref(),
            agent: look.agent,
            room: look.room,
            trouble: trouble.as_ref(),
            offered: look.offer.is_some(),
            first_look: memory.first_look,
        };
        let Step { desktop: next, action } = step(&desktop, &seen, app.clock.now());
        let Some(next) = save(app, &desktop, next).await? else {
            memory.trouble = trouble; // Not heard yet.
            continue;
        };
        memory.first_look = false;
        if next.phase != Phase::Building || look.server.is_some() {
            room.release(id).await;
        }
        let acted = match action {
            Some(action) if !memory.is_repeat(&action) || next.phase != desktop.phase => {
                debug!(?action, "Asking the cloud");
                let outcome = perform(app, &next, look.offer.as_ref(), &action).await;
                if let Err(trouble) = &outcome {
                    warn!(?action, ?trouble, "The cloud did not do it");
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
            return Ok(Outcome::Again(wait(app, &next, memory)));
        }
    }
    Ok(Outcome::Again(SOON))
}

/// What is found out before a step.
struct Look {
    server: Option<Server>,
    agent: AgentSeen,
    room: Option<beamdesk_types::NodeName>,
    offer: Option<Offer>,
}

async fn look(
    app: &App,
    room: &Room,
    desktop: &Desktop,
    memory: &mut Memory,
) -> Result<Look, PortalError> {
    let found = tokio::time::timeout(FIND_DEADLINE, app.cloud.find(desktop.id)).await;
    let server = found.map_err(|_| CloudError::Unavailable {
        retry_after: None,
        source: "the server was not found out about in time".into(),
    })??;
    let agent = match &server {
        Some(server) if server.state == PowerState::Active => {
            probe(app, desktop, server, memory).await
        }
        Some(_) | None => AgentSeen::Unsure,
    };
    let offer = match (app.store.image(&desktop.image).await?, app.store.size(&desktop.size).await?)
    {
        (Some(image), Some(size)) => Some(Offer { image, size }),
        (Some(_) | None, _) => None,
    };
    let mut place = None;
    if let Some(offer) = &offer
        && server.is_none()
        && desktop.goal == Goal::Running
    {
        let request = Request::from(&offer.size);
        match (desktop.phase, &desktop.node) {
            // Under way already: it has its place.
            (Phase::Building, Some(node)) => room.keep(desktop.id, node.clone(), request).await,
            // Not until a person decided.
            (Phase::Failed, _) if desktop.failure.is_some() => {}
            _ => place = room.place(app.cloud.as_ref(), desktop.id, &request).await?,
        }
    }
    Ok(Look { server, agent, room: place, offer })
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

fn wait(app: &App, desktop: &Desktop, memory: &Memory) -> Duration {
    let age = app.clock.now().duration_since(desktop.phase_since);
    // A phase that takes long already may as well take a tenth longer.
    let soon = Duration::try_from(age / 10).unwrap_or(SOON).clamp(SOON, SELDOM);
    match desktop.phase {
        Phase::Pending => ROOM_AGAIN,
        Phase::Building | Phase::Booting | Phase::Stopping | Phase::Deleting => soon,
        Phase::Ready if memory.is_probe_missed() => PROBE_AGAIN,
        Phase::Ready => SELDOM,
        Phase::Failed | Phase::Stopped | Phase::Deleted => AT_REST,
    }
}

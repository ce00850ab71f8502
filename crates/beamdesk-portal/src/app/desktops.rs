//! What people do to desktops: they set goals, the reconciler does the rest.

use beamdesk_types::{Actor, Desktop, DesktopId, FailureCode, Goal, Phase, SizeId};

use crate::{
    App, PortalError,
    app::{
        audit,
        offers::{Wish, allowed},
        policy::{self, Act},
    },
};

/// Longer names do not fit a card.
const NAME_CHARS_MAX: usize = 64;
/// Writers of one row are its owner and the reconciler; more conflicts in a row are no chance.
const SAVE_TRIES_MAX: usize = 8;
/// Rows of one page of the database.
const PAGE_ROWS: u32 = 500;

/// What a person asks for.
#[derive(Debug, Clone)]
pub(crate) struct NewDesktop {
    pub(crate) name: String,
    pub(crate) wish: Wish,
}

/// A desktop this person may see.
pub(crate) async fn one(app: &App, actor: &Actor, id: DesktopId) -> Result<Desktop, PortalError> {
    let desktop = app.store.desktop(id).await?.ok_or(PortalError::NotFound)?;
    policy::require(actor, Act::See, &desktop)?;
    Ok(desktop)
}

/// A person's own desktops, oldest first.
pub(crate) async fn own(app: &App, actor: &Actor) -> Result<Vec<Desktop>, PortalError> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map(|desktop: &Desktop| desktop.id);
        let page = app.store.desktops_of(actor.user, after, PAGE_ROWS).await?;
        let is_last = page.len() < usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

/// Everybody's, for operators.
pub(crate) async fn all(app: &App) -> Result<Vec<Desktop>, PortalError> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map(|desktop: &Desktop| desktop.id);
        let page = app.store.desktops(after, PAGE_ROWS).await?;
        let is_last = page.len() < usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

pub(crate) async fn create(
    app: &App,
    actor: &Actor,
    wanted: NewDesktop,
) -> Result<Desktop, PortalError> {
    let name = checked_name(&wanted.name)?;
    let wish = wanted.wish;
    allowed(app, actor, &wish).await?;
    let now = app.clock.now();
    let desktop = Desktop {
        id: DesktopId::fresh(),
        owner: actor.user,
        name,
        image: wish.image,
        size: wish.size,
        goal: Goal::Running,
        phase: Phase::Pending,
        generation: 0,
        revision: 0,
        attempts: 0,
        phase_since: now,
        node: None,
        address: None,
        failure: None,
        restart: false,
        created: now,
        gpu: wish.gpu,
        station: wish.station,
        queued: now,
        ends: None,
    };
    app.store.add_desktop(&desktop, app.config.desktops_max).await?;
    app.events().want(desktop.id);
    audit::note(app, actor, "desktop_created", audit::desktop(desktop.id), &desktop.name).await?;
    Ok(desktop)
}

pub(crate) async fn rename(
    app: &App,
    actor: &Actor,
    id: DesktopId,
    name: &str,
) -> Result<Desktop, PortalError> {
    let name = checked_name(name)?;
    let change = |desktop: &mut Desktop| desktop.name.clone_from(&name);
    let desktop = changed(app, actor, id, Act::Rename, change).await?;
    audit::note(app, actor, "desktop_renamed", audit::desktop(id), &name).await?;
    Ok(desktop)
}

/// Takes another size, while it waits for room: it keeps its place in the queue.
pub(crate) async fn resize(
    app: &App,
    actor: &Actor,
    id: DesktopId,
    size: SizeId,
) -> Result<Desktop, PortalError> {
    let desktop = one(app, actor, id).await?;
    let (image, gpu, station) = (desktop.image, desktop.gpu, desktop.station);
    allowed(app, actor, &Wish { image, size: size.clone(), station, gpu }).await?;
    let change = |desktop: &mut Desktop| desktop.size.clone_from(&size);
    let desktop = changed(app, actor, id, Act::Resize, change).await?;
    app.planning().changed();
    audit::note(app, actor, "desktop_resized", audit::desktop(id), size.to_string()).await?;
    Ok(desktop)
}

/// Sets a goal, or asks for a restart or another try.
pub(crate) async fn order(
    app: &App,
    actor: &Actor,
    id: DesktopId,
    act: Act,
) -> Result<Desktop, PortalError> {
    let desktop = changed(app, actor, id, act, |desktop| set(desktop, act)).await?;
    if let Some(action) = audit_word(act) {
        audit::note(app, actor, action, audit::desktop(id), &desktop.name).await?;
    }
    Ok(desktop)
}

fn set(desktop: &mut Desktop, act: Act) {
    match act {
        Act::See | Act::Connect | Act::Rename | Act::Extend | Act::Resize => return,
        Act::Start => desktop.goal = Goal::Running,
        Act::Stop => desktop.goal = Goal::Stopped,
        Act::Restart => desktop.restart = true,
        Act::Retry => {
            let cause = desktop.failure.as_ref().map(|failure| failure.code);
            // A server whose agent is silent will stay so unless it is started anew.
            desktop.restart = cause == Some(FailureCode::AgentSilent);
        }
        Act::Remove => desktop.goal = Goal::Deleted,
    }
    // A failure that is taken away is the sign to the reconciler that a person decided.
    desktop.attempts = 0;
    desktop.failure = None;
}

fn audit_word(act: Act) -> Option<&'static str> {
    match act {
        Act::See | Act::Connect | Act::Rename | Act::Extend | Act::Resize => None,
        Act::Start => Some("desktop_started"),
        Act::Stop => Some("desktop_stopped"),
        Act::Restart => Some("desktop_restarted"),
        Act::Retry => Some("desktop_retried"),
        Act::Remove => Some("desktop_removed"),
    }
}

/// Changes a row by compare-and-swap, judging it anew each time.
async fn changed(
    app: &App,
    actor: &Actor,
    id: DesktopId,
    act: Act,
    change: impl Fn(&mut Desktop),
) -> Result<Desktop, PortalError> {
    for _ in 0..SAVE_TRIES_MAX {
        let before = app.store.desktop(id).await?.ok_or(PortalError::NotFound)?;
        policy::require(actor, act, &before)?;
        if is_done(act, &before) {
            return Ok(before);
        }
        if !policy::is_possible(act, &before) {
            return Err(PortalError::NotNow);
        }
        let mut after = before;
        change(&mut after);
        if app.store.save_desktop(&after).await? {
            after.revision += 1;
            app.events().want(id);
            return Ok(after);
        }
    }
    Err(PortalError::Contended)
}

/// Asking twice is no mistake: the second request finds what it wants.
fn is_done(act: Act, desktop: &Desktop) -> bool {
    match act {
        Act::Start => desktop.goal == Goal::Running,
        Act::Stop => desktop.goal == Goal::Stopped,
        Act::Remove => desktop.goal == Goal::Deleted,
        Act::Restart => desktop.restart && desktop.goal == Goal::Running,
        Act::See | Act::Connect | Act::Rename | Act::Retry | Act::Extend | Act::Resize => false,
    }
}

fn checked_name(name: &str) -> Result<String, PortalError> {
    let name = name.trim();
    let invalid = |why| PortalError::Invalid { field: "name", why };
    if name.is_empty() {
        return Err(invalid("must not be empty"));
    }
    if name.chars().count() > NAME_CHARS_MAX {
        return Err(invalid("has at most 64 characters"));
    }
    if name.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err(invalid("has no control characters"));
    }
    Ok(name.to_owned())
}

/// Characters that turn or hide text around them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

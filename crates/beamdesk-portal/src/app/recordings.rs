//! Recordings: who may see which, and what is done about them.

use beamdesk_auth::Ticket;
use beamdesk_store::RecordingRow;
use beamdesk_types::{Actor, RecordingId, RecordingPolicy, RecordingUse, Role};

use crate::{App, PortalError, app::audit};

/// Rows of one page of the list.
pub(crate) const PAGE_ROWS: u32 = 100;

/// One's own, or everybody's, newest first.
pub(crate) async fn list(
    app: &App,
    actor: &Actor,
    all: bool,
    before: Option<RecordingId>,
    limit: u32,
) -> Result<Vec<RecordingRow>, PortalError> {
    if all && actor.role < Role::Administrator {
        return Err(PortalError::Forbidden);
    }
    let of = if all { None } else { Some(actor.user) };
    Ok(app.store.recordings(of, before, limit).await?)
}

/// A recording that this person may play. As if it were not there, when it may not.
pub(crate) async fn one(
    app: &App,
    actor: &Actor,
    id: RecordingId,
) -> Result<RecordingRow, PortalError> {
    let recording = app.store.recording(id).await?.ok_or(PortalError::NotFound)?;
    let may = recording.user == actor.user || actor.role == Role::Administrator;
    if may { Ok(recording) } else { Err(PortalError::NotFound) }
}

/// What the policy asked for, only those may remove who set the policy.
pub(crate) fn may_remove(actor: &Actor, recording: &RecordingRow) -> bool {
    actor.role == Role::Administrator || (recording.user == actor.user && !recording.required)
}

/// With the origin of the gateway it is for. Each use is noted when the ticket is redeemed.
pub(crate) async fn ticket(
    app: &App,
    actor: &Actor,
    id: RecordingId,
    purpose: RecordingUse,
    portal_origin: Option<&str>,
    bind: &str,
) -> Result<(Ticket, String), PortalError> {
    let recording = one(app, actor, id).await?;
    let place = app.config.place_of(&recording.gateway, portal_origin);
    // Another gateway has the file, and this portal does not know where that one is.
    let place = place.ok_or(PortalError::NotHere)?.to_owned();
    let issued = app.auth.issue_play_ticket(actor, id, purpose, &recording.gateway, bind).await;
    Ok((issued?, place))
}

pub(crate) async fn remove(app: &App, actor: &Actor, id: RecordingId) -> Result<(), PortalError> {
    let recording = one(app, actor, id).await?;
    if !may_remove(actor, &recording) {
        return Err(PortalError::Forbidden);
    }
    if !app.store.remove_recording(id).await? {
        return Err(PortalError::NotFound);
    }
    let detail = format!("desktop {}", recording.desktop_name);
    audit::note(app, actor, "recording_removed", format!("recording:{id}"), detail).await
}

pub(crate) async fn set_policy(
    app: &App,
    actor: &Actor,
    policy: RecordingPolicy,
) -> Result<(), PortalError> {
    app.store.put_recording_policy(policy).await?;
    let subject = "recording_policy".to_owned();
    audit::note(app, actor, "recording_policy_changed", subject, policy.as_str()).await
}

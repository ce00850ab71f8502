//! Notes who did what to whom.

use beamdesk_store::AuditEvent;
use beamdesk_types::{Actor, DesktopId, NodeName, UserId};

use crate::{App, PortalError};

/// Adds an event. The act itself is refused when it cannot be noted.
pub(crate) async fn note(
    app: &App,
    actor: &Actor,
    action: &str,
    subject: String,
    detail: impl Into<String>,
) -> Result<(), PortalError> {
    let event = AuditEvent {
        at: app.clock.now(),
        actor: actor.name.clone(),
        action: action.to_owned(),
        subject,
        detail: detail.into(),
    };
    Ok(app.store.audit(&event).await?)
}

pub(crate) fn desktop(id: DesktopId) -> String {
    format!("desktop:{id}")
}

pub(crate) fn user(id: UserId) -> String {
    format!("user:{id}")
}

pub(crate) fn node(name: &NodeName) -> String {
    format!("node:{name}")
}

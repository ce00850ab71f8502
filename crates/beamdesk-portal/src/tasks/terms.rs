//! Stops desktops whose term is over: sets their goal, as their owner would.

use std::time::Duration;

use beamdesk_store::AuditEvent;
use beamdesk_types::{Desktop, Goal};
use tracing::{info, warn};

use crate::{App, PortalError, app::audit};

/// Seconds more or less do not matter to whoever was told half an hour before.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Runs until shutdown.
pub(crate) async fn terms(app: App) {
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if let Err(error) = look(&app).await {
            warn!(%error, "Could not end terms, will try again");
        }
    }
}

async fn look(app: &App) -> Result<(), PortalError> {
    let now = app.clock.now();
    let is_over = |desktop: &Desktop| {
        desktop.goal == Goal::Running && desktop.ends.is_some_and(|ends| ends <= now)
    };
    for desktop in app.store.open_desktops().await?.into_iter().filter(is_over) {
        end(app, desktop).await?;
    }
    Ok(())
}

/// Whoever wrote the row meanwhile, perhaps an extension, was first: then it is looked at again.
async fn end(app: &App, desktop: Desktop) -> Result<(), PortalError> {
    let ended = Desktop { goal: Goal::Stopped, attempts: 0, failure: None, ..desktop };
    if !app.store.save_desktop(&ended).await? {
        return Ok(());
    }
    app.events().want(ended.id);
    info!(desktop.id = %ended.id, "The term of a desktop is over, stopping it");
    let event = AuditEvent {
        at: app.clock.now(),
        actor: "beamdesk".to_owned(),
        action: "term_ended".to_owned(),
        subject: audit::desktop(ended.id),
        detail: ended.name,
    };
    Ok(app.store.audit(&event).await?)
}

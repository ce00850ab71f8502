//! Gives room to whoever waits: plans for all together, then claims what the plan starts.
//!
//! A claim compares and swaps on its node, so two portals, or a portal and an administrator who
//! closes a node, cannot both have it: who comes second plans anew.

use std::{collections::BTreeMap, time::Duration};

use beamdesk_types::NodeName;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::{
    App, PortalError,
    app::{metrics::Decision, planning},
};

/// How often room is looked for while somebody waits and nothing is heard: terms end, reservations
/// begin, monitors report, and clouds change by themselves.
const AGAIN: Duration = Duration::from_secs(2);
/// While nobody waits: for desktops that another portal wrote.
const AT_REST: Duration = Duration::from_secs(30);
/// Between two plans, so that many requests at once are planned together.
const APART: Duration = Duration::from_millis(20);
/// Races lost in a row before the next round is left to the next call.
const TRIES_MAX: usize = 5;

/// Runs until shutdown.
pub(crate) async fn placer(app: App) {
    loop {
        let again = match place(&app).await {
            Ok(0) => AT_REST,
            Ok(_) => AGAIN,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                warn!(%error, cause, "Could not place desktops, will try again");
                AGAIN
            }
        };
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = app.planning().called() => {}
            () = tokio::time::sleep(again) => {}
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(APART) => {}
        }
    }
}

/// One round. Says how many wait on.
async fn place(app: &App) -> Result<usize, PortalError> {
    let mut is_news = false;
    for _ in 0..TRIES_MAX {
        let begun = Instant::now();
        let (planned, is_new) = planning::anew(app).await?;
        is_news |= is_new;
        let placed = claim(app, &planned).await?;
        is_news |= placed > 0;
        let lost = planned.starts.len() - placed;
        let decisions = planned.starts.len() + planned.waits.len();
        let share = begun.elapsed() / u32::try_from(decisions.max(1)).unwrap_or(u32::MAX);
        for (decision, count) in [
            (Decision::Placed, placed),
            (Decision::Lost, lost),
            (Decision::Waits, planned.waits.len()),
        ] {
            for _ in 0..count {
                app.metrics().decided(decision, share);
            }
        }
        if lost == 0 {
            if is_news {
                app.events().changed();
            }
            return Ok(planned.waits.len());
        }
        debug!(lost, "Somebody else was first, planning anew");
    }
    // Whoever it is that is always first, it leaves us time after the next call.
    Ok(1)
}

/// Claims in the order of the plan, up to the first that somebody else was before. Says how many.
async fn claim(app: &App, planned: &planning::Planned) -> Result<usize, PortalError> {
    let mut revisions: BTreeMap<&NodeName, i64> =
        planned.revisions.iter().map(|(node, revision)| (node, *revision)).collect();
    for (placed, claim) in planned.starts.iter().enumerate() {
        let revision = revisions.entry(&claim.node).or_default();
        if !app.store.claim(claim, *revision, app.clock.now()).await? {
            return Ok(placed);
        }
        *revision += 1;
        info!(
            desktop.id = %claim.desktop,
            node.name = %claim.node,
            cards = claim.cards.len(),
            "Took room for a desktop"
        );
        app.events().look(claim.desktop);
    }
    Ok(planned.starts.len())
}

//! Tells the portal how recordings are doing, and does what it says.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};
use tracing::info;

use super::shelf::{Shelf, Urgency};
use crate::{portal, state::Gateway};

/// While something goes on or waits to be told.
const SOON: Duration = Duration::from_secs(5);
/// So long a removed recording's file may stay.
const LATER: Duration = Duration::from_secs(15);

/// Runs until shutdown; ends at once where nothing is recorded.
pub(crate) async fn run(gateway: Gateway) {
    let Some(shelf) = gateway.shelf.clone() else { return };
    let mut names_all = true;
    let mut is_silent = false;
    let mut next = Some(Instant::now());
    loop {
        let due = next.unwrap_or_else(Instant::now);
        tokio::select! {
            () = gateway.shutdown.cancelled() => return,
            () = sleep_until(due), if next.is_some() => {}
            () = shelf.news.notified() => {}
        }
        match sync(&gateway, &shelf, names_all).await {
            Ok(()) => {
                names_all = false;
                if std::mem::take(&mut is_silent) {
                    info!("The portal hears of recordings again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut is_silent, true) {
                    portal::note(&error, "recordings");
                }
            }
        }
        next = match shelf.urgency() {
            _ if is_silent => Some(Instant::now() + SOON),
            Urgency::Soon => Some(Instant::now() + SOON),
            Urgency::Later => Some(Instant::now() + LATER),
            Urgency::None => None,
        };
    }
}

async fn sync(
    gateway: &Gateway,
    shelf: &Arc<Shelf>,
    names_all: bool,
) -> Result<(), portal::PortalError> {
    let said = shelf.sync(names_all);
    let answer = gateway.portal.sync_recordings(&said).await?;
    let shelf = Arc::clone(shelf);
    let doing = gateway.streams.spawn_blocking(move || {
        let had_news = !said.removed.is_empty();
        shelf.answered(&said, &answer);
        // What was removed now is told now.
        if !had_news && !shelf.sync(false).removed.is_empty() {
            shelf.news.notify_one();
        }
    });
    // A panic in there is in the log; the next call finds what is left to do.
    drop(doing.await);
    Ok(())
}

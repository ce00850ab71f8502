//! Renews all leases in one call every two seconds, and ends what must end. SR-13.

use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{info, warn};

use crate::{
    portal::{self, PortalError},
    state::{self, Gateway},
};

/// Runs until shutdown.
pub(crate) async fn run(gateway: Gateway) {
    let mut is_silent = false;
    let mut next = Instant::now();
    loop {
        let lost_at = lost_at(&gateway);
        tokio::select! {
            () = gateway.shutdown.cancelled() => return,
            () = sleep_until(next) => {}
            () = sleep_until(lost_at.unwrap_or(next)), if lost_at.is_some() => {}
        }
        close_when_lost(&gateway);
        if Instant::now() < next {
            continue;
        }
        next = Instant::now() + gateway.times.lease_interval;
        match renew(&gateway).await {
            Ok(()) => {
                if std::mem::take(&mut is_silent) {
                    info!("The portal answers again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut is_silent, true) {
                    portal::note(&error, "leases");
                }
                close_when_lost(&gateway);
            }
        }
    }
}

async fn renew(gateway: &Gateway) -> Result<(), PortalError> {
    let begun = Instant::now();
    let Some(asked) = gateway.leases(|leases| leases.renewal(begun.into_std())) else {
        return Ok(());
    };
    let asking = gateway.portal.renew(&asked);
    let answer = match lost_at(gateway) {
        // Streams close at the grace time also when the portal takes the question and is silent.
        Some(deadline) => timeout_at(deadline, asking).await.unwrap_or(Err(PortalError::Silent)),
        None => asking.await,
    }?;
    // What the portal said, it said after it was asked: its word counts from then.
    let ended = gateway.leases(|leases| leases.answered(&asked, &answer, begun.into_std()));
    let count = state::end(ended);
    if count > 0 {
        info!(count, "Ended streams that the portal revoked");
    }
    Ok(())
}

fn lost_at(gateway: &Gateway) -> Option<Instant> {
    gateway.leases(|leases| leases.deadline()).map(Instant::from_std)
}

fn close_when_lost(gateway: &Gateway) {
    let now = Instant::now().into_std();
    let count = state::end(gateway.leases(|leases| leases.lost(now)));
    if count > 0 {
        warn!(count, "Closed streams, because the portal was silent for too long");
    }
}

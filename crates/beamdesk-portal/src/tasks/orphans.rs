//! Removes servers and claims of ours that no desktop owns, servers carefully.
//!
//! The cloud is listed first and the rows are read after, so that a server born in between has its
//! row by then. A list that fails deletes nothing.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use beamdesk_cloud::{Server, ServerId};
use beamdesk_types::{DesktopId, Timestamp};
use jiff::SignedDuration;
use tracing::{error, info, warn};

use crate::{App, PortalError};

const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Between the first sight of an orphan and its end: lists lag.
const ORPHAN_AGE: SignedDuration = SignedDuration::from_secs(30);
/// Orphans removed in one go. More at once are a mistake of ours or a restored database.
const REMOVED_MIN: usize = 3;
/// Or this part of all servers, if it is more.
const REMOVED_SHARE: usize = 20;

/// Runs until shutdown.
pub(crate) async fn orphans(app: App) {
    let mut seen = Sightings::default();
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if let Err(error) = look(&app, &mut seen).await {
            warn!(%error, "Could not look for orphaned servers, will try again");
        }
    }
}

async fn look(app: &App, seen: &mut Sightings) -> Result<(), PortalError> {
    let servers = app.cloud.list().await?;
    let claims = app.store.claims().await?;
    let owned: HashSet<DesktopId> =
        app.store.open_desktops().await?.into_iter().map(|desktop| desktop.id).collect();
    for row in claims.iter().filter(|row| !owned.contains(&row.claim.desktop)) {
        info!(desktop.id = %row.claim.desktop, "Giving back the room of a desktop that is gone");
        app.store.release_claim(row.claim.desktop).await?;
        app.planning().changed();
    }
    let removable_max = REMOVED_MIN.max(servers.len() / REMOVED_SHARE);
    let orphans = servers.into_iter().filter(|server| !owned.contains(&server.desktop)).collect();
    let due = seen.due(orphans, app.clock.now());
    if due.len() > removable_max {
        error!(
            count = due.len(),
            "Too many servers without a desktop; removing none, look into it"
        );
        return Ok(());
    }
    for server in due {
        info!(server.id = %server.id, desktop.id = %server.desktop, "Removing a server without a desktop");
        app.cloud.delete(&server.id).await?;
    }
    Ok(())
}

/// When each orphan was seen first.
#[derive(Debug, Default)]
struct Sightings(HashMap<ServerId, Timestamp>);

impl Sightings {
    /// Orphans that have been ones long enough. Forgets those that are none any more.
    fn due(&mut self, orphans: Vec<Server>, now: Timestamp) -> Vec<Server> {
        let ids: HashSet<&ServerId> = orphans.iter().map(|server| &server.id).collect();
        self.0.retain(|id, _| ids.contains(id));
        let mut due = Vec::new();
        for server in orphans {
            let first = *self.0.entry(server.id.clone()).or_insert(now);
            if now.duration_since(first) >= ORPHAN_AGE {
                due.push(server);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use beamdesk_cloud::{PowerState, Server, ServerId};
    use beamdesk_types::{DesktopId, Timestamp};

    use super::Sightings;

    fn server(n: u128) -> Server {
        Server {
            id: ServerId(n.to_string()),
            desktop: DesktopId::from_u128(n),
            generation: 1,
            state: PowerState::Active,
            address: None,
            node: "n1".parse().unwrap(),
            cards: Vec::new(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_orphan_must_be_seen_twice_and_long_enough() {
        let mut seen = Sightings::default();
        assert_eq!(seen.due(vec![server(1)], at(0)), []);
        assert_eq!(seen.due(vec![server(1), server(2)], at(29)), []);
        assert_eq!(seen.due(vec![server(1), server(2)], at(30)), [server(1)]);
    }

    #[test]
    fn one_that_was_owned_in_between_begins_anew() {
        let mut seen = Sightings::default();
        assert_eq!(seen.due(vec![server(1)], at(0)), []);
        assert_eq!(seen.due(vec![], at(20)), []);
        assert_eq!(seen.due(vec![server(1)], at(40)), []);
        assert_eq!(seen.due(vec![server(1)], at(70)), [server(1)]);
    }
}

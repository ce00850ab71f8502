//! Removes servers and claims of ours that no desktop owns, servers carefully.
//!
//! What is an orphan is told by `app::cloud::strays`. Here is decided when one may go: seen twice,
//! some time apart, with nobody's hand on it, and never many at once. Servers that nobody claims are
//! only counted: people decide.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use beamdesk_cloud::{Server, ServerId};
use beamdesk_types::{DesktopId, Timestamp};
use jiff::SignedDuration;
use tracing::{error, info, warn};

use crate::{
    App, PortalError,
    app::cloud::strays::{Strays, strays},
};

const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Between the first sight of an orphan and its end: lists of this machine's own servers lag little.
const ORPHAN_AGE_HERE: SignedDuration = SignedDuration::from_secs(30);
/// Those of a cloud elsewhere may be old, and so may what we know of it.
const ORPHAN_AGE_ELSEWHERE: SignedDuration = SignedDuration::from_secs(120);
/// Orphans removed in one go. More at once are a mistake of ours or a restored database.
const REMOVED_MIN: usize = 3;
/// Or this part of all servers, if it is more.
const REMOVED_SHARE: usize = 20;

/// Runs until shutdown.
pub(crate) async fn orphans(app: App) {
    let mut orphans = Orphans::default();
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if let Err(error) = orphans.look(&app).await {
            warn!(%error, "Could not look for orphaned servers, will try again");
        }
    }
}

/// Looks for orphans and removes those that are due.
#[derive(Debug, Default)]
pub struct Orphans {
    seen: Sightings,
    /// How many servers nobody claimed, at the last look.
    unclaimed: usize,
}

impl Orphans {
    /// One look.
    pub async fn look(&mut self, app: &App) -> Result<(), PortalError> {
        let Strays { servers, orphans, unclaimed } = strays(app).await?;
        release_claims(app).await?;
        if self.unclaimed != unclaimed.len() {
            self.unclaimed = unclaimed.len();
            warn!(
                count = unclaimed.len(),
                "Servers that no desktop of this database claims; see the page Cloud"
            );
        }
        if let Err(error) = app.cloud.tidy().await {
            warn!(%error, "Could not tidy up in the cloud, will try again");
        }
        let age = if app.cloud.seeds() { ORPHAN_AGE_ELSEWHERE } else { ORPHAN_AGE_HERE };
        let due = self.seen.due(orphans, age, app.clock.now());
        if due.len() > removable_max(servers) {
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
}

/// Gives back the room of desktops that are gone.
async fn release_claims(app: &App) -> Result<(), PortalError> {
    let claims = app.store.claims().await?;
    let open: HashSet<DesktopId> =
        app.store.open_desktops().await?.into_iter().map(|desktop| desktop.id).collect();
    for row in claims.iter().filter(|row| !open.contains(&row.claim.desktop)) {
        info!(desktop.id = %row.claim.desktop, "Giving back the room of a desktop that is gone");
        app.store.release_claim(row.claim.desktop).await?;
        app.planning().changed();
    }
    Ok(())
}

fn removable_max(servers: usize) -> usize {
    REMOVED_MIN.max(servers / REMOVED_SHARE)
}

/// When each orphan was seen first.
#[derive(Debug, Default)]
struct Sightings {
    first: HashMap<ServerId, Timestamp>,
}

impl Sightings {
    /// Orphans that have been ones for `age`. Forgets those that are none any more, or that an
    /// administrator of the cloud has in hand.
    fn due(&mut self, orphans: Vec<Server>, age: SignedDuration, now: Timestamp) -> Vec<Server> {
        let orphans: Vec<Server> =
            orphans.into_iter().filter(|server| server.note.is_none()).collect();
        let ids: HashSet<&ServerId> = orphans.iter().map(|server| &server.id).collect();
        self.first.retain(|id, _| ids.contains(id));
        let mut due = Vec::new();
        for server in orphans {
            let first = *self.first.entry(server.id.clone()).or_insert(now);
            if now.duration_since(first) >= age {
                due.push(server);
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use beamdesk_cloud::{PowerState, Server, ServerId, ServerNote};
    use beamdesk_types::{DesktopId, Timestamp};
    use jiff::SignedDuration;

    use super::{Sightings, removable_max};

    const AGE: SignedDuration = SignedDuration::from_secs(30);

    fn server(n: u128) -> Server {
        Server {
            id: ServerId(n.to_string()),
            desktop: DesktopId::from_u128(n),
            generation: 1,
            state: PowerState::Active,
            note: None,
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
        assert_eq!(seen.due(vec![server(1)], AGE, at(0)), []);
        assert_eq!(seen.due(vec![server(1), server(2)], AGE, at(29)), []);
        assert_eq!(seen.due(vec![server(1), server(2)], AGE, at(30)), [server(1)]);
    }

    #[test]
    fn one_that_was_owned_in_between_begins_anew() {
        let mut seen = Sightings::default();
        assert_eq!(seen.due(vec![server(1)], AGE, at(0)), []);
        assert_eq!(seen.due(vec![], AGE, at(20)), []);
        assert_eq!(seen.due(vec![server(1)], AGE, at(40)), []);
        assert_eq!(seen.due(vec![server(1)], AGE, at(70)), [server(1)]);
    }

    #[test]
    fn what_an_administrator_of_the_cloud_has_in_hand_stays() {
        let mut seen = Sightings::default();
        let rescued = Server { note: Some(ServerNote::Rescued), ..server(1) };
        assert_eq!(seen.due(vec![rescued.clone()], AGE, at(0)), []);
        assert_eq!(seen.due(vec![rescued], AGE, at(60)), []);
        assert_eq!(seen.due(vec![server(1)], AGE, at(90)), [], "counted from when it was let go");
    }

    #[test]
    fn never_many_at_once() {
        assert_eq!([0, 60, 80, 500].map(removable_max), [3, 3, 4, 25]);
    }
}

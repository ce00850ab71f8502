//! What is left of desktops whose server is gone: ports and security groups, and second servers.
//!
//! A portal that dies between two calls leaves them. Like orphaned servers they go when they were
//! seen twice, long enough apart: one that is about to be used looks the same.

use std::collections::{HashMap, HashSet};

use beamdesk_types::{DesktopId, Timestamp};
use jiff::SignedDuration;
use tracing::{info, warn};

use super::{
    ApiError, OpenStack,
    server::{NovaServer, chosen},
};
use crate::{CloudError, ServerId};

/// Longer than any create takes, from its port to its server.
const LEFTOVER_AGE: SignedDuration = SignedDuration::from_mins(4);
/// Removed in one go; more wait for the next.
const REMOVED_MAX: usize = 50;

/// When each thing was first seen without an owner, by its id.
#[derive(Debug, Default)]
pub(super) struct Sightings(HashMap<String, Timestamp>);

impl Sightings {
    /// Those that have been without an owner long enough. Forgets what has one again.
    pub(super) fn due(&mut self, ids: &HashSet<String>, now: Timestamp) -> HashSet<String> {
        self.0.retain(|id, _| ids.contains(id));
        let mut due = HashSet::new();
        for id in ids {
            let first = *self.0.entry(id.clone()).or_insert(now);
            if now.duration_since(first) >= LEFTOVER_AGE {
                due.insert(id.clone());
            }
        }
        due
    }
}

/// Servers that are not their desktop's, because another is.
fn doubles(servers: &[NovaServer]) -> Vec<&NovaServer> {
    let mut by_desktop: HashMap<DesktopId, Vec<NovaServer>> = HashMap::new();
    for server in servers {
        if let Some(desktop) = server.desktop() {
            by_desktop.entry(desktop).or_default().push(server.clone());
        }
    }
    let is_double = |server: &&NovaServer| {
        let rivals = server.desktop().and_then(|desktop| by_desktop.get(&desktop));
        let first = rivals.and_then(|rivals| chosen(rivals));
        first.is_some_and(|first| first.id != server.id) && !server.is_going()
    };
    servers.iter().filter(is_double).collect()
}

impl OpenStack {
    /// One look: servers first, so that what is made meanwhile is not taken for a leftover.
    pub(super) async fn tidy_up(&self) -> Result<(), CloudError> {
        let servers = self.all().await?;
        let owners: HashSet<DesktopId> = servers.iter().filter_map(NovaServer::desktop).collect();
        let (ports, groups) = tokio::try_join!(self.ports_of(None), self.groups_of(None))?;
        let doubles = doubles(&servers);
        let is_left = |desktop: Option<DesktopId>| {
            desktop.is_some_and(|desktop| !owners.contains(&desktop) && !self.is_at_work(desktop))
        };
        let ports: Vec<_> = ports
            .into_iter()
            .filter(|port| is_left(port.desktop()) && port.device_id.is_empty())
            .collect();
        let groups: Vec<_> = groups.into_iter().filter(|group| is_left(group.desktop())).collect();
        let ids = ports.iter().map(|port| port.id.clone());
        let ids = ids.chain(groups.iter().map(|group| group.id.clone()));
        let ids: HashSet<String> =
            ids.chain(doubles.iter().map(|server| server.id.clone())).collect();
        let due = self.known().leftovers.due(&ids, self.now());
        let mut room = REMOVED_MAX;
        let mut is_due = |id: &String| {
            let goes = due.contains(id) && room > 0;
            room -= usize::from(goes);
            goes
        };
        for server in doubles.into_iter().filter(|server| is_due(&server.id)) {
            warn!(server.id = %server.id, "Removing a second server of a desktop");
            self.remove(server).await?;
        }
        for port in ports.iter().filter(|port| is_due(&port.id)) {
            info!(port.id = %port.id, "Removing a port whose desktop has no server");
            self.remove_port(port).await?;
        }
        for group in groups.iter().filter(|group| is_due(&group.id)) {
            info!(group.id = %group.id, "Removing a security group whose desktop has no server");
            self.remove_group(group).await?;
        }
        self.mend_metadata(&servers).await?;
        Ok(())
    }

    /// What the diary knows of later starts, where people and programs look for it. It cannot be
    /// written while a server is put away.
    async fn mend_metadata(&self, servers: &[NovaServer]) -> Result<(), ApiError> {
        let old = servers.iter().filter_map(|server| Some((server, server.newer_generation()?)));
        for (server, generation) in old.take(REMOVED_MAX) {
            let id = ServerId(server.id.clone());
            match self.write_generation(&id, generation).await {
                Err(error) if error.is_conflict() || error.is_missing() => {}
                other => other?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use beamdesk_types::Timestamp;

    use super::{Sightings, doubles};
    use crate::openstack::server::tests::answered;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_leftover_is_seen_for_minutes_before_it_goes() {
        let ids: HashSet<String> = ["p".to_owned()].into();
        let mut seen = Sightings::default();
        assert!(seen.due(&ids, at(0)).is_empty());
        assert!(seen.due(&ids, at(239)).is_empty());
        assert_eq!(seen.due(&ids, at(240)), ids);
        assert!(seen.due(&HashSet::new(), at(241)).is_empty());
        assert!(seen.due(&ids, at(1000)).is_empty(), "it had an owner in between");
    }

    #[test]
    fn the_second_server_of_a_desktop_is_a_double() {
        let mut one = answered("active", "");
        one.id = "one".to_owned();
        let mut two = answered("building", "");
        (two.id, two.created) = ("two".to_owned(), "2026-01-02".to_owned());
        let mut going = two.clone();
        (going.id, going.task_state) = ("three".to_owned(), Some("deleting".to_owned()));
        let servers = [one, two, going];
        let ids: Vec<_> = doubles(&servers).iter().map(|server| server.id.as_str()).collect();
        assert_eq!(ids, ["two"]);
        assert!(doubles(&servers[..1]).is_empty());
    }
}

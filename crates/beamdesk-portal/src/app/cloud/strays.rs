//! Servers of ours that no desktop owns: leftovers of deleted desktops, and such as nobody knows.
//!
//! ```text
//! server of ours
//!   its desktop is there        owned
//!   its desktop was deleted     orphan: nobody will miss it
//!   there never was a desktop   unclaimed: the database is older than the server (restored from a
//!                               backup), or not the one that made it; people decide
//! ```

use std::collections::HashSet;

use beamdesk_cloud::{PowerState, Server};
use beamdesk_types::{Actor, Desktop, DesktopId, Goal, GpuRequest, ImageId, Phase, SizeId, UserId};
use tracing::info;

use crate::{
    App, PortalError,
    app::{audit, cloud::said, sizes::check_name},
};

/// Servers that no desktop owns.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Strays {
    /// How many servers there are in all.
    pub(crate) servers: usize,
    pub(crate) orphans: Vec<Server>,
    pub(crate) unclaimed: Vec<Server>,
}

/// Looks for them: in the cloud first, at the rows after, so that a server born in between has its
/// row by then. A list that fails tells nothing.
pub(crate) async fn strays(app: &App) -> Result<Strays, PortalError> {
    let servers = app.cloud.list().await?;
    let open: HashSet<DesktopId> =
        app.store.open_desktops().await?.into_iter().map(|desktop| desktop.id).collect();
    let mut known = HashSet::new();
    for server in servers.iter().filter(|server| !open.contains(&server.desktop)) {
        if app.store.desktop(server.desktop).await?.is_some() {
            known.insert(server.desktop);
        }
    }
    Ok(sorted(servers, &open, &known))
}

/// Those nobody knows, by desktop.
pub(crate) async fn unclaimed(app: &App) -> Result<Vec<Server>, PortalError> {
    let mut unclaimed = strays(app).await?.unclaimed;
    unclaimed.sort_unstable_by_key(|server| server.desktop);
    Ok(unclaimed)
}

/// Of `open` desktops there are rows; `known` ones had them once.
fn sorted(servers: Vec<Server>, open: &HashSet<DesktopId>, known: &HashSet<DesktopId>) -> Strays {
    let mut strays = Strays { servers: servers.len(), ..Strays::default() };
    for server in servers {
        if open.contains(&server.desktop) {
            continue;
        }
        if known.contains(&server.desktop) {
            strays.orphans.push(server);
        } else {
            strays.unclaimed.push(server);
        }
    }
    strays
}

/// To whom a server that nobody claims shall belong, and as what.
#[derive(Debug, Clone)]
pub(crate) struct Adoption {
    pub(crate) owner: UserId,
    pub(crate) image: ImageId,
    pub(crate) size: SizeId,
    pub(crate) name: String,
}

/// Makes a desktop of a server that nobody claims. It goes on as it is; the reconciler takes it from
/// there.
pub(crate) async fn adopt(
    app: &App,
    actor: &Actor,
    id: DesktopId,
    adoption: Adoption,
) -> Result<(), PortalError> {
    check_name(&adoption.name)?;
    let refused = |field| PortalError::Invalid { field, why: "there is no such thing" };
    app.store.user(adoption.owner).await?.ok_or_else(|| refused("owner"))?;
    app.store.image(&adoption.image).await?.ok_or_else(|| refused("image"))?;
    app.store.size(&adoption.size).await?.ok_or_else(|| refused("size"))?;
    let server = one(app, id).await?;
    let now = app.clock.now();
    let is_on = match server.state {
        PowerState::Building | PowerState::Active => true,
        PowerState::Off => false,
        // It would be deleted at once: that is another button.
        PowerState::Error(_) | PowerState::Deleting => return Err(PortalError::NotNow),
    };
    let desktop = Desktop {
        id,
        owner: adoption.owner,
        name: adoption.name,
        image: adoption.image,
        size: adoption.size,
        goal: if is_on { Goal::Running } else { Goal::Stopped },
        phase: if is_on { Phase::Booting } else { Phase::Stopped },
        generation: server.generation,
        revision: 0,
        attempts: 0,
        phase_since: now,
        node: Some(server.node.clone()),
        address: server.address.clone(),
        failure: None,
        restart: false,
        created: now,
        gpu: GpuRequest::default(),
        station: None,
        queued: now,
        ends: None,
    };
    // An administrator decides: nobody loses a desktop to a quota that way.
    app.store.add_desktop(&desktop, u32::MAX).await?;
    info!(desktop.id = %id, server.id = %server.id, "A server that nobody claimed was adopted");
    audit::note(app, actor, "server_adopted", audit::desktop(id), server.id.to_string()).await?;
    app.events().want(id);
    Ok(())
}

/// Deletes a server that nobody claims, because an administrator says so.
pub(crate) async fn remove(app: &App, actor: &Actor, id: DesktopId) -> Result<(), PortalError> {
    let server = one(app, id).await?;
    let detail = server.id.to_string();
    audit::note(app, actor, "unclaimed_deleted", audit::desktop(id), detail).await?;
    app.cloud.delete(&server.id).await.map_err(said)?;
    info!(desktop.id = %id, server.id = %server.id, "Deleted a server that nobody claimed");
    app.planning().changed();
    Ok(())
}

/// As of now: it may have been adopted since it was shown.
async fn one(app: &App, id: DesktopId) -> Result<Server, PortalError> {
    let server = app.cloud.find(id).await?.ok_or(PortalError::NotFound)?;
    if app.store.desktop(id).await?.is_some() {
        return Err(PortalError::NotFound);
    }
    Ok(server)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use beamdesk_cloud::{PowerState, Server, ServerId};
    use beamdesk_types::DesktopId;

    use super::sorted;

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

    #[test]
    fn a_server_is_an_orphan_only_if_its_desktop_was_known() {
        let ids = |ids: &[u128]| -> HashSet<DesktopId> {
            ids.iter().copied().map(DesktopId::from_u128).collect()
        };
        let strays = sorted((1..=4).map(server).collect(), &ids(&[1]), &ids(&[2, 3]));
        assert_eq!(strays.servers, 4);
        assert_eq!(strays.orphans, [server(2), server(3)]);
        assert_eq!(strays.unclaimed, [server(4)], "as after a restore of the database");
    }
}

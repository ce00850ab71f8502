//! Stations (beamlines), as administrators change them.

use std::collections::BTreeSet;

use beamdesk_types::{Actor, Role, Station, StationId};

use crate::{
    App, PortalError,
    app::{audit, sizes::check_name},
};

/// More than a site has hosts.
const NODES_MAX: usize = 10_000;

/// Stations that this person may choose for a desktop.
pub(crate) async fn for_actor(app: &App, actor: &Actor) -> Result<Vec<Station>, PortalError> {
    let mut stations = app.store.stations().await?;
    if let Some(own) = own(app, actor).await? {
        stations.retain(|station| own.contains(&station.id));
    }
    Ok(stations)
}

pub(crate) async fn may_choose(
    app: &App,
    actor: &Actor,
    id: &StationId,
) -> Result<bool, PortalError> {
    Ok(own(app, actor).await?.is_none_or(|own| own.contains(id)))
}

/// By the groups that the identity provider named at the last login; `None`: all.
async fn own(app: &App, actor: &Actor) -> Result<Option<Vec<StationId>>, PortalError> {
    if actor.role >= Role::Operator {
        return Ok(None);
    }
    Ok(app.store.stations_of(actor.user).await?)
}

pub(crate) async fn add(
    app: &App,
    actor: &Actor,
    station: Station,
) -> Result<Station, PortalError> {
    check(&station)?;
    if app.store.station(&station.id).await?.is_some() {
        return Err(PortalError::Taken);
    }
    put(app, actor, station).await
}

pub(crate) async fn replace(
    app: &App,
    actor: &Actor,
    id: &StationId,
    station: Station,
) -> Result<Station, PortalError> {
    if station.id != *id {
        return Err(PortalError::Invalid { field: "id", why: "differs from the one in the path" });
    }
    check(&station)?;
    if app.store.station(id).await?.is_none() {
        return Err(PortalError::NotFound);
    }
    put(app, actor, station).await
}

pub(crate) async fn remove(app: &App, actor: &Actor, id: &StationId) -> Result<(), PortalError> {
    if !app.store.remove_station(id).await? {
        return Err(PortalError::NotFound);
    }
    app.planning().changed();
    app.events().changed();
    audit::note(app, actor, "station_removed", format!("station:{id}"), "").await
}

async fn put(app: &App, actor: &Actor, station: Station) -> Result<Station, PortalError> {
    app.store.put_station(&station).await?;
    app.planning().changed();
    app.events().changed();
    let subject = format!("station:{}", station.id);
    audit::note(app, actor, "station_changed", subject, &station.name).await?;
    Ok(station)
}

fn check(station: &Station) -> Result<(), PortalError> {
    check_name(&station.name)?;
    station.gpu.check()?;
    let nodes: BTreeSet<_> = station.nodes.iter().collect();
    if station.nodes.len() > NODES_MAX || nodes.len() != station.nodes.len() {
        return Err(PortalError::Invalid { field: "nodes", why: "has each node once" });
    }
    Ok(())
}

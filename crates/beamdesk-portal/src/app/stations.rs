//! Stations (beamlines), as administrators change them.

use std::collections::BTreeSet;

use beamdesk_types::{Actor, Station, StationId};

use crate::{
    App, PortalError,
    app::{audit, sizes::check_name},
};

/// More than a site has hosts.
const NODES_MAX: usize = 10_000;

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

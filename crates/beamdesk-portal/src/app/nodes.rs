//! Nodes as administrators see them: what the cloud counts, what monitors tell, who of ours holds
//! what.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use beamdesk_store::{ClaimRow, NodeRecord, NodeSample, SAMPLES_KEPT};
use beamdesk_types::{
    Actor, Card, CardState, Claim, Desktop, DesktopId, Node, NodeName, Station, StationId,
    Timestamp, UserId, WHOLE_CARD,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App, PortalError,
    app::{
        audit,
        cluster::told_nodes,
        monitors::{RefusedReport, held_milli, placement_changed},
        offers, users,
    },
};

/// What a node is good for now. The first that applies, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NodeState {
    /// What its monitor says is not believed: no desktops.
    Quarantined,
    /// An administrator took it out of use: no new desktops.
    Maintenance,
    /// The cloud takes no new desktops there, or does not know it.
    Disabled,
    /// Its monitor has been silent for too long: no new desktops with cards.
    Stale,
    /// It has no monitor: no desktops with cards, unless the cloud itself counts cards there.
    Silent,
    Open,
}

impl NodeState {
    pub(crate) const ALL: [Self; 6] = [
        Self::Quarantined,
        Self::Maintenance,
        Self::Disabled,
        Self::Stale,
        Self::Silent,
        Self::Open,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::Maintenance => "maintenance",
            Self::Disabled => "disabled",
            Self::Stale => "stale",
            Self::Silent => "silent",
            Self::Open => "open",
        }
    }

    fn of(node: Option<&Node>, record: Option<&NodeRecord>, now: Timestamp) -> Self {
        let has_reported = record.is_some_and(|record| record.received.is_some());
        if record.is_some_and(|record| record.quarantine.is_some()) {
            Self::Quarantined
        } else if record.is_some_and(|record| record.maintenance) {
            Self::Maintenance
        } else if !node.is_some_and(|node| node.enabled) {
            Self::Disabled
        } else if !has_reported {
            Self::Silent
        } else if record.is_some_and(|record| record.is_stale(now)) {
            Self::Stale
        } else {
            Self::Open
        }
    }
}

/// All nodes and all claims, as of now.
#[derive(Debug)]
pub(crate) struct Overview {
    pub(crate) nodes: Arc<[Node]>,
    pub(crate) records: Vec<NodeRecord>,
    pub(crate) claims: Vec<ClaimRow>,
}

/// One node, with all that is known of it.
#[derive(Debug)]
pub(crate) struct NodePicture {
    pub(crate) name: NodeName,
    /// As the cloud counts it; `None`: the cloud does not know it.
    pub(crate) node: Option<Node>,
    pub(crate) record: Option<NodeRecord>,
    pub(crate) state: NodeState,
    pub(crate) stations: Vec<StationId>,
    /// Of the record or, where there is none, as the cloud counts them.
    pub(crate) cards: Vec<CardPicture>,
    pub(crate) refused: Option<RefusedReport>,
}

#[derive(Debug)]
pub(crate) struct CardPicture {
    pub(crate) card: Card,
    pub(crate) holders: Vec<Holder>,
    /// What nobody holds, in thousandths.
    pub(crate) free_milli: u32,
}

#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) desktop: DesktopId,
    pub(crate) name: String,
    pub(crate) owner: String,
    pub(crate) share_milli: u32,
}

impl Overview {
    pub(crate) async fn load(app: &App) -> Result<Self, PortalError> {
        let records = app.store.node_records().await?;
        let claims = app.store.claims().await?;
        let mut nodes = offers::nodes(app).await?;
        if nodes.is_empty() {
            let claims: Vec<Claim> = claims.iter().map(|row| row.claim.clone()).collect();
            nodes = told_nodes(&records, &claims).into();
        }
        Ok(Self { nodes, records, claims })
    }

    /// Of every node that the cloud or a monitor knows.
    pub(crate) fn states(&self, now: Timestamp) -> BTreeMap<NodeName, NodeState> {
        let state = |(name, (node, record)): (&NodeName, _)| {
            (name.clone(), NodeState::of(node, record, now))
        };
        self.joined().into_iter().map(state).collect()
    }

    fn joined(&self) -> BTreeMap<&NodeName, (Option<&Node>, Option<&NodeRecord>)> {
        let mut joined: BTreeMap<_, (Option<&Node>, Option<&NodeRecord>)> = BTreeMap::new();
        for node in self.nodes.iter() {
            joined.entry(&node.name).or_default().0 = Some(node);
        }
        for record in &self.records {
            joined.entry(&record.name).or_default().1 = Some(record);
        }
        joined
    }
}

/// All of them, by name.
pub(crate) async fn pictures(app: &App) -> Result<Vec<NodePicture>, PortalError> {
    let now = app.clock.now();
    let overview = Overview::load(app).await?;
    let stations = app.store.stations().await?;
    let names = Names::load(app).await?;
    let mut refusals = app.monitors().refusals();
    let mut pictures = Vec::new();
    for (name, (node, record)) in overview.joined() {
        let claims: Vec<&ClaimRow> =
            overview.claims.iter().filter(|row| row.claim.node == *name).collect();
        let told = record.filter(|record| record.facts.is_some()).map(|record| &record.cards);
        let cards = told.or_else(|| node.map(|node| &node.cards));
        let cards = cards.into_iter().flatten().map(|card| names.card(card, &claims)).collect();
        pictures.push(NodePicture {
            name: name.clone(),
            node: node.cloned(),
            record: record.cloned(),
            state: NodeState::of(node, record, now),
            stations: kept_for(&stations, name),
            cards,
            refused: refusals.remove(name),
        });
    }
    Ok(pictures)
}

/// Points of the last day.
pub(crate) async fn history(app: &App, name: &NodeName) -> Result<Vec<NodeSample>, PortalError> {
    if !is_known(app, name).await? {
        return Err(PortalError::NotFound);
    }
    let since = app.clock.now().checked_sub(SAMPLES_KEPT).unwrap_or(Timestamp::MIN);
    Ok(app.store.node_samples(name, since).await?)
}

/// Takes a node out of use, or puts it back. What runs there goes on.
pub(crate) async fn set_maintenance(
    app: &App,
    actor: &Actor,
    name: &NodeName,
    on: bool,
) -> Result<(), PortalError> {
    if !is_known(app, name).await? {
        return Err(PortalError::NotFound);
    }
    app.store.set_maintenance(name, on).await?;
    let action = if on { "node_maintenance_began" } else { "node_maintenance_ended" };
    audit::note(app, actor, action, audit::node(name), "").await?;
    placement_changed(app);
    Ok(())
}

/// An administrator has looked: the node is believed again.
pub(crate) async fn lift_quarantine(
    app: &App,
    actor: &Actor,
    name: &NodeName,
) -> Result<(), PortalError> {
    let record = app.store.node_record(name).await?.ok_or(PortalError::NotFound)?;
    let detail = record.quarantine.map(|q| format!("{}: {}", q.code, q.detail));
    app.store.lift_quarantine(name).await?;
    app.monitors().forgive(name);
    audit::note(
        app,
        actor,
        "node_quarantine_lifted",
        audit::node(name),
        detail.unwrap_or_default(),
    )
    .await?;
    placement_changed(app);
    Ok(())
}

/// Forgets what was told of a node. If its monitor goes on reporting, it is there again.
pub(crate) async fn forget(app: &App, actor: &Actor, name: &NodeName) -> Result<(), PortalError> {
    if !app.store.remove_node(name).await? {
        return Err(PortalError::NotFound);
    }
    app.monitors().forgive(name);
    audit::note(app, actor, "node_forgotten", audit::node(name), "").await?;
    placement_changed(app);
    Ok(())
}

async fn is_known(app: &App, name: &NodeName) -> Result<bool, PortalError> {
    if app.store.node_record(name).await?.is_some() {
        return Ok(true);
    }
    Ok(offers::nodes(app).await?.iter().any(|node| node.name == *name))
}

fn kept_for(stations: &[Station], node: &NodeName) -> Vec<StationId> {
    let keeps = |station: &&Station| station.nodes.contains(node);
    stations.iter().filter(keeps).map(|station| station.id.clone()).collect()
}

/// What desktops and their owners are called.
struct Names {
    desktops: HashMap<DesktopId, Desktop>,
    users: HashMap<UserId, String>,
}

impl Names {
    async fn load(app: &App) -> Result<Self, PortalError> {
        let desktops = app.store.open_desktops().await?;
        let users = users::all(app).await?;
        Ok(Self {
            desktops: desktops.into_iter().map(|desktop| (desktop.id, desktop)).collect(),
            users: users.into_iter().map(|user| (user.id, user.name)).collect(),
        })
    }

    fn card(&self, card: &Card, claims: &[&ClaimRow]) -> CardPicture {
        let holds = |row: &&&ClaimRow| row.claim.cards.contains(&card.address);
        let holders = claims.iter().filter(holds).map(|row| self.holder(row)).collect();
        let held = held_milli(claims.iter().copied(), &card.address);
        let free_milli = match card.state {
            CardState::Free => WHOLE_CARD.saturating_sub(held),
            // If a desktop of ours holds a share of it, the rest can be had.
            CardState::Assigned if held > 0 => WHOLE_CARD.saturating_sub(held),
            CardState::Assigned | CardState::Reserved | CardState::Faulty => 0,
        };
        CardPicture { card: card.clone(), holders, free_milli }
    }

    fn holder(&self, row: &ClaimRow) -> Holder {
        let desktop = self.desktops.get(&row.claim.desktop);
        let owner = desktop.and_then(|desktop| self.users.get(&desktop.owner));
        Holder {
            desktop: row.claim.desktop,
            name: desktop.map(|desktop| desktop.name.clone()).unwrap_or_default(),
            owner: owner.cloned().unwrap_or_default(),
            share_milli: row.claim.share_milli,
        }
    }
}

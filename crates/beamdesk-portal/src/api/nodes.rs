//! Nodes, for operators; what is done about them, for administrators.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use beamdesk_http::Json;
use beamdesk_store::{NodeRecord, NodeSample, SAMPLE_SLOT};
use beamdesk_types::{
    Card, CardAddress, CardState, DesktopId, Node, NodeFacts, NodeName, Protection, Secret,
    StationId, Timestamp,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App, PortalError,
    api::{
        error::{Answer, Errors},
        extract::{Administrator, Id, Operator},
    },
    app::{
        audit,
        nodes::{self as app_nodes, CardPicture, Holder, NodePicture, NodeState},
        offers, srm,
    },
};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NodeList {
    nodes: Vec<NodeView>,
    protections: Vec<Protection>,
}

#[derive(Debug, Serialize, ToSchema)]
struct NodeView {
    /// As the cloud counts it; all zero where the cloud does not know it.
    node: Node,
    /// Whether the cloud knows it.
    is_known: bool,
    state: NodeState,
    maintenance: bool,
    /// Why it is not believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantine: Option<QuarantineView>,
    /// The newest report that was refused without consequence, since the portal started.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<RefusedView>,
    /// Stations it is kept for; empty: for everybody.
    stations: Vec<StationId>,
    /// As its monitor tells or, where it has none, as the cloud counts them.
    cards: Vec<CardView>,
    /// What its monitor tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<RecordView>,
}

#[derive(Debug, Serialize, ToSchema)]
struct QuarantineView {
    /// `name`, `machine`, `twin`, `absurd`, `clock` or `unreadable`.
    code: String,
    detail: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct RefusedView {
    /// `old_generation` or `flood`.
    code: String,
    detail: String,
    at: Timestamp,
    /// How many were refused for the same in a row.
    count: u64,
}

#[derive(Debug, Serialize, ToSchema)]
struct CardView {
    #[serde(flatten)]
    card: Card,
    /// Desktops of ours that hold it or a share of it.
    holders: Vec<CardHolder>,
    /// What can still be had of it, in thousandths.
    free_milli: u32,
}

#[derive(Debug, Serialize, ToSchema)]
struct CardHolder {
    desktop: DesktopId,
    name: String,
    /// Whose it is.
    owner: String,
    share_milli: u32,
}

#[derive(Debug, Serialize, ToSchema)]
struct RecordView {
    facts: NodeFacts,
    /// By the node's clock.
    sampled: Timestamp,
    /// By the portal's clock.
    received: Timestamp,
    age_s: i64,
    interval_s: u32,
    /// Of the monitor.
    version: String,
    is_stale: bool,
    /// By how much the node's clock is ahead of the portal's; negative: behind.
    clock_off_s: i64,
    /// By so much that an administrator should put it right.
    is_clock_off: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NodeHistory {
    /// Seconds between two points, where none is missing.
    slot_s: u64,
    /// Oldest first; at most a day old.
    samples: Vec<NodePoint>,
}

#[derive(Debug, Serialize, ToSchema)]
struct NodePoint {
    at: Timestamp,
    cpu_busy_permille: u16,
    memory_mib: u64,
    memory_mib_used: u64,
    disk_gib: u64,
    disk_gib_used: u64,
    cards_total: usize,
    /// Cards that desktops, or others on the host, held.
    cards_held: usize,
    cards: Vec<CardPoint>,
}

#[derive(Debug, Serialize, ToSchema)]
struct CardPoint {
    address: CardAddress,
    state: CardState,
    #[serde(skip_serializing_if = "Option::is_none")]
    busy_percent: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_mib_used: Option<u64>,
    /// What desktops of ours held of it, in thousandths.
    held_milli: u32,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Maintenance {
    maintenance: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewEnrolment {
    /// How many nodes the secret lets in; one, unless said otherwise.
    #[serde(default = "one")]
    uses: u32,
}

/// A secret that lets monitors in; shown this once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EnrolmentView {
    secret: Secret,
    /// What to run on the node. It does not hold the secret: commands can be seen by everybody on a
    /// host.
    command: String,
    expires: Timestamp,
    uses: u32,
}

fn one() -> u32 {
    1
}

/// Nodes with what is taken of them, and which walls stand between desktops.
#[utoipa::path(get, path = "/nodes", tag = "administration",
    responses((status = OK, body = NodeList), Errors))]
pub(super) async fn nodes(
    State(app): State<App>,
    Operator(actor): Operator,
) -> Answer<Json<NodeList>> {
    let now = app.clock.now();
    let pictures = app_nodes::pictures(&app).await?;
    let nodes = pictures.into_iter().map(|picture| node_view(picture, now)).collect();
    Ok(Json(NodeList { nodes, protections: offers::protections(&app, &actor) }))
}

/// The last day of one node.
#[utoipa::path(get, path = "/nodes/{id}/history", tag = "administration",
    params(("id" = NodeName, Path)), responses((status = OK, body = NodeHistory), Errors))]
pub(super) async fn node_history(
    State(app): State<App>,
    _: Operator,
    Id(name): Id<NodeName>,
) -> Answer<Json<NodeHistory>> {
    let samples = app_nodes::history(&app, &name).await?.into_iter().map(point).collect();
    Ok(Json(NodeHistory { slot_s: SAMPLE_SLOT.as_secs(), samples }))
}

/// Takes a node out of use for a while, or puts it back. What runs there goes on.
#[utoipa::path(put, path = "/nodes/{id}/maintenance", tag = "administration",
    params(("id" = NodeName, Path)), request_body = Maintenance,
    responses((status = NO_CONTENT), Errors))]
pub(super) async fn put_maintenance(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Id(name): Id<NodeName>,
    Json(body): Json<Maintenance>,
) -> Answer<StatusCode> {
    app_nodes::set_maintenance(&app, &actor, &name, body.maintenance).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Believes a node again, and whichever machine reports as it next.
#[utoipa::path(delete, path = "/nodes/{id}/quarantine", tag = "administration",
    params(("id" = NodeName, Path)), responses((status = NO_CONTENT), Errors))]
pub(super) async fn lift_quarantine(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Id(name): Id<NodeName>,
) -> Answer<StatusCode> {
    app_nodes::lift_quarantine(&app, &actor, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets what monitors told of a node, and its history. Refused while desktops hold something of
/// it.
#[utoipa::path(delete, path = "/nodes/{id}", tag = "administration",
    params(("id" = NodeName, Path)), responses((status = NO_CONTENT), Errors))]
pub(super) async fn forget_node(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Id(name): Id<NodeName>,
) -> Answer<StatusCode> {
    app_nodes::forget(&app, &actor, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a secret with which a monitor is let in.
#[utoipa::path(post, path = "/nodes/enrolments", tag = "administration",
    request_body = NewEnrolment, responses((status = CREATED, body = EnrolmentView), Errors))]
pub(super) async fn new_enrolment(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Json(body): Json<NewEnrolment>,
) -> Answer<Response> {
    // Without an address where monitors find the portal, nobody could use it.
    let address = app.config.monitor_url.clone().ok_or(PortalError::NoMonitorAddress)?;
    if body.uses == 0 || body.uses > beamdesk_auth::ENROLMENT_USES_MAX {
        return Err(PortalError::Invalid { field: "uses", why: "1 to 1000 nodes" }.into());
    }
    let enrolment = app.auth.new_enrolment(&app.authority, &actor, body.uses).await?;
    let detail = format!("for {} nodes until {}", enrolment.uses, enrolment.expires);
    audit::note(&app, &actor, "enrolment_made", "nodes".to_owned(), detail).await?;
    let view = EnrolmentView {
        command: format!("beamdesk monitor --portal {address} --secret-file /dev/stdin"),
        secret: enrolment.secret,
        expires: enrolment.expires,
        uses: enrolment.uses,
    };
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

fn node_view(picture: NodePicture, now: Timestamp) -> NodeView {
    let NodePicture { name, node, record, state, stations, cards, refused } = picture;
    NodeView {
        is_known: node.is_some(),
        node: node.unwrap_or_else(|| unknown(name)),
        state,
        maintenance: record.as_ref().is_some_and(|record| record.maintenance),
        quarantine: record
            .as_ref()
            .and_then(|record| record.quarantine.clone())
            .map(|q| QuarantineView { code: q.code, detail: q.detail }),
        refused: refused.map(|last| RefusedView {
            code: last.refused.code.to_owned(),
            detail: last.refused.detail,
            at: last.at,
            count: last.count,
        }),
        stations,
        cards: cards.into_iter().map(CardView::from).collect(),
        record: record.and_then(|record| record_view(record, now)),
    }
}

fn record_view(record: NodeRecord, now: Timestamp) -> Option<RecordView> {
    let received = record.received?;
    let clock_off_s = srm::clock_off_s(&record).unwrap_or_default();
    Some(RecordView {
        sampled: record.sampled?,
        received,
        age_s: now.as_second().saturating_sub(received.as_second()),
        interval_s: record.interval_s,
        is_stale: record.is_stale(now),
        clock_off_s,
        is_clock_off: clock_off_s.saturating_abs() > srm::CLOCK_OFF_WARN_S,
        version: record.version,
        facts: record.facts?,
    })
}

/// One the cloud does not know takes no desktops.
fn unknown(name: NodeName) -> Node {
    Node {
        name,
        vcpus: 0,
        vcpus_used: 0,
        memory_mib: 0,
        memory_mib_used: 0,
        disk_gib: 0,
        disk_gib_used: 0,
        cards: Vec::new(),
        enabled: false,
    }
}

impl From<CardPicture> for CardView {
    fn from(picture: CardPicture) -> Self {
        let CardPicture { card, holders, free_milli } = picture;
        Self { card, holders: holders.into_iter().map(CardHolder::from).collect(), free_milli }
    }
}

impl From<Holder> for CardHolder {
    fn from(holder: Holder) -> Self {
        let Holder { desktop, name, owner, share_milli } = holder;
        Self { desktop, name, owner, share_milli }
    }
}

fn point(sample: NodeSample) -> NodePoint {
    let cards: Vec<CardPoint> = sample
        .cards
        .into_iter()
        .map(|card| CardPoint {
            address: card.address,
            state: card.state,
            busy_percent: card.busy_percent,
            memory_mib_used: card.memory_mib_used,
            held_milli: card.held_milli,
        })
        .collect();
    let is_held = |card: &&CardPoint| card.held_milli > 0 || card.state == CardState::Assigned;
    NodePoint {
        at: sample.at,
        cpu_busy_permille: sample.cpu_busy_permille,
        memory_mib: sample.memory_mib,
        memory_mib_used: sample.memory_mib_used,
        disk_gib: sample.disk_gib,
        disk_gib_used: sample.disk_gib_used,
        cards_total: cards.len(),
        cards_held: cards.iter().filter(is_held).count(),
        cards,
    }
}

//! Monitors that report, ask to be let in, or want a new identity: judged by `srm`, kept by the
//! store.

mod pace;

use axum::body::Bytes;
use beamdesk_auth::Identity;
use beamdesk_store::{AuditEvent, CardSample, ClaimRow, NodeRecord, NodeSample, slot_ms};
use beamdesk_types::{
    Card, CardAddress, DesktopId, EnrolAnswer, EnrolRequest, NodeContent, NodeName, NodeReport,
    NodeReportAnswer, Timestamp,
};
use tracing::{info, warn};

use crate::{
    App, PortalError,
    app::{
        audit,
        metrics::ReportVerdict,
        srm::{self, Fault, FaultCode, Known, Refused, Verdict},
    },
};

pub(crate) use pace::{Monitors, Pace, RefusedReport};

/// Other portals may write the same record meanwhile; more often than this they do not.
const TRIES_MAX: usize = 4;
/// As in a report.
const MACHINE_CHARS_MAX: usize = 128;

/// What a monitor is answered.
#[derive(Debug)]
pub(crate) enum Answered {
    Taken(NodeReportAnswer),
    /// Later.
    TooMany,
    /// No, and why.
    Refused(Refused),
}

/// Takes a report from the monitor of `node`, or says why not.
pub(crate) async fn report(
    app: &App,
    node: &NodeName,
    body: &Bytes,
) -> Result<Answered, PortalError> {
    let now = app.clock.now();
    if !app.monitors().may_report(node, now) {
        let refused = Refused {
            code: "flood",
            detail: "it reports more often than once a second".to_owned(),
        };
        return Ok(refuse(app, node, &refused, now, ReportVerdict::Flood, Answered::TooMany));
    }
    let report: NodeReport = match serde_json::from_slice(body) {
        Ok(report) => report,
        Err(error) => {
            // From a monitor, not from a person: its text may be repeated.
            let detail = format!("what it sent is no report: {}", srm::shown(&error.to_string()));
            return doubt(app, node, &Fault::new(FaultCode::Unreadable, detail), now).await;
        }
    };
    for _ in 0..TRIES_MAX {
        if let Some(answered) = try_report(app, node, &report, now).await? {
            return Ok(answered);
        }
    }
    Err(PortalError::Contended)
}

/// A report that is too long to be read.
pub(crate) async fn too_long(app: &App, node: &NodeName) -> Result<Answered, PortalError> {
    let fault = Fault::new(FaultCode::Absurd, "its report is longer than any report can be");
    doubt(app, node, &fault, app.clock.now()).await
}

/// `None`: somebody else wrote the record first.
async fn try_report(
    app: &App,
    node: &NodeName,
    report: &NodeReport,
    now: Timestamp,
) -> Result<Option<Answered>, PortalError> {
    let found = app.store.node_record(node).await?;
    let record = found.unwrap_or_else(|| NodeRecord::new(node.clone()));
    // Which machine it is was judged when it first reported.
    let twin = match record.machine {
        Some(_) => None,
        None => app.store.node_of_machine(&report.machine).await?.filter(|other| other != node),
    };
    let is_new_slot = record.received.is_none_or(|before| slot_ms(before) != slot_ms(now));
    let claims = if is_new_slot || tells_of_cards(&report.content) {
        app.store.node_claims(node).await?
    } else {
        Vec::new()
    };
    let held = held(&claims);
    let known = Known { node, record: &record, twin: twin.as_ref(), held: &held };
    let taken = match srm::judge(&known, report.clone(), now) {
        Verdict::Taken(taken) => taken,
        Verdict::Repeated => return Ok(Some(taken_answer(app, false, now))),
        Verdict::WantsFull => return Ok(Some(taken_answer(app, true, now))),
        Verdict::Refused(refused) => {
            let answer = Answered::Refused(refused.clone());
            return Ok(Some(refuse(app, node, &refused, now, ReportVerdict::Refused, answer)));
        }
        Verdict::Quarantined(fault) => return Ok(Some(doubt(app, node, &fault, now).await?)),
    };
    let written = if taken.is_sign_of_life {
        app.store.touch_node(&taken.record, record.generation).await?
    } else {
        app.store.put_node_report(&taken.record, record.generation).await?
    };
    if !written {
        return Ok(None);
    }
    if let Some(quarantine) = record.quarantine.as_ref().filter(|_| taken.heals)
        && app.store.heal_quarantine(node, &quarantine.code).await?
    {
        note(app, node, "node_believed", format!("{} is over", quarantine.code), now).await?;
        placement_changed(app);
    }
    for (card, desktop) in &taken.vanished {
        warn!(node.name = %node, desktop.id = %desktop, card = %card, "A card is gone");
        let detail = format!("card {card} of node {node} is gone");
        let event = event(node, "card_gone", audit::desktop(*desktop), detail, now);
        app.store.audit(&event).await?;
    }
    if is_new_slot {
        let sample = sample(&taken.record, &claims, now);
        app.store.put_node_sample(node, &sample).await?;
    }
    if !taken.is_sign_of_life && differ(&record.cards, &taken.record.cards) {
        // A card that was given back may be what somebody waits for.
        placement_changed(app);
    }
    Ok(Some(taken_answer(app, false, now)))
}

/// Lets a monitor in: a secret becomes an identity.
pub(crate) async fn enrol(
    app: &App,
    request: &EnrolRequest,
) -> Result<Result<EnrolAnswer, Answered>, PortalError> {
    let now = app.clock.now();
    if !app.monitors().may_enrol(now) {
        return Ok(Err(Answered::TooMany));
    }
    let refused = |code, detail: &str| {
        Ok(Err(Answered::Refused(Refused { code, detail: detail.to_owned() })))
    };
    let wrong = "the secret is wrong, used up or too old: ask an administrator for a new one";
    // Before anything that would tell what nodes there are.
    if !app.auth.is_enrolment(&request.secret).await? {
        warn!(node.name = %request.node, "Refused a monitor: wrong secret");
        return refused("wrong_secret", wrong);
    }
    let EnrolRequest { secret, node, machine } = request;
    if machine.trim().is_empty() || machine.chars().count() > MACHINE_CHARS_MAX {
        return refused("invalid_machine", "a machine id has 1 to 128 characters");
    }
    let record = app.store.node_record(node).await?;
    let known = record.as_ref().and_then(|record| record.machine.as_ref());
    if known.is_some_and(|known| known != machine) {
        let why =
            "another machine reports as this node: an administrator must forget the node first";
        return refused("machine", why);
    }
    let twin = app.store.node_of_machine(machine).await?.filter(|other| other != node);
    if let Some(twin) = twin {
        let why = format!("this machine reports as node {twin} already");
        return refused("twin", &why);
    }
    let Ok(identity) = app.authority.monitor_identity(node) else {
        return refused("invalid_name", "a node's name must be a host name");
    };
    if !app.auth.use_enrolment(secret).await? {
        return refused("wrong_secret", wrong);
    }
    if record.is_none() {
        let record = NodeRecord { machine: Some(machine.clone()), ..NodeRecord::new(node.clone()) };
        app.store.put_node_report(&record, 0).await?;
    }
    note(app, node, "node_enrolled", format!("machine {}", srm::shown(machine)), now).await?;
    app.events().changed();
    Ok(Ok(answer(app, identity)))
}

/// A new identity for a monitor that has one, unless its node is not believed.
pub(crate) async fn renew(
    app: &App,
    node: &NodeName,
) -> Result<Result<EnrolAnswer, Answered>, PortalError> {
    let now = app.clock.now();
    if !app.monitors().may_report(node, now) {
        return Ok(Err(Answered::TooMany));
    }
    let record = app.store.node_record(node).await?;
    let quarantine = record.and_then(|record| record.quarantine);
    if let Some(quarantine) = quarantine.filter(|q| !FaultCode::heals(&q.code)) {
        let detail = format!("the node is in quarantine: {}", quarantine.detail);
        return Ok(Err(Answered::Refused(Refused { code: "quarantined", detail })));
    }
    let identity = app.authority.monitor_identity(node)?;
    info!(node.name = %node, "Gave a monitor a new identity");
    Ok(Ok(answer(app, identity)))
}

fn answer(app: &App, identity: Identity) -> EnrolAnswer {
    EnrolAnswer {
        certificate: identity.certificate_pem,
        key: identity.key_pem,
        authority: app.authority.authority_pem().to_owned(),
    }
}

fn taken_answer(app: &App, wants_full: bool, now: Timestamp) -> Answered {
    app.metrics().reported(if wants_full {
        ReportVerdict::WantsFull
    } else {
        ReportVerdict::Taken
    });
    Answered::Taken(NodeReportAnswer { wants_full, now })
}

/// Keeps in mind why, for administrators.
fn refuse(
    app: &App,
    node: &NodeName,
    refused: &Refused,
    now: Timestamp,
    verdict: ReportVerdict,
    answer: Answered,
) -> Answered {
    app.metrics().reported(verdict);
    if app.monitors().refused(node, refused, now) {
        warn!(node.name = %node, code = refused.code, reason = refused.detail, "Refused a report");
    }
    answer
}

/// Puts the node in quarantine, unless it is for this or something worse.
async fn doubt(
    app: &App,
    node: &NodeName,
    fault: &Fault,
    now: Timestamp,
) -> Result<Answered, PortalError> {
    app.metrics().reported(ReportVerdict::Quarantined);
    let record = app.store.node_record(node).await?;
    let present = record.and_then(|record| record.quarantine);
    if present.is_none_or(|present| fault.outweighs(&present.code)) {
        app.store.quarantine_node(node, &fault.quarantine()).await?;
        let (code, reason) = (fault.code.as_str(), fault.detail.as_str());
        warn!(node.name = %node, code, reason, "Put a node in quarantine");
        note(app, node, "node_quarantined", format!("{code}: {reason}"), now).await?;
        placement_changed(app);
    }
    let detail = format!("the node is in quarantine: {}", fault.detail);
    Ok(Answered::Refused(Refused { code: fault.code.as_str(), detail }))
}

/// What nodes are good for has changed: for plans, and for pages.
pub(crate) fn placement_changed(app: &App) {
    app.planning().changed();
    app.events().changed();
}

async fn note(
    app: &App,
    node: &NodeName,
    action: &str,
    detail: String,
    now: Timestamp,
) -> Result<(), PortalError> {
    let event = event(node, action, audit::node(node), detail, now);
    Ok(app.store.audit(&event).await?)
}

fn event(
    node: &NodeName,
    action: &str,
    subject: String,
    detail: String,
    at: Timestamp,
) -> AuditEvent {
    AuditEvent { at, actor: audit::node(node), action: action.to_owned(), subject, detail }
}

fn tells_of_cards(content: &NodeContent) -> bool {
    match content {
        NodeContent::Full { .. } => true,
        NodeContent::Changes { cards, gone, facts, .. } => {
            facts.is_some() || !cards.is_empty() || !gone.is_empty()
        }
    }
}

fn held(claims: &[ClaimRow]) -> Vec<(CardAddress, DesktopId)> {
    let of = |row: &ClaimRow| {
        let desktop = row.claim.desktop;
        row.claim.cards.iter().map(move |card| (card.clone(), desktop)).collect::<Vec<_>>()
    };
    claims.iter().flat_map(of).collect()
}

/// Thousandths of a card that these claims hold.
pub(crate) fn held_milli<'a>(
    claims: impl IntoIterator<Item = &'a ClaimRow>,
    card: &CardAddress,
) -> u32 {
    let holds = |row: &&ClaimRow| row.claim.cards.contains(card);
    claims.into_iter().filter(holds).map(|row| row.claim.share_milli).sum()
}

fn sample(record: &NodeRecord, claims: &[ClaimRow], at: Timestamp) -> NodeSample {
    let facts = record.facts.clone().unwrap_or_default();
    let card = |card: &Card| CardSample {
        address: card.address.clone(),
        state: card.state,
        busy_percent: card.busy_percent,
        memory_mib_used: card.memory_mib_used,
        held_milli: held_milli(claims, &card.address),
    };
    NodeSample {
        at,
        cpu_busy_permille: facts.cpu_busy_permille,
        memory_mib: facts.memory_mib,
        memory_mib_used: facts.memory_mib_used,
        disk_gib: facts.disk_gib,
        disk_gib_used: facts.disk_gib_used,
        cards: record.cards.iter().map(card).collect(),
    }
}

/// Whether more is new about the cards than how busy they are.
fn differ(old: &[Card], new: &[Card]) -> bool {
    let at_rest = |card: &Card| Card { busy_percent: None, memory_mib_used: None, ..card.clone() };
    !old.iter().map(at_rest).eq(new.iter().map(at_rest))
}

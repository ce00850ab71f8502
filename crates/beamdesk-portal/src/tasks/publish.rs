//! Tells the cloud what monitors tell of cards, so that its own tools see them too.

use std::time::Duration;

use beamdesk_cloud::{HostCards, Published};
use beamdesk_types::{CardAddress, CardState, NodeName};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::{App, PortalError};

/// Other tools look at what kinds of cards there are, which changes seldom.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Also when nothing has changed here: somebody may have changed it there.
const AGAIN: Duration = Duration::from_secs(600);

/// What of the cards is told, to see whether it is new.
type Told = Vec<(NodeName, Vec<(CardAddress, String, u64, CardState)>)>;

/// Runs until shutdown.
pub(crate) async fn publish(app: App) {
    let mut last: Option<(Instant, Told)> = None;
    let mut refused = None;
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let hosts = match hosts(&app).await {
            Ok(hosts) => hosts,
            Err(error) => {
                warn!(%error, "Could not read the nodes, will try again");
                continue;
            }
        };
        let told = told(&hosts);
        if last.as_ref().is_some_and(|(at, last)| *last == told && at.elapsed() < AGAIN) {
            continue;
        }
        match app.cloud.publish(&hosts).await {
            Ok(published) => {
                note(&published, &mut refused);
                last = Some((Instant::now(), told));
            }
            Err(error) => warn!(%error, "Could not tell the cloud of cards, will try again"),
        }
    }
}

/// Says once what may not be done there.
fn note(published: &Published, refused: &mut Option<String>) {
    if published.changed > 0 {
        info!(nodes = published.changed, "The cloud knows of new or other cards");
    }
    if !published.unknown.is_empty() {
        debug!(nodes = ?published.unknown, "Nodes with monitors that the cloud does not have");
    }
    if published.refused != *refused {
        refused.clone_from(&published.refused);
        if let Some(why) = refused {
            info!(why, "The cloud is not told of cards: our account has no right to");
        }
    }
}

/// Of nodes that are believed, what their monitors tell.
async fn hosts(app: &App) -> Result<Vec<HostCards>, PortalError> {
    let records = app.store.node_records().await?;
    let believed =
        records.into_iter().filter(|record| record.facts.is_some() && record.quarantine.is_none());
    Ok(believed.map(|record| HostCards { node: record.name, cards: record.cards }).collect())
}

fn told(hosts: &[HostCards]) -> Told {
    let card = |card: &beamdesk_types::Card| {
        (card.address.clone(), card.model.clone(), card.memory_mib, card.state)
    };
    hosts.iter().map(|host| (host.node.clone(), host.cards.iter().map(card).collect())).collect()
}

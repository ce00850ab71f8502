//! Agents of servers elsewhere: what their seeds say, and who of them gets an identity.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use beamdesk_auth::{AgentEnrolError, AgentRefused};
use beamdesk_types::{
    AgentEnrolRequest, AgentIdentity, AgentRenewRequest, AgentSeed, Desktop, DesktopId, Secret,
    SessionConfig, Timestamp,
};
use tracing::{info, warn};

use crate::{App, PortalError, app::monitors::Pace};

/// Checking a request and signing take a millisecond. Behind a load balancer that does not say who
/// asks, all the agents of a site share this.
const ASK_EVERY: Duration = Duration::from_millis(50);
const ASKS_AT_ONCE: u32 = 100;
/// Addresses that are remembered; forgetting them all at once forgives them.
const ADDRESSES_MAX: usize = 10_000;
/// An order that is repeated within this carries the secret of the first: two thirds of its life are
/// left, and there are not more of them than needed.
const SEED_REUSED: Duration = Duration::from_secs(300);
/// Desktops that are being made at once are far fewer.
const SEEDS_MAX: usize = 10_000;

/// What this portal knows of agents, besides what is in the database. In memory: a restart forgets.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    asks: Mutex<HashMap<IpAddr, Pace>>,
    seeds: Mutex<HashMap<DesktopId, Issued>>,
}

#[derive(Debug, Clone)]
struct Issued {
    generation: u32,
    makes_server: bool,
    secret: Secret,
    at: Timestamp,
}

/// Why an agent got nothing.
#[derive(Debug)]
pub(crate) enum Refusal {
    TooMany,
    Refused(AgentRefused),
    /// It sent no certificate request that can be used; the text says what is wrong with it.
    Request(String),
}

impl Agents {
    fn may_ask(&self, address: IpAddr, now: Timestamp) -> bool {
        let mut asks = lock(&self.asks);
        if asks.len() >= ADDRESSES_MAX && !asks.contains_key(&address) {
            asks.clear();
        }
        asks.entry(address).or_default().take(now, ASK_EVERY, ASKS_AT_ONCE)
    }

    /// The secret that was issued for this very start a moment ago.
    fn issued(
        &self,
        desktop: DesktopId,
        generation: u32,
        makes_server: bool,
        now: Timestamp,
    ) -> Option<Secret> {
        let seeds = lock(&self.seeds);
        let issued = seeds.get(&desktop)?;
        let is_same = issued.generation == generation && issued.makes_server == makes_server;
        (is_same && is_recent(issued.at, now)).then(|| issued.secret.clone())
    }

    fn remember(&self, desktop: DesktopId, issued: Issued) {
        let mut seeds = lock(&self.seeds);
        if seeds.len() >= SEEDS_MAX {
            seeds.retain(|_, former| is_recent(former.at, issued.at));
        }
        if seeds.len() < SEEDS_MAX {
            seeds.insert(desktop, issued);
        }
    }
}

/// Also false when the clock was set back.
fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    let age = Duration::try_from(now.duration_since(at));
    age.is_ok_and(|age| age < SEED_REUSED)
}

/// What the agent of a server elsewhere is told. `makes_server`: the server is made now, not started
/// again.
pub(crate) async fn seed(
    app: &App,
    desktop: &Desktop,
    session: SessionConfig,
    makes_server: bool,
) -> Result<AgentSeed, PortalError> {
    let portals = app.config.agent_portals();
    if portals.is_empty() {
        return Err(PortalError::NoMonitorAddress);
    }
    let (generation, now) = (desktop.generation, app.clock.now());
    let secret = match app.agents().issued(desktop.id, generation, makes_server, now) {
        Some(secret) => secret,
        None => {
            let secret = app.auth.new_agent_secret(desktop.id, generation, makes_server).await?;
            let issued = Issued { generation, makes_server, secret: secret.clone(), at: now };
            app.agents().remember(desktop.id, issued);
            secret
        }
    };
    Ok(AgentSeed {
        desktop: desktop.id,
        generation,
        portals,
        authority: app.authority.authority_pem().to_owned(),
        secret,
        session,
    })
}

/// Turns a seed's secret into an identity.
pub(crate) async fn enrol(
    app: &App,
    request: &AgentEnrolRequest,
    from: IpAddr,
) -> Result<Result<AgentIdentity, Refusal>, PortalError> {
    if !app.agents().may_ask(from, app.clock.now()) {
        return Ok(Err(Refusal::TooMany));
    }
    let enrolled = app.auth.enrol_agent(&app.authority, request, &from.to_string()).await;
    if let Ok(identity) = &enrolled {
        let generation = identity.generation;
        info!(desktop.id = %request.desktop, generation, %from, "Enrolled an agent");
    }
    outcome(enrolled, request.desktop, from)
}

/// Another certificate for an agent that enrolled.
pub(crate) async fn renew(
    app: &App,
    request: &AgentRenewRequest,
    from: IpAddr,
) -> Result<Result<AgentIdentity, Refusal>, PortalError> {
    if !app.agents().may_ask(from, app.clock.now()) {
        return Ok(Err(Refusal::TooMany));
    }
    let renewed = app.auth.renew_agent(&app.authority, request).await;
    if let Ok(identity) = &renewed {
        let generation = identity.generation;
        info!(desktop.id = %request.desktop, generation, %from, "Gave an agent a new certificate");
    }
    outcome(renewed, request.desktop, from)
}

fn outcome(
    outcome: Result<AgentIdentity, AgentEnrolError>,
    desktop: DesktopId,
    from: IpAddr,
) -> Result<Result<AgentIdentity, Refusal>, PortalError> {
    match outcome {
        Ok(identity) => Ok(Ok(identity)),
        Err(AgentEnrolError::Refused(refused)) => {
            let (reason, alarm) = (refused.as_str(), refused.is_alarm());
            warn!(desktop.id = %desktop, %from, reason, alarm, "Refused an agent");
            Ok(Err(Refusal::Refused(refused)))
        }
        Err(AgentEnrolError::Request(text)) => {
            warn!(desktop.id = %desktop, %from, reason = text, "Refused an agent");
            Ok(Err(Refusal::Request(text)))
        }
        Err(AgentEnrolError::Auth(error)) => Err(error.into()),
        Err(AgentEnrolError::Pki(error)) => Err(error.into()),
    }
}

/// What a panicking holder left is still whole: every change under these locks is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use beamdesk_types::{DesktopId, Secret, Timestamp};

    use super::{ASKS_AT_ONCE, Agents, Issued};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn an_order_that_is_repeated_soon_carries_the_same_secret() {
        let (agents, desktop) = (Agents::default(), DesktopId::fresh());
        let secret = Secret::new("one".to_owned());
        let issued = Issued { generation: 2, makes_server: true, secret, at: at(0) };
        agents.remember(desktop, issued);
        let again = |generation, makes_server, seconds| {
            agents.issued(desktop, generation, makes_server, at(seconds)).is_some()
        };
        assert!(again(2, true, 0) && again(2, true, 299));
        assert!(!again(2, true, 300), "not much of its life would be left");
        assert!(!again(3, true, 1) && !again(2, false, 1), "for another start");
        assert!(!again(2, true, -1), "the clock was set back");
        assert!(agents.issued(DesktopId::fresh(), 2, true, at(0)).is_none());
    }

    #[test]
    fn one_address_that_floods_keeps_no_other_from_asking() {
        let agents = Agents::default();
        let address = |n| IpAddr::V4(Ipv4Addr::new(10, 0, 0, n));
        let asked = (0..10_000).filter(|_| agents.may_ask(address(1), at(0))).count();
        assert_eq!(u32::try_from(asked).unwrap(), ASKS_AT_ONCE);
        assert!(agents.may_ask(address(2), at(0)));
        assert!(agents.may_ask(address(1), at(1)));
    }
}

//! The monitor's life: let in, then a sample and a report every interval, until it is told to stop.

use std::{sync::Arc, time::Duration};

use beamdesk_types::{Clock, EnrolAnswer, NodeName, Secret};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use url::Url;

use crate::{
    Config, Entry, MonitorError, Probe, Reporter, Sample,
    backoff::{backoff, wait_for},
    enrol::{Enrolled, enrol},
    portal::{Portal, PortalError, base},
    state::State,
    tls::mutual,
    validity::Validity,
};

/// First wait of one that is not let in yet, unless the interval is shorter.
const ENROL_WAIT: Duration = Duration::from_secs(1);
/// A renewal that failed is asked again after so long; a third of a certificate's life is months.
const RENEW_AGAIN: Duration = Duration::from_secs(600);

/// Reports until `shutdown`. Errors are for good; a portal that is away is none.
pub async fn run(
    config: Config,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
) -> Result<(), MonitorError> {
    base(&config.portal)?;
    let probe_config = config.probe.clone();
    let probe = spawn_blocking(move || Probe::new(probe_config)).await;
    let Ok(probe) = probe else { return Ok(()) };
    let probe = probe?;
    let state = State::open(&config.state)?;
    let machine = match probe.machine() {
        Some(machine) => machine.to_owned(),
        None => state.machine()?,
    };
    let entered = Box::pin(enter(&config, &state, &machine, &shutdown)).await?;
    let Some(identity) = entered else { return Ok(()) };
    let monitor = Monitor {
        portal: Portal::new(&config.portal, mutual(&identity)?)?,
        validity: Validity::of_pem(&identity.certificate),
        keeps_identity: matches!(config.entry, Entry::Enrol { .. }),
        renew_not_before: Instant::now(),
        address: config.portal.clone(),
        reporter: Reporter::new(
            config.node.clone(),
            machine,
            u32::try_from(config.interval.as_secs().max(1)).unwrap_or(u32::MAX),
            state.generation(),
        ),
        interval: config.interval,
        node: config.node,
        state,
        clock,
        failures: 0,
        trouble: String::new(),
        keeps_generation: true,
    };
    Box::pin(monitor.go(probe, shutdown)).await
}

/// The identity; `None`: told to stop meanwhile.
async fn enter(
    config: &Config,
    state: &State,
    machine: &str,
    shutdown: &CancellationToken,
) -> Result<Option<EnrolAnswer>, MonitorError> {
    let secret = match &config.entry {
        Entry::Identity { certificate, key, authority } => {
            let identity = EnrolAnswer {
                certificate: certificate.clone(),
                key: key.clone(),
                authority: authority.clone(),
            };
            return Ok(Some(identity));
        }
        Entry::Enrol { secret } => secret,
    };
    if let Some(identity) = state.identity()? {
        return Ok(Some(identity));
    }
    let secret = secret.as_ref().ok_or(MonitorError::NoSecret)?;
    let identity = keep_asking(config, secret, machine, shutdown).await?;
    let Some(identity) = identity else { return Ok(None) };
    state.keep_identity(&identity)?;
    info!(node.name = %config.node, "The portal let this monitor in");
    Ok(Some(identity))
}

async fn keep_asking(
    config: &Config,
    secret: &Secret,
    machine: &str,
    shutdown: &CancellationToken,
) -> Result<Option<EnrolAnswer>, MonitorError> {
    let Config { portal, node, .. } = config;
    let first = ENROL_WAIT.min(config.interval);
    let mut failures = 0_u32;
    let mut trouble = String::new();
    loop {
        let asked = tokio::select! {
            asked = enrol(portal, secret, node, machine) => asked?,
            () = shutdown.cancelled() => return Ok(None),
        };
        let error = match asked {
            Enrolled::Yes(identity) => return Ok(Some(identity)),
            Enrolled::NotYet(error) => error,
        };
        let text = error.to_string();
        if text != trouble {
            warn!(error = text, "Cannot enrol yet; asking again");
            trouble = text;
        }
        let wait = wait_for(&error).unwrap_or_else(|| backoff(first, failures, node)).max(first);
        failures = failures.saturating_add(1);
        tokio::select! {
            () = sleep_until(Instant::now() + wait) => {}
            () = shutdown.cancelled() => return Ok(None),
        }
    }
}

struct Monitor {
    portal: Portal,
    address: Url,
    /// Life of the identity.
    validity: Option<Validity>,
    /// Whether a renewed identity is kept on disk. One that came from who started us is made anew
    /// at each start.
    keeps_identity: bool,
    renew_not_before: Instant,
    reporter: Reporter,
    interval: Duration,
    node: NodeName,
    state: State,
    clock: Arc<dyn Clock>,
    /// Reports in a row that had no answer.
    failures: u32,
    /// The last of them, told once.
    trouble: String,
    keeps_generation: bool,
}

impl Monitor {
    async fn go(
        mut self,
        mut probe: Probe,
        shutdown: CancellationToken,
    ) -> Result<(), MonitorError> {
        info!(node.name = %self.node, portal = %self.address, "Monitor reports");
        loop {
            let begun = Instant::now();
            // A driver that hangs holds up the samples, and the record goes stale, as it should.
            let looked = spawn_blocking(move || {
                let sample = probe.sample();
                (probe, sample)
            });
            let sample;
            tokio::select! {
                looked = looked => match looked {
                    Ok(looked) => (probe, sample) = looked,
                    Err(_) => return Ok(()),
                },
                () = shutdown.cancelled() => return Ok(()),
            }
            let wait = tokio::select! {
                wait = self.tell(sample) => wait,
                () = shutdown.cancelled() => return Ok(()),
            };
            tokio::select! {
                () = sleep_until(begun + wait) => {}
                () = shutdown.cancelled() => return Ok(()),
            }
        }
    }

    /// Sends a report and takes in the answer; how long from the sample to the next one.
    async fn tell(&mut self, sample: Sample) -> Duration {
        self.renew().await;
        let mut told = self.report(sample.clone()).await;
        if matches!(told, Ok(true)) {
            told = self.report(sample).await;
        }
        match told {
            Ok(_) => {
                self.trouble.clear();
                if std::mem::take(&mut self.failures) > 0 {
                    info!("The portal takes reports again");
                }
                self.interval
            }
            Err(error) => {
                let text = error.to_string();
                if text != self.trouble {
                    warn!(error = text, "The portal did not take a report; trying on");
                    self.trouble = text;
                }
                let wait = wait_for(&error)
                    .unwrap_or_else(|| backoff(self.interval, self.failures, &self.node));
                self.failures = self.failures.saturating_add(1);
                wait.max(self.interval)
            }
        }
    }

    /// `true`: the portal wants all.
    async fn report(&mut self, sample: Sample) -> Result<bool, PortalError> {
        let report = self.reporter.report(sample, self.clock.now());
        // Before it is sent: a generation is used up even if this ends here.
        if let Err(error) = self.state.keep_generation(self.reporter.generation())
            && std::mem::take(&mut self.keeps_generation)
        {
            warn!(%error, "The generation cannot be kept; after a restart the clock must do");
        }
        let answer = self.portal.report(&report).await?;
        Ok(self.reporter.answered(&answer))
    }

    /// A new identity when a third of the old one's life is left.
    async fn renew(&mut self) {
        let now = self.clock.now();
        let is_due = self.validity.is_some_and(|validity| validity.is_waning(now));
        if !is_due || Instant::now() < self.renew_not_before {
            return;
        }
        self.renew_not_before = Instant::now() + RENEW_AGAIN;
        let renewed = match self.portal.renew().await {
            Ok(identity) => self.adopt(&identity),
            Err(error) => {
                warn!(%error, "The monitor's identity could not be renewed; trying on");
                return;
            }
        };
        match renewed {
            Ok(()) => info!("The monitor's identity was renewed"),
            Err(error) => error!(%error, "The renewed identity cannot be used"),
        }
    }

    /// Kept only once it is known to work, so that a bad answer does not shut the monitor out.
    fn adopt(&mut self, identity: &EnrolAnswer) -> Result<(), MonitorError> {
        let portal = Portal::new(&self.address, mutual(identity)?)?;
        if self.keeps_identity {
            self.state.keep_identity(identity)?;
        }
        self.validity = Validity::of_pem(&identity.certificate);
        self.portal = portal;
        Ok(())
    }
}

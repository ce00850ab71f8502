//! `beamdesk gateway`: one of several gateways.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use beamdesk_auth::PORTAL_SERVER_NAME;
use beamdesk_gateway::{GatewayConfig, Listener, Times};
use beamdesk_http::{Limits, Origins};
use clap::Args;
use tokio::net::lookup_host;
use tokio_util::sync::CancellationToken;
use tracing::info;
use url::Url;

use crate::{
    config::{self, bind, gateway::GatewayFile},
    portal::{Signals, said},
};

#[derive(Args)]
pub(crate) struct Options {
    /// Configuration file (TOML); see docs/production.md
    #[arg(long, value_name = "FILE", default_value = "/etc/beamdesk/gateway.toml")]
    config: PathBuf,

    /// Says what is wrong with the configuration, and ends
    #[arg(long)]
    check: bool,
}

pub(crate) fn gateway(options: &Options) -> Result<()> {
    let file: GatewayFile = config::read(&options.config)?;
    file.faults().result(&options.config)?;
    if options.check {
        return said(&format!("{} is right", options.config.display()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&file))
}

async fn run(file: &GatewayFile) -> Result<()> {
    let mut signals = Signals::new()?;
    let shutdown = CancellationToken::new();
    let serving = beamdesk_gateway::run(settings(file).await?, shutdown.clone());
    tokio::pin!(serving);
    tokio::select! {
        done = &mut serving => return done.context("the gateway"),
        () = signals.next() => {}
    }
    info!("Draining; a second signal does not wait");
    shutdown.cancel();
    tokio::select! {
        done = serving => done.context("the gateway"),
        () = signals.next() => bail!("stopped at once"),
    }
}

async fn settings(file: &GatewayFile) -> Result<GatewayConfig> {
    let socket = bind(file.listen.public, "listen.public").await?;
    Ok(GatewayConfig {
        name: file.name.clone(),
        listeners: vec![Listener { socket, tls: file.listen.tls()? }],
        origins: Origins::new(file.origins.clone())?,
        portal_origins: Origins::new(file.portal_origins.clone())?,
        portal_url: Url::parse(&format!("https://{PORTAL_SERVER_NAME}"))?,
        portal_addresses: addresses(&file.portals).await?,
        tls: file.identity()?.tls()?,
        limits: Limits { proxies: file.listen.proxies.clone(), ..Limits::default() },
        streams_max: file.streams_max,
        recordings: file.recordings.as_ref().map(config::gateway::RecordingsTable::recordings),
        times: Times {
            drain_wait: Duration::from_secs(file.drain.wait_seconds),
            drain_spread: Duration::from_secs(file.drain.spread_seconds),
            ..Times::default()
        },
    })
}

/// All names are looked up once; a portal whose address changes needs a restart of gateways.
async fn addresses(portals: &[String]) -> Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for portal in portals {
        let mut found = lookup_host(portal.as_str())
            .await
            .with_context(|| format!("portals: the address of {portal} cannot be found"))?;
        addresses.push(found.next().with_context(|| format!("portals: {portal} has no address"))?);
    }
    Ok(addresses)
}

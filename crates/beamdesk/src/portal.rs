//! `beamdesk portal`: one of several portals on one database.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use beamdesk_auth::{Auth, AuthConfig, Authority, HandleKey, Identity};
use beamdesk_http::Limits;
use beamdesk_portal::{
    App, GatewayPlace, Listener, Listeners, OriginPair, Parts, PortalConfig, TlsProbe,
};
use beamdesk_store::Store;
use beamdesk_types::Clock;
use clap::Args;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    clock::SystemClock,
    cloud,
    config::{self, bind, portal::PortalFile},
    sizes::sizes,
};

/// Where the database keeps by what its portals' keys are known.
const KEYS_SETTING: &str = "keys";

#[derive(Args)]
pub(crate) struct Options {
    /// Configuration file (TOML); see docs/production.md
    #[arg(long, value_name = "FILE", default_value = "/etc/beamdesk/portal.toml")]
    config: PathBuf,

    /// Says what is wrong with the configuration, and ends
    #[arg(long)]
    check: bool,

    /// Prints a link that makes the first administrator, good for a day and once, and ends
    #[arg(long, conflicts_with = "check")]
    setup_link: bool,
}

pub(crate) fn portal(options: &Options) -> Result<()> {
    let file = read(&options.config)?;
    if options.check {
        return said(&format!("{} is right", options.config.display()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if options.setup_link {
        return runtime.block_on(setup_link(&file));
    }
    runtime.block_on(run(&file))
}

/// A configuration file without faults.
pub(crate) fn read(path: &Path) -> Result<PortalFile> {
    let file: PortalFile = config::read(path)?;
    file.faults().result(path)?;
    Ok(file)
}

/// The database, and the accounts in it.
pub(crate) async fn open(file: &PortalFile) -> Result<(Store, Auth)> {
    let store = store(file).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let config = AuthConfig {
        peers: file.peers(),
        providers: file.providers()?,
        ..AuthConfig::new(handle_key(file)?)
    };
    Ok((store.clone(), Auth::new(store, clock, config)))
}

/// Takes the keys of this file as the installation's, whatever they were before.
pub(crate) async fn accept_keys(file: &PortalFile) -> Result<()> {
    let store = store(file).await?;
    Ok(store.put_setting(KEYS_SETTING, &keys_mark(file)?).await?)
}

async fn run(file: &PortalFile) -> Result<()> {
    let mut signals = Signals::new()?;
    let shutdown = CancellationToken::new();
    let (store, auth) = open(file).await?;
    check_keys(file, &store).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let authority = Authority::open_or_create(&file.keys, Arc::clone(&clock))?;
    let identity = authority.portal_identity()?;
    let limits = Limits { proxies: file.listen.browsers().proxies, ..Limits::default() };
    let listeners = listeners(file, &authority, &identity).await?;
    let cloud = tokio::select! {
        cloud = cloud::open(&file.cloud, Arc::clone(&clock)) => cloud?,
        () = signals.next() => return Ok(()),
    };
    let app = App::new(Parts {
        store,
        auth,
        authority: authority.clone(),
        cloud: Arc::clone(&cloud),
        clock,
        probe: Arc::new(TlsProbe::new(authority.client_config(&identity, &[])?.as_ref())),
        config: settings(file, limits)?,
        shutdown: shutdown.clone(),
    });
    let serving = beamdesk_portal::run(app.clone(), listeners);
    tokio::pin!(serving);
    tokio::select! {
        done = &mut serving => {
            cloud.shutdown().await;
            return done.context("the portal");
        }
        () = signals.next() => {}
    }
    info!("Stopping; a second signal does not wait");
    app.drain();
    let orderly = async {
        tokio::select! {
            done = &mut serving => return done,
            () = sleep(Duration::from_secs(file.drain_seconds)) => {}
        }
        shutdown.cancel();
        serving.await
    };
    tokio::select! {
        done = orderly => {
            cloud.shutdown().await;
            done.context("the portal")
        }
        () = signals.next() => bail!("stopped at once"),
    }
}

fn settings(file: &PortalFile, limits: Limits) -> Result<PortalConfig> {
    let pair = |entry: &config::portal::OriginsEntry| OriginPair {
        portal: entry.portal.clone(),
        gateway: entry.gateway.clone(),
    };
    let place = |entry: &config::portal::GatewayEntry| {
        let origin = entry.origin.clone()?;
        Some(GatewayPlace { name: entry.name.clone(), origin })
    };
    let first = file.gateways.first().context("gateways: at least one is needed")?;
    let monitor_url = file.monitor_url.as_ref();
    Ok(PortalConfig {
        name: file.name.clone(),
        origins: file.origins.iter().map(pair).collect(),
        gateway: first.name.clone(),
        gateways: file.gateways.iter().filter_map(place).collect(),
        bind_domain: file.bind_domain.clone(),
        monitor_url: monitor_url.map(|url| url.as_str().trim_end_matches('/').to_owned()),
        agent_portals: cloud::agent_portals(&file.cloud),
        desktops_max: file.desktops_max,
        screen: (1920, 1080),
        sizes: sizes(),
        limits,
    })
}

async fn listeners(
    file: &PortalFile,
    authority: &Authority,
    identity: &Identity,
) -> Result<Listeners> {
    let (listen, browsers) = (&file.listen, file.listen.browsers());
    let one = async |address: SocketAddr, key: &str, tls| {
        Ok::<_, anyhow::Error>(vec![Listener { socket: bind(address, key).await?, tls }])
    };
    let gateways = authority.server_config_requiring_client(identity, &[])?;
    let monitors = authority.server_config_allowing_client(identity, &[])?;
    Ok(Listeners {
        public: one(browsers.public, "listen.public", browsers.tls()?).await?,
        internal: one(listen.internal, "listen.internal", Some(gateways)).await?,
        monitors: one(listen.monitors, "listen.monitors", Some(monitors)).await?,
    })
}

async fn store(file: &PortalFile) -> Result<Store> {
    let url = file.database()?;
    // Its address may hold a password.
    Store::open(url.expose()).await.context("could not open the database")
}

fn handle_key(file: &PortalFile) -> Result<HandleKey> {
    Ok(HandleKey::open_or_create(&file.keys.join("handle.key"))?)
}

/// By what this portal's keys are known, without showing them.
fn keys_mark(file: &PortalFile) -> Result<String> {
    let authority = Authority::open_or_create(&file.keys, Arc::new(SystemClock))?;
    Ok(format!("{} {}", authority.fingerprint()?, handle_key(file)?.fingerprint()))
}

/// A portal with other keys than the others' would let in nobody whom they let in.
async fn check_keys(file: &PortalFile, store: &Store) -> Result<()> {
    let mine = keys_mark(file)?;
    if store.setting(KEYS_SETTING).await?.is_none() {
        store.put_setting(KEYS_SETTING, &mine).await?;
    }
    if store.setting(KEYS_SETTING).await?.as_ref() != Some(&mine) {
        bail!(
            "the keys in {} are not those of this installation; copy authority.json and handle.key \
             from another portal. If all portals were given new ones: beamdesk keys accept",
            file.keys.display()
        );
    }
    Ok(())
}

async fn setup_link(file: &PortalFile) -> Result<()> {
    let (_, auth) = open(file).await?;
    let Some(token) = auth.setup_link_token().await? else {
        bail!("there is an administrator already; see `beamdesk user --help`");
    };
    let portal = file.origins.first().context("origins: at least one is needed")?;
    // Behind `#`, so that it is in no request, log or referrer.
    said(&format!("{}/setup#{}", portal.portal, token.expose()))
}

/// Signals that ask to end.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn new() -> Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[expect(clippy::print_stdout, reason = "the output of the command")]
#[expect(clippy::unnecessary_wraps, reason = "the last word of commands that may fail")]
pub(crate) fn said(text: &str) -> Result<()> {
    println!("{text}");
    Ok(())
}

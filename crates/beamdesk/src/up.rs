//! `beamdesk up`: portal, gateway, monitor and database in one process, desktops on this machine.

mod listen;
mod monitor;
mod options;
mod ready;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result, anyhow};
use beamdesk_auth::{
    Auth, AuthConfig, Authority, HandleKey, Identity, PORTAL_SERVER_NAME, site_config,
    site_identity,
};
use beamdesk_cloud::Compute;
use beamdesk_gateway::{GatewayConfig, Times};
use beamdesk_http::{Limits, Origins};
use beamdesk_portal::{App, Asks, Listeners, OriginPair, Parts, PortalConfig, TlsProbe};
use beamdesk_store::Store;
use beamdesk_types::{Clock, GatewayName, Secret};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing::info;
use url::Url;

pub(crate) use self::options::Options;
use self::{
    listen::{Public, bind, listen},
    ready::Ready,
};
use crate::{
    clock::SystemClock,
    cloud::{connect, open_sandbox},
    data::Data,
    sizes::sizes,
};

/// The one gateway of a system in one process.
const GATEWAY: &str = "local";
/// One machine carries few desktops; each live stream costs some 300 KiB.
const STREAMS_MAX: usize = 256;

pub(crate) fn up(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(options))
}

async fn run(options: &Options) -> Result<()> {
    let shutdown = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;

    let data = Data::open(&options.data())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let keys = data.keys();
    let hosts = options.hosts();
    let authority = Authority::open_or_create(&keys, Arc::clone(&clock))?;
    let site = site(options, &data, &hosts, clock.as_ref())?;
    let public = listen(options, &hosts, &site_config(&site)?).await?;
    let internal = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let internal_address = internal.local_addr()?;
    let monitors = bind(options.listen, options.monitor_port, "--monitor-port").await?;
    let monitors_port = monitors.local_addr()?.port();

    let store = Store::open(&data.database())
        .await
        .with_context(|| format!("could not open {}", data.database()))?;
    let handle_key = HandleKey::open_or_create(&keys.join("handle.key"))?;
    let auth_config = AuthConfig { providers: options.providers()?, ..AuthConfig::new(handle_key) };
    let auth = Auth::new(store.clone(), Arc::clone(&clock), auth_config);
    let openstack = options.openstack()?;
    let cloud: Arc<dyn Compute> = match &openstack {
        Some(config) => tokio::select! {
            cloud = connect(config, Arc::clone(&clock)) => Arc::new(cloud?),
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        },
        None => Arc::new(open_sandbox(&data.folder).await?),
    };
    let gateway: GatewayName = GATEWAY.parse()?;

    let portal_identity = authority.portal_identity()?;
    let portal = App::new(Parts {
        store,
        auth: auth.clone(),
        authority: authority.clone(),
        cloud: Arc::clone(&cloud),
        clock: Arc::clone(&clock),
        probe: Arc::new(TlsProbe::new(authority.client_config(&portal_identity, &[])?.as_ref())),
        config: PortalConfig {
            name: "portal".to_owned(),
            origins: public.origins.clone(),
            gateway: gateway.clone(),
            gateways: Vec::new(),
            bind_domain: None,
            monitor_url: hosts.first().map(|host| format!("https://{host}:{monitors_port}")),
            agent_portals: openstack.as_ref().map(|c| c.portals.clone()).unwrap_or_default(),
            desktops_max: options.desktops_max,
            screen: (1920, 1080),
            sizes: sizes(),
            limits: Limits::default(),
        },
        shutdown: shutdown.clone(),
    });
    let internal = beamdesk_portal::Listener {
        socket: internal,
        tls: Some(authority.server_config_requiring_client(&portal_identity, &[])?),
    };
    let monitor = monitor::config(options, &authority, &data, local(monitors.local_addr()?))?;
    let monitors = beamdesk_portal::Listener {
        socket: monitors,
        tls: Some(authority.server_config_allowing_client(&portal_identity, &[])?),
    };
    let ready = Ready::new(&public, auth.setup_link_token().await?.as_ref());
    let gateway = GatewayConfig {
        recordings: options.recordings(&data.folder),
        ..gateway_config(&authority, gateway, &public.origins, public.gateway, internal_address)?
    };
    let asks = match &options.ask_socket {
        Some(path) => Some((Asks::bind(path).await?, portal.clone())),
        None => None,
    };
    let listeners =
        Listeners { public: public.portal, internal: vec![internal], monitors: vec![monitors] };

    let services = async {
        tokio::try_join!(
            async { beamdesk_portal::run(portal, listeners).await.context("the portal") },
            async {
                if let Some((asks, portal)) = asks {
                    asks.run(portal).await;
                }
                anyhow::Ok(())
            },
            async { beamdesk_gateway::run(gateway, shutdown.clone()).await.context("the gateway") },
            async {
                // Desktops elsewhere have nothing of this machine.
                if openstack.is_some() {
                    return Ok(());
                }
                let run = beamdesk_monitor::run(monitor, Arc::clone(&clock), shutdown.clone());
                Box::pin(run).await.context("the monitor")
            },
        )
    };
    tokio::pin!(services);
    ready.announce(&cloud.protections(), options.ready_file.as_deref())?;

    let ended = tokio::select! {
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
        done = &mut services => Some(done),
    };
    info!("Stopping; a second interrupt does not wait");
    shutdown.cancel();
    let orderly = async {
        // The reconciler first: it would start again what is stopped under it.
        let done = match ended {
            Some(done) => done,
            None => services.await,
        };
        cloud.shutdown().await;
        done.map(drop)
    };
    tokio::select! {
        done = orderly => done,
        _ = interrupt.recv() => Err(anyhow!("stopped at once; desktops may still run, the next start finds them")),
    }
}

/// How this machine reaches a socket of its own, which may listen on all addresses.
fn local(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

/// The certificate browsers see: the facility's own, or one made here.
fn site(options: &Options, data: &Data, hosts: &[String], clock: &dyn Clock) -> Result<Identity> {
    let (Some(certificate), Some(key)) = (&options.certificate, &options.key) else {
        return Ok(site_identity(&data.keys(), hosts, clock.now())?);
    };
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
    };
    Ok(Identity { certificate_pem: read(certificate)?, key_pem: Secret::new(read(key)?) })
}

fn gateway_config(
    authority: &Authority,
    name: GatewayName,
    public: &[OriginPair],
    listeners: Vec<beamdesk_gateway::Listener>,
    portal: SocketAddr,
) -> Result<GatewayConfig> {
    let identity = authority.gateway_identity(&name)?;
    let (portals, gateways): (Vec<_>, Vec<_>) =
        public.iter().map(|pair| (pair.portal.clone(), pair.gateway.clone())).unzip();
    Ok(GatewayConfig {
        name,
        listeners,
        origins: Origins::new(gateways)?,
        portal_origins: Origins::new(portals)?,
        portal_url: Url::parse(&format!("https://{PORTAL_SERVER_NAME}:{}", portal.port()))?,
        portal_addresses: vec![portal],
        tls: authority.client_config(&identity, &[])?,
        limits: Limits::default(),
        streams_max: STREAMS_MAX,
        recordings: None,
        times: Times::default(),
    })
}

//! Starts a gateway and stops it in order.

use beamdesk_http::serve;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    config::{GatewayConfig, GatewayError},
    record, renewals, routes,
    state::Gateway,
};

/// Serves until `shutdown`: then every viewer is told to come back later, and all ends.
pub async fn run(config: GatewayConfig, shutdown: CancellationToken) -> Result<(), GatewayError> {
    // Also ends the rest when one listener fails.
    let stop = shutdown.child_token();
    let gateway = Gateway::new(&config, stop.clone())?;
    let router = routes::router(gateway.clone());
    let limits = config.limits.clone();
    let mut servers = JoinSet::new();
    for listener in config.listeners {
        servers.spawn(serve(
            listener.socket,
            listener.tls,
            router.clone(),
            limits.clone(),
            stop.clone(),
        ));
    }
    let renewals = gateway.streams.spawn(renewals::run(gateway.clone()));
    let syncs = gateway.streams.spawn(record::run(gateway.clone()));
    info!(gateway.name = %gateway.name, "Gateway serves");

    let mut failed = None;
    while let Some(served) = servers.join_next().await {
        let result = served.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
        if let Err(cause) = result {
            error!(error = %cause, "A listener of the gateway failed");
            failed.get_or_insert(cause);
        }
        stop.cancel();
    }
    stop.cancelled().await;
    gateway.streams.close();
    // Each stream says good-bye within its own deadline; this one is for what hangs.
    if timeout(2 * gateway.times.close, gateway.streams.wait()).await.is_err() {
        renewals.abort();
        syncs.abort();
    }
    failed.map_or(Ok(()), |cause| Err(GatewayError::Listener(cause)))
}

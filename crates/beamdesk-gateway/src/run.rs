//! Starts a gateway and stops it in order.

use std::pin::pin;

use beamdesk_http::serve;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    config::{GatewayConfig, GatewayError},
    drain::drain,
    record, renewals, routes,
    state::Gateway,
};

/// Serves until `shutdown`: then every viewer is told to come back, one after the other, and all ends.
pub async fn run(config: GatewayConfig, shutdown: CancellationToken) -> Result<(), GatewayError> {
    // Not a child of `shutdown`: streams live on while others are told. Also ends the rest when one
    // listener fails.
    let stop = CancellationToken::new();
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
    let mut drained = pin!(async {
        shutdown.cancelled().await;
        drain(&gateway).await;
    });
    loop {
        tokio::select! {
            Some(served) = servers.join_next() => {
                let result = served.unwrap_or_else(|panic| Err(std::io::Error::other(panic)));
                if let Err(cause) = result {
                    error!(error = %cause, "A listener of the gateway failed");
                    failed.get_or_insert(cause);
                }
                stop.cancel();
            }
            () = &mut drained, if !stop.is_cancelled() => stop.cancel(),
            else => break,
        }
    }
    gateway.streams.close();
    // Each stream says good-bye within its own deadline; this one is for what hangs.
    if timeout(2 * gateway.times.close, gateway.streams.wait()).await.is_err() {
        renewals.abort();
        syncs.abort();
    }
    failed.map_or(Ok(()), |cause| Err(GatewayError::Listener(cause)))
}

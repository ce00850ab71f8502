//! A portal from start to end.

use std::{io, time::Duration};

use beamdesk_http::{Limits, serve};
use tokio::task::JoinSet;
use tracing::{error, info};

use crate::{
    App, PortalError,
    api::{internal_router, srm_router},
    config::{Listener, Listeners, PortalConfigError},
    tasks::{
        images::first_images,
        lead::lead,
        news::{hear, tell},
    },
    web::public_router,
};

/// How long a monitor's connection may rest between two reports, which come every ten seconds.
const MONITOR_IDLE: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Config(#[from] PortalConfigError),
    #[error(transparent)]
    Portal(#[from] PortalError),
    #[error("a listener failed")]
    Listener(#[source] io::Error),
    #[error("a part of the portal ended unexpectedly")]
    Ended,
}

/// Serves browsers, gateways and monitors until `app.shutdown`, and looks after desktops as long as
/// this portal leads.
///
/// Returns when all of it has ended: then nothing acts on the cloud any more.
pub async fn run(app: App, listeners: Listeners) -> Result<(), RunError> {
    let public = public_router(&app)?;
    let internal = internal_router(app.clone());
    let srm = srm_router(app.clone());
    app.store.seed_sizes(&app.config.sizes).await.map_err(PortalError::from)?;
    first_images(&app).await;

    let mut parts: JoinSet<Result<(), RunError>> = JoinSet::new();
    for Listener { socket, tls } in listeners.public {
        let (router, limits) = (public.clone(), app.config.limits.clone());
        let shutdown = app.shutdown.clone();
        parts.spawn(async move {
            serve(socket, tls, router, limits, shutdown).await.map_err(RunError::Listener)
        });
    }
    for Listener { socket, tls } in listeners.internal {
        let (router, limits) = (internal.clone(), app.config.limits.clone());
        let shutdown = app.shutdown.clone();
        parts.spawn(async move {
            serve(socket, tls, router, limits, shutdown).await.map_err(RunError::Listener)
        });
    }
    for Listener { socket, tls } in listeners.monitors {
        // Longer than the usual interval, or each report would cost a handshake.
        let limits = Limits { header: MONITOR_IDLE, ..app.config.limits.clone() };
        let router = srm.clone();
        let shutdown = app.shutdown.clone();
        parts.spawn(async move {
            serve(socket, tls, router, limits, shutdown).await.map_err(RunError::Listener)
        });
    }
    let (teller, hearer) = (app.clone(), app.clone());
    parts.spawn(async move {
        tell(teller).await;
        Ok(())
    });
    parts.spawn(async move {
        hear(hearer).await;
        Ok(())
    });
    parts.spawn(lead(app.clone()));
    info!("Portal is up");
    until_all_ended(&app, parts).await
}

/// One part that ends early ends all others.
async fn until_all_ended(
    app: &App,
    mut parts: JoinSet<Result<(), RunError>>,
) -> Result<(), RunError> {
    let mut outcome = Ok(());
    while let Some(ended) = parts.join_next().await {
        let ended = match ended {
            Ok(Ok(())) if app.shutdown.is_cancelled() => Ok(()),
            Ok(Ok(())) => Err(RunError::Ended),
            Ok(Err(error)) => Err(error),
            Err(error) => {
                error!(%error, "A part of the portal broke");
                Err(RunError::Ended)
            }
        };
        if ended.is_err() && outcome.is_ok() {
            outcome = ended;
            app.shutdown.cancel();
        }
    }
    outcome
}

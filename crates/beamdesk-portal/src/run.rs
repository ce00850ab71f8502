//! A portal from start to end.

use std::{io, time::Duration};

use beamdesk_http::{Limits, serve};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::{
    App, PortalError,
    api::{internal_router, srm_router},
    config::{Listener, Listeners, PortalConfigError},
    tasks::{orphans::orphans, placer::placer, reconcile::reconcile, terms::terms},
    web::public_router,
};

/// How long a monitor's connection may rest between two reports, which come every ten seconds.
const MONITOR_IDLE: Duration = Duration::from_secs(60);
/// How often images are looked for that are new in the cloud.
const IMAGES_EVERY: Duration = Duration::from_secs(60);

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

/// Serves browsers, gateways and monitors and looks after desktops, until `app.shutdown`.
///
/// Returns when all of it has ended: then nothing acts on the cloud any more.
pub async fn run(app: App, listeners: Listeners) -> Result<(), RunError> {
    let public = public_router(&app)?;
    let internal = internal_router(app.clone());
    let srm = srm_router(app.clone());
    app.store.seed_sizes(&app.config.sizes).await.map_err(PortalError::from)?;
    if let Err(error) = take_images(&app).await {
        warn!(%error, "Could not ask the cloud for images, will try again");
    }

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
    for task in [Task::Reconcile, Task::Place, Task::Terms, Task::Orphans, Task::Images] {
        let app = app.clone();
        parts.spawn(async move {
            match task {
                Task::Reconcile => reconcile(app).await,
                Task::Place => placer(app).await,
                Task::Terms => terms(app).await,
                Task::Orphans => orphans(app).await,
                Task::Images => images(app).await,
            }
            Ok(())
        });
    }
    info!("Portal is up");
    until_all_ended(&app, parts).await
}

#[derive(Debug, Clone, Copy)]
enum Task {
    Reconcile,
    Place,
    Terms,
    Orphans,
    Images,
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

async fn images(app: App) {
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(IMAGES_EVERY) => {}
        }
        if let Err(error) = take_images(&app).await {
            warn!(%error, "Could not ask the cloud for images, will try again");
        }
    }
}

/// Takes over images that are new. What an administrator changed stays as it is.
async fn take_images(app: &App) -> Result<(), PortalError> {
    let known = app.store.images().await?;
    for image in app.cloud.images().await? {
        if !known.iter().any(|known| known.id == image.id) {
            app.store.put_image(&image).await?;
            info!(image.id = %image.id, "The cloud has a new image");
        }
    }
    Ok(())
}

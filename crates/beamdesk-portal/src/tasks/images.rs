//! Takes over images that are new in the cloud.

use std::time::Duration;

use tracing::{info, warn};

use crate::{App, PortalError};

/// How often images are looked for that are new in the cloud.
const IMAGES_EVERY: Duration = Duration::from_secs(60);
/// The cloud's list at the start of a portal: without it people see the images of before.
const FIRST_MAX: Duration = Duration::from_secs(5);

/// Runs until shutdown.
pub(crate) async fn images(app: App) {
    loop {
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = tokio::time::sleep(IMAGES_EVERY) => {}
        }
        look(&app).await;
    }
}

/// Before a portal serves.
pub(crate) async fn first_images(app: &App) {
    if tokio::time::timeout(FIRST_MAX, look(app)).await.is_err() {
        warn!("The cloud does not tell its images, will ask again");
    }
}

async fn look(app: &App) {
    if let Err(error) = take(app).await {
        warn!(%error, "Could not ask the cloud for images, will try again");
    }
}

/// What an administrator changed stays as it is.
async fn take(app: &App) -> Result<(), PortalError> {
    let known = app.store.images().await?;
    for image in app.cloud.images().await? {
        if !known.iter().any(|known| known.id == image.id) {
            app.store.put_image(&image).await?;
            info!(image.id = %image.id, "The cloud has a new image");
        }
    }
    Ok(())
}

//! Tells other portals what happened here, and hears what happened there.

use std::time::Duration;

use beamdesk_store::{Heard, Hearing, StoreError};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::{App, app::notices::Notice};

/// Between two notices, so that many changes at once are one.
const APART: Duration = Duration::from_millis(20);
/// Before another try, when the database did not take or give one. Meanwhile everything is looked
/// at every few seconds anyway.
const AGAIN: Duration = Duration::from_secs(1);

/// Runs until shutdown.
pub(crate) async fn tell(app: App) {
    if !app.store.is_shared() {
        return app.shutdown.cancelled().await; // There is nobody to tell.
    }
    loop {
        let told = tokio::select! {
            () = app.shutdown.cancelled() => return,
            text = app.events().notices().next() => app.store.tell(&text).await,
        };
        let pause = match told {
            Ok(()) => APART,
            Err(error) => {
                warn!(%error, "Could not tell other portals");
                AGAIN
            }
        };
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

/// Runs until shutdown.
pub(crate) async fn hear(app: App) {
    let mut is_silent = false;
    loop {
        let heard = tokio::select! {
            () = app.shutdown.cancelled() => return,
            heard = listen(&app, &mut is_silent) => heard,
        };
        match heard {
            Ok(()) => return app.shutdown.cancelled().await, // There are no others.
            Err(error) => {
                if !std::mem::replace(&mut is_silent, true) {
                    warn!(%error, "Could not listen to other portals, will try again");
                }
            }
        }
        tokio::select! {
            () = app.shutdown.cancelled() => return,
            () = sleep(AGAIN) => {}
        }
    }
}

/// `Ok`: nobody can tell anything.
async fn listen(app: &App, is_silent: &mut bool) -> Result<(), StoreError> {
    let Some(mut hearing) = app.store.hear().await? else { return Ok(()) };
    if std::mem::take(is_silent) {
        info!("Listening to other portals again");
    }
    app.events().may_have_missed();
    app.planning().changed_elsewhere();
    loop {
        next(app, &mut hearing).await?;
    }
}

async fn next(app: &App, hearing: &mut Hearing) -> Result<(), StoreError> {
    match hearing.next().await? {
        Heard::Notice(text) => {
            if let Some(notice) = app.events().notices().read(&text) {
                take(app, notice);
            }
        }
        Heard::Gap => {
            app.events().may_have_missed();
            app.planning().changed_elsewhere();
        }
    }
    Ok(())
}

fn take(app: &App, notice: Notice) {
    if notice.plan || notice.many {
        app.planning().changed_elsewhere();
    }
    app.events().heard(notice);
}

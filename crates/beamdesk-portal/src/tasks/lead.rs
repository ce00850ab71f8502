//! Leads while it may: takes the leadership when it is free, and runs the tasks under it.
//!
//! ```text
//! following ── it is free ──▶ leading ── lost, or not surely held any more ──▶ following
//!                                └──── shutdown: tasks end, then it is given up ──▶ the end
//! ```

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};
use tracing::{error, info, warn};

use crate::{
    App, PortalError,
    app::leader::{RENEW, TTL, Tenure},
    run::RunError,
    tasks::{
        images::images, orphans::orphans, placer::placer, publish::publish, reconcile::reconcile,
        terms::terms,
    },
};

/// How often a portal that does not lead asks whether it may; who gives up tells.
const ASK_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
enum Task {
    Reconcile,
    Place,
    Terms,
    Orphans,
    Publish,
    Images,
}

/// Runs until shutdown. Then nothing of this process acts on the cloud any more.
pub(crate) async fn lead(app: App) -> Result<(), RunError> {
    let mut is_troubled = false;
    while !app.shutdown.is_cancelled() {
        let asked = Instant::now();
        // Where nobody else can use the database, whoever led is dead.
        let at_once = !app.store.is_shared();
        match app.store.take_leadership(&app.config.name, TTL, at_once).await {
            Ok(Some(epoch)) => {
                is_troubled = false;
                led(&app, Tenure::new(epoch, asked)).await?;
                continue;
            }
            Ok(None) => is_troubled = false,
            Err(error) => {
                if !std::mem::replace(&mut is_troubled, true) {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    warn!(%error, cause, "Could not ask who leads, will try again");
                }
            }
        }
        tokio::select! {
            () = app.shutdown.cancelled() => {}
            () = app.events().vacant() => {}
            () = sleep(ASK_EVERY) => {}
        }
    }
    Ok(())
}

/// From the beginning to the end of one leadership.
async fn led(app: &App, tenure: Tenure) -> Result<(), RunError> {
    let epoch = tenure.epoch();
    info!(leader.epoch = epoch, portal.name = app.config.name, "This portal leads");
    app.planning().forget();
    app.set_leads(true);
    let leading = app.leading(&tenure);
    let mut tasks = JoinSet::new();
    for task in
        [Task::Reconcile, Task::Place, Task::Terms, Task::Orphans, Task::Publish, Task::Images]
    {
        let (app, tenure) = (leading.clone(), tenure.clone());
        tasks.spawn(async move { tenure.guarded(run(task, app)).await });
    }
    let outcome = tokio::select! {
        // It is over in its very moment, and not when a task ends because of it.
        biased;
        () = keep(app, &tenure) => {
            tasks.shutdown().await;
            warn!(leader.epoch = epoch, "This portal leads no more");
            Ok(())
        }
        ended = until_ended(app, &tenure, &mut tasks) => ended,
    };
    tenure.end();
    app.set_leads(false);
    if outcome.is_err() || app.shutdown.is_cancelled() {
        tasks.shutdown().await;
        give_up(app, epoch).await;
    }
    outcome
}

async fn run(task: Task, app: App) {
    match task {
        Task::Reconcile => reconcile(app).await,
        Task::Place => placer(app).await,
        Task::Terms => terms(app).await,
        Task::Orphans => orphans(app).await,
        Task::Publish => publish(app).await,
        Task::Images => images(app).await,
    }
}

/// Renews the leadership until it is lost.
async fn keep(app: &App, tenure: &Tenure) {
    loop {
        tokio::select! {
            () = sleep(RENEW) => {}
            () = tokio::time::sleep_until(tenure.until()) => {}
        }
        let asked = Instant::now();
        if !tenure.is_sure(asked) {
            return tenure.end();
        }
        let renewed = app.store.renew_leadership(tenure.epoch(), TTL);
        match timeout_at(tenure.until(), renewed).await {
            Ok(Ok(true)) => tenure.renewed(asked),
            Ok(Ok(false)) | Err(_) => return tenure.end(),
            Ok(Err(error)) => warn!(%error, "Could not renew the leadership, will try again"),
        }
    }
}

/// All tasks end at shutdown. One that ends before is broken, and this process with it: another
/// portal, or this one after its restart, does better.
async fn until_ended(
    app: &App,
    tenure: &Tenure,
    tasks: &mut JoinSet<Option<()>>,
) -> Result<(), RunError> {
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(_) if app.shutdown.is_cancelled() => {}
            // The tenure is over; `keep` sees it too.
            Ok(None) if !tenure.is_sure(Instant::now()) => std::future::pending().await,
            Ok(Some(()) | None) => return Err(RunError::Ended),
            Err(error) => {
                error!(%error, "A task broke");
                return Err(RunError::Ended);
            }
        }
    }
    Ok(())
}

/// Lets the next one begin at once.
async fn give_up(app: &App, epoch: i64) {
    let given_up = async {
        app.store.resign_leadership(epoch).await?;
        app.events().give_up();
        app.send_notices().await
    };
    match given_up.await.map_err(PortalError::from) {
        Ok(()) => info!(leader.epoch = epoch, "Gave up the leadership"),
        Err(error) => warn!(%error, "Could not give up the leadership; it ends by itself"),
    }
}

//! Live state: the list of desktops, again after each change.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::{Query, State, rejection::QueryRejection},
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use beamdesk_types::Actor;
use futures_util::stream;
use tokio::sync::watch;
use tracing::warn;

use crate::{
    App, PortalError,
    api::{
        desktops::{BAD_QUERY, Which, rows},
        error::{Answer, Errors},
        extract::{User, session_token},
        view::{DesktopList, views},
    },
    app::events::Feeding,
};

/// Changes come in bursts; a page needs the last of each.
const COALESCE: Duration = Duration::from_millis(100);
/// Proxies drop silent connections after 30 to 60 s.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Without a change: how often to look whether the session lives and other portals wrote.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Server-sent events `desktops`, each with the whole list as `GET /desktops` gives it: one at
/// once, one after each change. Ends with the session.
#[utoipa::path(get, path = "/events", tag = "desktops", params(Which),
    responses((status = OK, body = DesktopList, content_type = "text/event-stream"), Errors))]
pub(super) async fn events(
    State(app): State<App>,
    User(actor): User,
    headers: HeaderMap,
    which: Result<Query<Which>, QueryRejection>,
) -> Answer<Response> {
    let Query(which) = which.map_err(|_| BAD_QUERY)?;
    let token = session_token(&headers).ok_or(PortalError::NotLoggedIn)?.to_owned();
    let feeding = app.events().feed(actor.session);
    let feeding = feeding.ok_or(PortalError::TooMany { retry_after: LOOK_AGAIN })?;
    // Subscribed before the first look, so that no change falls in between.
    let changes = app.events().subscribe();
    let first = list(&app, &actor, &which).await?;
    let feed = Feed {
        app,
        actor,
        which,
        token,
        changes,
        last: None,
        first: Some(first),
        _feeding: feeding,
    };
    let events = stream::unfold(feed, |mut feed| async move {
        let event = feed.next().await?;
        Some((Ok::<_, Infallible>(event), feed))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keepalive");
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

/// One open event stream.
struct Feed {
    app: App,
    actor: Actor,
    which: Which,
    token: String,
    changes: watch::Receiver<u64>,
    /// What was sent last: the same is not sent again.
    last: Option<String>,
    first: Option<String>,
    _feeding: Feeding,
}

impl Feed {
    /// `None`: the session ended, or the portal does.
    async fn next(&mut self) -> Option<Event> {
        if let Some(first) = self.first.take() {
            return Some(self.event(first));
        }
        loop {
            let changed = tokio::select! {
                () = self.app.shutdown.cancelled() => return None,
                changed = tokio::time::timeout(LOOK_AGAIN, self.changes.changed()) => changed,
            };
            if changed.is_ok() {
                tokio::time::sleep(COALESCE).await;
                self.changes.mark_unchanged();
            }
            match self.app.auth.is_alive(&self.token).await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    warn!(%error, "Could not look after an event stream, ending it");
                    return None;
                }
            }
            match list(&self.app, &self.actor, &self.which).await {
                Ok(text) if self.last.as_ref() == Some(&text) => {}
                Ok(text) => return Some(self.event(text)),
                Err(error) => warn!(%error, "Could not list desktops for an event stream"),
            }
        }
    }

    fn event(&mut self, text: String) -> Event {
        let event = Event::default().event("desktops").data(&text);
        self.last = Some(text);
        event
    }
}

async fn list(app: &App, actor: &Actor, which: &Which) -> Result<String, PortalError> {
    let rows = rows(app, actor, which).await?;
    let list = DesktopList { desktops: views(app, actor, rows).await? };
    Ok(serde_json::to_string(&list).expect("a list of desktops is always JSON"))
}

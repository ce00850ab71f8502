//! Sessions: from a cookie's token to who is asking.

use std::time::Duration;

use beamdesk_store::{SessionRow, User};
use beamdesk_types::{Actor, Secret, SessionId, Timestamp, UserId};

use tracing::warn;

use crate::{
    Auth, AuthError, later,
    secret::{TEXT_BYTES_MAX, digest, fresh},
    since,
};

/// How often the use of a session is written down at most. So a session ends up to this much
/// before its idle time is over.
const TOUCH_INTERVAL: Duration = Duration::from_secs(60);

/// A fresh session.
#[derive(Debug, Clone)]
pub struct Login {
    /// For the `__Host-sid` cookie.
    pub token: Secret,
    pub actor: Actor,
    /// When the session ends at the latest.
    pub expires: Timestamp,
}

impl Auth {
    /// Who has this token; `None` when nobody has, or not any more. Counts as use of the session.
    pub async fn actor(&self, token: &str) -> Result<Option<Actor>, AuthError> {
        let Some((session, user)) = self.live_session(token).await? else { return Ok(None) };
        let now = self.now();
        if since(now, session.last_seen) >= TOUCH_INTERVAL {
            let expires = later(now, self.config().session_idle).min(session.absolute);
            // A full disk shortens sessions; it must not lock everybody out.
            if let Err(error) = self.store().touch_session(session.id, now, expires).await {
                warn!(session.id = %session.id, %error, "Could not note the use of a session");
            }
        }
        Ok(Some(Actor { user: user.id, session: session.id, name: user.name, role: user.role }))
    }

    /// Whether the session still lives, without counting as use: for streams of events.
    pub async fn is_alive(&self, token: &str) -> Result<bool, AuthError> {
        Ok(self.live_session(token).await?.is_some())
    }

    /// Ends the session, and its streams with their next lease. Idempotent.
    pub async fn logout(&self, session: SessionId) -> Result<(), AuthError> {
        Ok(self.store().end_session(session, self.now()).await?)
    }

    /// Ends all sessions of a user, and their streams with their next lease. Idempotent.
    pub async fn logout_all(&self, user: UserId) -> Result<(), AuthError> {
        self.store().end_sessions_of(user, self.now()).await?;
        Ok(())
    }

    async fn live_session(&self, token: &str) -> Result<Option<(SessionRow, User)>, AuthError> {
        if token.is_empty() || token.len() > TEXT_BYTES_MAX {
            return Ok(None);
        }
        let found = self.store().session_by_hash(&digest(token)).await?;
        let now = self.now();
        Ok(found.filter(|(session, user)| now < session.expires && !user.disabled))
    }

    /// Always a new token: one from before the login is worth nothing after it (SR-03).
    pub(crate) async fn begin_session(
        &self,
        user: &User,
        detail: &str,
    ) -> Result<Login, AuthError> {
        let token = fresh()?;
        let now = self.now();
        let absolute = later(now, self.config().session_absolute);
        let session = SessionRow {
            id: SessionId::fresh(),
            token_hash: digest(token.expose()),
            user: user.id,
            created: now,
            last_seen: now,
            expires: later(now, self.config().session_idle).min(absolute),
            absolute,
        };
        // No audit, no session (SR-40).
        let subject = format!("session:{}", session.id);
        self.note(&user.name, "login", subject, detail.to_owned()).await?;
        self.store().add_session(&session).await?;
        let actor =
            Actor { user: user.id, session: session.id, name: user.name.clone(), role: user.role };
        Ok(Login { token, actor, expires: absolute })
    }
}

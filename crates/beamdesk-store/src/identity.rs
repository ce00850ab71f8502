//! People whom an identity provider vouches for: their accounts, stations and sessions.

use std::collections::HashMap;

use beamdesk_types::{Role, SessionId, StationId, Timestamp, UserId};
use sqlx::FromRow;

use crate::{
    Digest, LIST_ROWS_MAX, Store, StoreError, User,
    db::{on, transaction},
    row,
    user::{UserRow, add_user},
};

/// Accounts of one wished name that are told apart by a number; then the first login is refused.
const NAMESAKES_MAX: u32 = 1000;
/// Tries of a first login against others of the same moment.
const TRIES_MAX: u32 = 4;

/// What a provider says of somebody at a login.
#[derive(Debug, Clone)]
pub struct Vouched<'a> {
    pub issuer: &'a str,
    /// The provider's own, never changing name for this person.
    pub subject: &'a str,
    pub role: Role,
    /// Stations that may be chosen; `None`: all.
    pub stations: Option<&'a [StationId]>,
}

/// Whose session of a provider a session of ours stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSession {
    pub issuer: String,
    pub subject: String,
    pub sid: Option<String>,
}

impl Store {
    /// The account of this person, with the role that the provider gives now: a change of role ends
    /// all sessions. Made from `new` at the first login, under a name that nobody has yet.
    ///
    /// Unlike [`Store::update_user`] it also takes the last administrator's role: who was removed
    /// from a group has no right that comes of it, even when nobody is left.
    pub async fn vouched_user(
        &self,
        vouched: &Vouched<'_>,
        new: &User,
        now: Timestamp,
    ) -> Result<User, StoreError> {
        let mut tries = 1;
        loop {
            match self.try_vouched_user(vouched, new, now).await {
                // Somebody took the name, or this person logged in twice at once.
                Err(StoreError::Taken) if tries < TRIES_MAX => tries += 1,
                outcome => return outcome,
            }
        }
    }

    async fn try_vouched_user(
        &self,
        vouched: &Vouched<'_>,
        new: &User,
        now: Timestamp,
    ) -> Result<User, StoreError> {
        let stations = vouched.stations.map(row::id_list);
        let row: Option<UserRow> = transaction!(self, tx => {
            let known: Option<String> = sqlx::query_scalar(
                "UPDATE identities SET stations = $1, seen_ms = $2
                 WHERE issuer = $3 AND subject = $4 RETURNING user_id",
            )
            .bind(&stations)
            .bind(now.as_millisecond())
            .bind(vouched.issuer)
            .bind(vouched.subject)
            .fetch_optional(&mut *tx)
            .await?;
            let id = match known {
                Some(id) => {
                    let changed = sqlx::query("UPDATE users SET role = $1 WHERE id = $2 AND role <> $1")
                        .bind(vouched.role.as_str())
                        .bind(&id)
                        .execute(&mut *tx)
                        .await?;
                    if changed.rows_affected() > 0 {
                        sqlx::query(
                            "UPDATE sessions SET ended_ms = $1
                             WHERE user_id = $2 AND ended_ms IS NULL",
                        )
                        .bind(now.as_millisecond())
                        .bind(&id)
                        .execute(&mut *tx)
                        .await?;
                    }
                    id
                }
                None => {
                    let mut user = new.clone();
                    for number in 2_u32.. {
                        let taken: i64 =
                            sqlx::query_scalar("SELECT COUNT(*) FROM users WHERE name = $1")
                                .bind(&user.name)
                                .fetch_one(&mut *tx)
                                .await?;
                        if taken == 0 {
                            break;
                        }
                        if number > NAMESAKES_MAX {
                            return Err(StoreError::Taken);
                        }
                        user.name = namesake(&new.name, number);
                    }
                    add_user!(&mut *tx, &user);
                    sqlx::query(
                        "INSERT INTO identities (issuer, subject, user_id, stations, created_ms,
                           seen_ms)
                         VALUES ($1, $2, $3, $4, $5, $5)",
                    )
                    .bind(vouched.issuer)
                    .bind(vouched.subject)
                    .bind(user.id.to_string())
                    .bind(&stations)
                    .bind(now.as_millisecond())
                    .execute(&mut *tx)
                    .await?;
                    user.id.to_string()
                }
            };
            sqlx::query_as("SELECT * FROM users WHERE id = $1")
                .bind(&id)
                .fetch_optional(&mut *tx)
                .await?
        });
        row.ok_or(StoreError::Corrupt { what: "user of an identity" })?.user()
    }

    /// Stations this person may choose; `None`: all, as of every account that no provider vouches for.
    pub async fn stations_of(&self, user: UserId) -> Result<Option<Vec<StationId>>, StoreError> {
        let found: Option<Option<String>> = on!(self, pool => {
            sqlx::query_scalar("SELECT stations FROM identities WHERE user_id = $1")
                .bind(user.to_string())
                .fetch_optional(pool)
                .await
        })?;
        found.flatten().map(|list| row::from_json(&list, "list of stations")).transpose()
    }

    /// Who vouches for this account, if anybody does.
    pub async fn issuer_of(&self, user: UserId) -> Result<Option<String>, StoreError> {
        Ok(on!(self, pool => {
            sqlx::query_scalar("SELECT issuer FROM identities WHERE user_id = $1")
                .bind(user.to_string())
                .fetch_optional(pool)
                .await
        })?)
    }

    /// Who vouches for which of the accounts that come after `after`, as [`Store::users`] lists them.
    pub async fn issuers(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<HashMap<UserId, String>, StoreError> {
        let rows: Vec<(String, String)> = on!(self, pool => sqlx::query_as(
            "SELECT user_id, issuer FROM identities WHERE user_id > $1 ORDER BY user_id LIMIT $2",
        )
        .bind(after.map(|id| id.to_string()).unwrap_or_default())
        .bind(i64::from(limit.min(LIST_ROWS_MAX)))
        .fetch_all(pool)
        .await)?;
        rows.into_iter().map(|(id, issuer)| Ok((row::parse(&id, "user id")?, issuer))).collect()
    }

    /// Notes on whose session of a provider this one stands.
    pub async fn add_provider_session(
        &self,
        session: SessionId,
        of: &ProviderSession,
    ) -> Result<(), StoreError> {
        on!(self, pool => sqlx::query(
            "INSERT INTO provider_sessions (session_id, issuer, subject, sid)
             VALUES ($1, $2, $3, $4)",
        )
        .bind(session.to_string())
        .bind(&of.issuer)
        .bind(&of.subject)
        .bind(&of.sid)
        .execute(pool)
        .await
        .map(drop))?;
        Ok(())
    }

    pub async fn provider_session(
        &self,
        session: SessionId,
    ) -> Result<Option<ProviderSession>, StoreError> {
        let row: Option<ProviderSessionRow> = on!(self, pool => sqlx::query_as(
            "SELECT issuer, subject, sid FROM provider_sessions WHERE session_id = $1",
        )
        .bind(session.to_string())
        .fetch_optional(pool)
        .await)?;
        Ok(row.map(|row| ProviderSession {
            issuer: row.issuer,
            subject: row.subject,
            sid: row.sid,
        }))
    }

    /// Ends the sessions that stand on this one of the provider's or, without its name, on any of
    /// this person's. Says how many there were.
    pub async fn end_provider_sessions(
        &self,
        issuer: &str,
        subject: Option<&str>,
        sid: Option<&str>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        if subject.is_none() && sid.is_none() {
            return Ok(0);
        }
        Ok(on!(self, pool => sqlx::query(
            "UPDATE sessions SET ended_ms = $1 WHERE ended_ms IS NULL AND id IN
               (SELECT session_id FROM provider_sessions WHERE issuer = $2
                  AND ($3 = '' OR subject = $3) AND ($4 = '' OR sid = $4))",
        )
        .bind(now.as_millisecond())
        .bind(issuer)
        .bind(subject.unwrap_or_default())
        .bind(sid.unwrap_or_default())
        .execute(pool)
        .await
        .map(|done| done.rows_affected()))?)
    }

    /// Uses a logout token up. False: it was used before. What has expired is forgotten.
    pub async fn use_logout_token(
        &self,
        hash: &Digest,
        expires: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let is_new = transaction!(self, tx => {
            sqlx::query("DELETE FROM logout_tokens WHERE expires_ms < $1")
                .bind(now.as_millisecond())
                .execute(&mut *tx)
                .await?;
            sqlx::query(
                "INSERT INTO logout_tokens (hash, expires_ms) VALUES ($1, $2)
                 ON CONFLICT (hash) DO NOTHING",
            )
            .bind(row::digest_text(hash))
            .bind(expires.as_millisecond())
            .execute(&mut *tx)
            .await?
            .rows_affected()
                == 1
        });
        Ok(is_new)
    }
}

/// The name with a number, no longer than a name may be.
fn namesake(name: &str, number: u32) -> String {
    const NAME_CHARS_MAX: usize = 32;
    let end = format!("-{number}");
    let kept: String = name.chars().take(NAME_CHARS_MAX.saturating_sub(end.len())).collect();
    kept + &end
}

#[derive(FromRow)]
struct ProviderSessionRow {
    issuer: String,
    subject: String,
    sid: Option<String>,
}

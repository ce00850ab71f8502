//! Agents of servers elsewhere: secrets of their seeds, and the one key that each may have.

use std::time::Duration;

use beamdesk_types::{Desktop, DesktopId, Goal, Phase};
use sqlx::FromRow;

use crate::{
    Digest, Store, StoreError,
    audit::add_event,
    db::{db_now, fence, on, transaction},
    desktop::DesktopRow,
    row,
};

/// A secret to be kept.
#[derive(Debug, Clone)]
pub struct NewAgentSecret {
    pub hash: Digest,
    pub desktop: DesktopId,
    pub generation: u32,
    pub ttl: Duration,
    /// It is for a server that is made now: what earlier servers of the desktop have is no good any
    /// more. Otherwise for one that starts again.
    pub makes_server: bool,
}

/// An agent that wants an identity.
#[derive(Debug, Clone, Copy)]
pub struct AgentEnrolment<'a> {
    pub hash: Digest,
    pub desktop: DesktopId,
    pub generation: u32,
    /// Digest of its public key.
    pub key: Digest,
    /// Where it asks from, for the audit.
    pub from: &'a str,
}

/// An agent that wants another certificate for its key.
#[derive(Debug, Clone, Copy)]
pub struct AgentRenewal {
    pub desktop: DesktopId,
    pub key: Digest,
    /// The generation in a certificate that was signed for this desktop and this key, if it showed
    /// one: it is believed where the database knows of nothing as new, as after a restore.
    pub signed: Option<u32>,
}

/// Why an agent gets no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AgentRefused {
    /// Nobody issued this secret, or the desktop is gone.
    Unknown,
    /// Somebody used the secret before, with another key.
    Used,
    Expired,
    /// The secret is good, but not for the desktop or generation it came with.
    Misused,
    /// The desktop has another server by now.
    Superseded,
    /// The desktop is not meant to run now.
    NotRunning,
    /// Another key is this desktop's.
    OtherKey,
}

impl AgentRefused {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Misused => "misused",
            Self::Superseded => "superseded",
            Self::NotRunning => "not_running",
            Self::OtherKey => "other_key",
        }
    }

    /// Whether it tells of a stolen value rather than of a late or clumsy one.
    pub fn is_alarm(self) -> bool {
        match self {
            Self::Used | Self::Misused => true,
            Self::Unknown
            | Self::Expired
            | Self::Superseded
            | Self::NotRunning
            | Self::OtherKey => false,
        }
    }
}

/// Issued and unused secrets of one desktop. One is issued for each start, and again when a portal
/// began anew in the middle of it.
const SECRETS_MAX: i64 = 64;

impl Store {
    /// Keeps it; the oldest of the same desktop that were never used go when there are too many.
    pub async fn add_agent_secret(&self, secret: &NewAgentSecret) -> Result<(), StoreError> {
        let s = secret;
        let desktop = s.desktop.to_string();
        let generation = i64::from(s.generation);
        transaction!(self, tx => {
            fence!(self, tx);
            let now = db_now!(self, tx);
            let since = if s.makes_server { generation } else { 0 };
            sqlx::query(
                "INSERT INTO agents (desktop_id, since, generation) VALUES ($1, $2, 0)
                 ON CONFLICT (desktop_id) DO NOTHING",
            )
            .bind(&desktop)
            .bind(since)
            .execute(&mut *tx)
            .await?;
            sqlx::query(
                "UPDATE agents SET since = $1, key = NULL, enrolled_ms = NULL, renewed_ms = NULL
                 WHERE desktop_id = $2 AND since < $1",
            )
            .bind(since)
            .bind(&desktop)
            .execute(&mut *tx)
            .await?;
            sqlx::query(
                "INSERT INTO agent_secrets (hash, desktop_id, generation, issued_ms, expires_ms)
                 VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(row::digest_text(&s.hash))
            .bind(&desktop)
            .bind(generation)
            .bind(now)
            .bind(now.saturating_add(row::duration_ms(s.ttl)))
            .execute(&mut *tx)
            .await?;
            sqlx::query(
                "DELETE FROM agent_secrets WHERE hash IN
                   (SELECT hash FROM agent_secrets WHERE desktop_id = $1 AND used_ms IS NULL
                    ORDER BY issued_ms DESC, hash LIMIT 1000 OFFSET $2)",
            )
            .bind(&desktop)
            .bind(SECRETS_MAX)
            .execute(&mut *tx)
            .await?;
        });
        Ok(())
    }

    /// Whether the desktop's present server can have an agent: one enrolled, or a secret is good
    /// that it may have. False: only another server helps.
    pub async fn can_have_agent(&self, desktop: DesktopId) -> Result<bool, StoreError> {
        let desktop = desktop.to_string();
        let now: i64 = on!(self, pool => {
            sqlx::query_scalar(self.db.clock_sql()).fetch_one(pool).await
        })?;
        // Of a server that the database knows nothing about, nothing bad is known either.
        let able: i64 = on!(self, pool => sqlx::query_scalar(
            "SELECT CASE WHEN NOT EXISTS (SELECT 1 FROM agents WHERE desktop_id = $1)
               OR EXISTS (SELECT 1 FROM agents WHERE desktop_id = $1 AND key IS NOT NULL)
               OR EXISTS (SELECT 1 FROM agent_secrets s JOIN agents a
                    ON a.desktop_id = s.desktop_id AND s.generation = a.since
                  WHERE s.desktop_id = $1 AND s.used_ms IS NULL AND s.expires_ms > $2)
             THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END",
        )
        .bind(&desktop)
        .bind(now.saturating_add(self.clock_shift_ms))
        .fetch_one(pool)
        .await)?;
        Ok(able == 1)
    }

    /// Whether anybody ever issued it. No write lock is taken: guesses must not keep everybody else
    /// from writing.
    pub async fn is_agent_secret(&self, hash: &Digest) -> Result<bool, StoreError> {
        let found: Option<i64> = on!(self, pool => {
            sqlx::query_scalar("SELECT expires_ms FROM agent_secrets WHERE hash = $1")
                .bind(row::digest_text(hash))
                .fetch_optional(pool)
                .await
        })?;
        Ok(found.is_some())
    }

    /// Burns the secret, then judges it; makes the key the desktop's when all is well, and gives the
    /// desktop as it is. Burned also when it came for something else: then it is known to somebody
    /// it was not made for. The same key may come again with it: its answer got lost.
    pub async fn enrol_agent(
        &self,
        enrolment: &AgentEnrolment<'_>,
    ) -> Result<Result<Desktop, AgentRefused>, StoreError> {
        let e = enrolment;
        let (hash, key) = (row::digest_text(&e.hash), row::digest_text(&e.key));
        let verdict = transaction!(self, tx => {
            let now = db_now!(self, tx);
            // One after the other for each desktop: of two good secrets only one is used.
            sqlx::query(
                "UPDATE agents SET since = since WHERE desktop_id =
                   (SELECT desktop_id FROM agent_secrets WHERE hash = $1)",
            )
            .bind(&hash)
            .execute(&mut *tx)
            .await?;
            let burned: Option<SecretRow> = sqlx::query_as(
                "UPDATE agent_secrets SET used_ms = $1, used_key = $2
                 WHERE hash = $3 AND used_ms IS NULL AND expires_ms > $1
                 RETURNING desktop_id, generation, used_ms, used_key, alarm_ms",
            )
            .bind(now)
            .bind(&key)
            .bind(&hash)
            .fetch_optional(&mut *tx)
            .await?;
            let is_fresh = burned.is_some();
            let known: Option<SecretRow> = if is_fresh {
                burned
            } else {
                sqlx::query_as(
                    "SELECT desktop_id, generation, used_ms, used_key, alarm_ms
                     FROM agent_secrets WHERE hash = $1",
                )
                .bind(&hash)
                .fetch_optional(&mut *tx)
                .await?
            };
            match known {
                // A secret nobody issued is not worth a row: anybody could fill the disk with them.
                None => Err(AgentRefused::Unknown),
                Some(known) => {
                    let desktop: DesktopRow =
                        sqlx::query_as("SELECT * FROM desktops WHERE id = $1")
                            .bind(&known.desktop_id)
                            .fetch_one(&mut *tx)
                            .await?;
                    let desktop = desktop.desktop()?;
                    let agent: Option<AgentRow> = sqlx::query_as(
                        "SELECT since, key, generation FROM agents WHERE desktop_id = $1",
                    )
                    .bind(&known.desktop_id)
                    .fetch_optional(&mut *tx)
                    .await?;
                    let agent = agent.unwrap_or_default();
                    let verdict = judge(e, &key, is_fresh, &known, &agent, &desktop);
                    let subject = format!("desktop:{}", desktop.id);
                    match verdict {
                        Ok(()) if is_fresh => {
                            sqlx::query(
                                "INSERT INTO agents (desktop_id, since, key, generation, enrolled_ms)
                                 VALUES ($1, 0, $2, $3, $4) ON CONFLICT (desktop_id) DO UPDATE SET
                                   key = excluded.key, generation = excluded.generation,
                                   enrolled_ms = excluded.enrolled_ms, renewed_ms = NULL",
                            )
                            .bind(&known.desktop_id)
                            .bind(&key)
                            .bind(i64::from(desktop.generation))
                            .bind(now)
                            .execute(&mut *tx)
                            .await?;
                            // Others that were issued for this server or former ones are no good now.
                            sqlx::query(
                                "UPDATE agent_secrets SET used_ms = $1
                                 WHERE desktop_id = $2 AND generation <= $3 AND used_ms IS NULL",
                            )
                            .bind(now)
                            .bind(&known.desktop_id)
                            .bind(known.generation)
                            .execute(&mut *tx)
                            .await?;
                            let detail = format!("generation {}, from {}", desktop.generation, e.from);
                            add_event!(&mut *tx, now, ACTOR, "agent_enrolled", subject, detail);
                            Ok(desktop)
                        }
                        Ok(()) => Ok(desktop),
                        Err(refused) => {
                            if refused == AgentRefused::NotRunning && is_fresh {
                                // Nothing is wrong with it: its desktop may run again before it is over.
                                sqlx::query(
                                    "UPDATE agent_secrets SET used_ms = NULL, used_key = NULL
                                     WHERE hash = $1",
                                )
                                .bind(&hash)
                                .execute(&mut *tx)
                                .await?;
                            }
                            // Once for each: who comes again and again fills no audit.
                            if refused.is_alarm() && known.alarm_ms.is_none() {
                                sqlx::query("UPDATE agent_secrets SET alarm_ms = $1 WHERE hash = $2")
                                    .bind(now)
                                    .bind(&hash)
                                    .execute(&mut *tx)
                                    .await?;
                                let detail = format!(
                                    "{}: a seed's secret of generation {} came from {}",
                                    refused.as_str(), known.generation, e.from,
                                );
                                add_event!(&mut *tx, now, ACTOR, "agent_alarm", subject, detail);
                            }
                            Err(refused)
                        }
                    }
                }
            }
        });
        Ok(verdict)
    }

    /// Whether the key is the desktop's; gives the desktop as it is.
    pub async fn renew_agent(
        &self,
        renewal: &AgentRenewal,
    ) -> Result<Result<Desktop, AgentRefused>, StoreError> {
        let r = renewal;
        let (id, key) = (r.desktop.to_string(), row::digest_text(&r.key));
        let verdict = transaction!(self, tx => {
            let now = db_now!(self, tx);
            let desktop: Option<DesktopRow> = sqlx::query_as("SELECT * FROM desktops WHERE id = $1")
                .bind(&id)
                .fetch_optional(&mut *tx)
                .await?;
            let desktop = desktop.map(DesktopRow::desktop).transpose()?;
            let agent: Option<AgentRow> =
                sqlx::query_as("SELECT since, key, generation FROM agents WHERE desktop_id = $1")
                    .bind(&id)
                    .fetch_optional(&mut *tx)
                    .await?;
            match desktop {
                None => Err(AgentRefused::Unknown),
                Some(desktop) => match judge_key(r, &key, &agent.unwrap_or_default(), &desktop) {
                    Err(refused) => Err(refused),
                    Ok(()) => {
                        sqlx::query(
                            "INSERT INTO agents (desktop_id, since, key, generation, renewed_ms)
                             VALUES ($1, 0, $2, $3, $4) ON CONFLICT (desktop_id) DO UPDATE SET
                               key = excluded.key, generation = excluded.generation,
                               renewed_ms = excluded.renewed_ms",
                        )
                        .bind(&id)
                        .bind(&key)
                        .bind(i64::from(desktop.generation))
                        .bind(now)
                        .execute(&mut *tx)
                        .await?;
                        Ok(desktop)
                    }
                },
            }
        });
        Ok(verdict)
    }
}

/// Who acts in the audit: an agent is nobody's account.
const ACTOR: &str = "agent";

fn judge(
    e: &AgentEnrolment<'_>,
    key: &str,
    is_fresh: bool,
    known: &SecretRow,
    agent: &AgentRow,
    desktop: &Desktop,
) -> Result<(), AgentRefused> {
    if !is_fresh {
        if known.used_ms.is_none() {
            return Err(AgentRefused::Expired);
        }
        if known.used_key.as_deref() != Some(key) {
            return Err(AgentRefused::Used);
        }
        if agent.key.as_deref() != Some(key) {
            return Err(AgentRefused::Superseded);
        }
    }
    if known.desktop_id != e.desktop.to_string() || known.generation != i64::from(e.generation) {
        return Err(AgentRefused::Misused);
    }
    if known.generation < agent.since || known.generation > i64::from(desktop.generation) {
        return Err(AgentRefused::Superseded);
    }
    judge_desktop(desktop)
}

fn judge_key(
    r: &AgentRenewal,
    key: &str,
    agent: &AgentRow,
    desktop: &Desktop,
) -> Result<(), AgentRefused> {
    let is_known = agent.key.as_deref() == Some(key);
    let is_newer = r.signed.is_some_and(|signed| {
        let signed = i64::from(signed);
        signed >= agent.since
            && signed > agent.generation
            && signed <= i64::from(desktop.generation)
    });
    if is_known || is_newer { judge_desktop(desktop) } else { Err(AgentRefused::OtherKey) }
}

fn judge_desktop(desktop: &Desktop) -> Result<(), AgentRefused> {
    if desktop.phase == Phase::Deleted || desktop.goal == Goal::Deleted {
        return Err(AgentRefused::Unknown);
    }
    if desktop.goal == Goal::Running { Ok(()) } else { Err(AgentRefused::NotRunning) }
}

#[derive(FromRow)]
struct SecretRow {
    desktop_id: String,
    generation: i64,
    used_ms: Option<i64>,
    used_key: Option<String>,
    alarm_ms: Option<i64>,
}

#[derive(Default, FromRow)]
struct AgentRow {
    since: i64,
    key: Option<String>,
    generation: i64,
}

//! Redeeming tickets: burned first, judged after.

use beamdesk_types::{Desktop, GatewayName, Goal, Phase, StreamId, UserId};
use sqlx::FromRow;

use crate::{
    Digest, Store, StoreError,
    audit::add_event,
    db::{db_now, transaction},
    desktop::DesktopRow,
    row,
};

/// What a good ticket opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redeemed {
    pub stream: StreamId,
    /// Counter of the first resume handle.
    pub counter: u64,
    pub user: UserId,
    pub user_name: String,
    pub desktop: Desktop,
}

/// Why a ticket or handle opened nothing. For the log and the audit, never for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusedReason {
    /// No such ticket or stream, or not of the right shape.
    Unknown,
    AlreadyUsed,
    Expired,
    OtherGateway,
    OtherBrowser,
    UserDisabled,
    SessionEnded,
    /// The desktop has started anew since.
    OtherGeneration,
    /// The desktop is not running.
    NotRunning,
    /// An old handle came back: somebody has a copy.
    Replayed,
    TooMany,
    StreamEnded,
}

impl RefusedReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::AlreadyUsed => "already_used",
            Self::Expired => "expired",
            Self::OtherGateway => "other_gateway",
            Self::OtherBrowser => "other_browser",
            Self::UserDisabled => "user_disabled",
            Self::SessionEnded => "session_ended",
            Self::OtherGeneration => "other_generation",
            Self::NotRunning => "not_running",
            Self::Replayed => "replayed",
            Self::TooMany => "too_many",
            Self::StreamEnded => "stream_ended",
        }
    }

    /// Whether it tells of a stolen value rather than of a late or clumsy one.
    pub fn is_alarm(self) -> bool {
        match self {
            Self::OtherGateway | Self::OtherBrowser | Self::Replayed | Self::AlreadyUsed => true,
            Self::Unknown
            | Self::Expired
            | Self::UserDisabled
            | Self::SessionEnded
            | Self::OtherGeneration
            | Self::NotRunning
            | Self::TooMany
            | Self::StreamEnded => false,
        }
    }
}

impl Store {
    /// Burns the ticket, then judges it; opens a stream when all is well. Burned also when refused:
    /// a ticket that came from the wrong place is known to somebody it was not made for.
    ///
    /// Whether the session has *expired* is left to the lease, which is checked seconds later: it
    /// was alive when the ticket was issued, and portals' clocks have no say in a ticket's life.
    ///
    /// `peers` are the gateways of which any may redeem what was made for another: those behind one
    /// address. `gateway` belongs to them without being named.
    pub async fn redeem_ticket(
        &self,
        hash: &Digest,
        gateway: &GatewayName,
        peers: &[GatewayName],
        bind_hash: &Digest,
    ) -> Result<Result<Redeemed, RefusedReason>, StoreError> {
        let presented = Presented { gateway, peers, bind: row::digest_text(bind_hash) };
        let hash = row::digest_text(hash);
        let verdict = transaction!(self, tx => {
            let now = db_now!(self, tx);
            let burned: Option<Burned> = sqlx::query_as(
                "UPDATE tickets SET used_ms = $1
                 WHERE hash = $2 AND used_ms IS NULL AND expires_ms > $1
                 RETURNING user_id, session_id, desktop_id, generation, gateway, bind_hash",
            )
            .bind(now)
            .bind(&hash)
            .fetch_optional(&mut *tx)
            .await?;
            if let Some(ticket) = burned {
                let desktop: DesktopRow = sqlx::query_as("SELECT * FROM desktops WHERE id = $1")
                    .bind(&ticket.desktop_id)
                    .fetch_one(&mut *tx)
                    .await?;
                let desktop = desktop.desktop()?;
                let holder: Holder = sqlx::query_as(
                    "SELECT u.name AS user_name, u.disabled AS disabled,
                       s.ended_ms IS NOT NULL AS session_ended, s.expires_ms AS session_expires_ms
                     FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1",
                )
                .bind(&ticket.session_id)
                .fetch_one(&mut *tx)
                .await?;
                let subject = format!("desktop:{}", ticket.desktop_id);
                match judge(&ticket, &presented, &holder, &desktop) {
                    Ok(()) => {
                        let stream = StreamId::fresh();
                        sqlx::query(
                            "INSERT INTO streams (id, user_id, session_id, desktop_id, generation,
                               gateway, bind_hash, counter, rotated_ms, window_ms, window_count,
                               started_ms)
                             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, 0, $9)",
                        )
                        .bind(stream.to_string())
                        .bind(&ticket.user_id)
                        .bind(&ticket.session_id)
                        .bind(&ticket.desktop_id)
                        .bind(ticket.generation)
                        .bind(gateway.as_str())
                        .bind(&presented.bind)
                        .bind(FIRST_COUNTER)
                        .bind(now)
                        .execute(&mut *tx)
                        .await?;
                        let detail = format!("stream {stream} through gateway {gateway}");
                        add_event!(
                            &mut *tx, now, &holder.user_name, "stream_opened", &subject, detail
                        );
                        Ok(Redeemed {
                            stream,
                            counter: row::number(FIRST_COUNTER, "counter")?,
                            user: row::parse(&ticket.user_id, "user id")?,
                            user_name: holder.user_name,
                            desktop,
                        })
                    }
                    Err(reason) => {
                        let detail = format!("{} at gateway {gateway}", reason.as_str());
                        add_event!(
                            &mut *tx, now, &holder.user_name, "ticket_refused", &subject, detail
                        );
                        Err(reason)
                    }
                }
            } else {
                let known: Option<Known> = sqlx::query_as(
                    "SELECT t.used_ms AS used_ms, t.desktop_id AS desktop_id, u.name AS user_name
                     FROM tickets t JOIN users u ON u.id = t.user_id WHERE t.hash = $1",
                )
                .bind(&hash)
                .fetch_optional(&mut *tx)
                .await?;
                // A ticket nobody issued is not worth a row: anybody could fill the disk with them.
                match known {
                    None => Err(RefusedReason::Unknown),
                    Some(known) => {
                        let reason = match known.used_ms {
                            Some(_) => RefusedReason::AlreadyUsed,
                            None => RefusedReason::Expired,
                        };
                        let subject = format!("desktop:{}", known.desktop_id);
                        let detail = format!("{} at gateway {gateway}", reason.as_str());
                        add_event!(
                            &mut *tx, now, known.user_name, "ticket_refused", subject, detail
                        );
                        Err(reason)
                    }
                }
            }
        });
        Ok(verdict)
    }
}

/// Counter of the handle that a new stream gets.
const FIRST_COUNTER: i64 = 1;

/// Where a ticket came from.
struct Presented<'a> {
    gateway: &'a GatewayName,
    peers: &'a [GatewayName],
    bind: String,
}

/// Whether what was made for one gateway may be used at another.
pub(crate) fn is_at_home(made_for: &str, gateway: &GatewayName, peers: &[GatewayName]) -> bool {
    let is_peer = |name: &str| peers.iter().any(|peer| peer.as_str() == name);
    made_for == gateway.as_str() || (is_peer(made_for) && is_peer(gateway.as_str()))
}

/// Everything a ticket is bound to must be as it was when the ticket was made (SR-10).
fn judge(
    ticket: &Burned,
    presented: &Presented<'_>,
    holder: &Holder,
    desktop: &Desktop,
) -> Result<(), RefusedReason> {
    if !is_at_home(&ticket.gateway, presented.gateway, presented.peers) {
        return Err(RefusedReason::OtherGateway);
    }
    if ticket.bind_hash != presented.bind {
        return Err(RefusedReason::OtherBrowser);
    }
    if holder.session_ended {
        return Err(if holder.disabled {
            RefusedReason::UserDisabled
        } else {
            RefusedReason::SessionEnded
        });
    }
    judge_desktop(holder, desktop, ticket.generation)
}

/// What must hold of the user and the desktop for a stream to open.
pub(crate) fn judge_desktop(
    holder: &Holder,
    desktop: &Desktop,
    generation: i64,
) -> Result<(), RefusedReason> {
    if holder.disabled {
        return Err(RefusedReason::UserDisabled);
    }
    if i64::from(desktop.generation) != generation {
        return Err(RefusedReason::OtherGeneration);
    }
    if desktop.goal != Goal::Running || desktop.phase != Phase::Ready || desktop.address.is_none() {
        return Err(RefusedReason::NotRunning);
    }
    Ok(())
}

#[derive(FromRow)]
struct Burned {
    user_id: String,
    session_id: String,
    desktop_id: String,
    generation: i64,
    gateway: String,
    bind_hash: String,
}

#[derive(FromRow)]
struct Known {
    used_ms: Option<i64>,
    desktop_id: String,
    user_name: String,
}

/// The user and the session that a ticket or stream belongs to.
#[derive(FromRow)]
pub(crate) struct Holder {
    pub(crate) user_name: String,
    pub(crate) disabled: bool,
    pub(crate) session_ended: bool,
    pub(crate) session_expires_ms: i64,
}

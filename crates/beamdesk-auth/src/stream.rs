//! What gateways ask: redeem a ticket, resume a stream, renew leases.

use std::{collections::HashSet, time::Duration};

use beamdesk_store::Rotation;
use beamdesk_types::{
    Desktop, GatewayName, LeaseAnswer, LeaseEnd, RedeemRequest, RenewRequest, ResumeRequest,
    Secret, StreamId, Timestamp, UserId,
};
use tracing::{info, warn};

use crate::{
    Auth, AuthError, RedeemError, RefusedReason, handle, locked,
    secret::{TEXT_BYTES_MAX, digest},
    since,
};

/// How long a handle that was used may be shown again, for the case that the answer was lost.
const AGAIN: Duration = Duration::from_secs(10);
/// Wait of one who came back too often. Not the whole minute that is counted by: when it began
/// nobody is told, and asking too early again does no harm.
const TOO_MANY_WAIT: Duration = Duration::from_secs(10);
/// How often a gateway's watched streams are written down.
const NOTE_INTERVAL: Duration = Duration::from_secs(60);
/// How often what is over is removed, and how long it is kept for the eyes of an operator.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);
const SWEEP_KEEP: Duration = Duration::from_secs(24 * 3600);

/// An opened stream; the portal makes the grant of it.
#[derive(Debug, Clone)]
pub struct Redeemed {
    pub stream: StreamId,
    pub user: UserId,
    pub user_name: String,
    pub desktop: Desktop,
    /// The next resume handle.
    pub handle: Secret,
}

impl Auth {
    /// Opens a stream with a ticket. The ticket is burned whatever the answer.
    pub async fn redeem(
        &self,
        request: &RedeemRequest,
        gateway: &GatewayName,
    ) -> Result<Redeemed, RedeemError> {
        let (ticket, bind) = (request.ticket.expose(), request.bind.expose());
        if ticket.len() > TEXT_BYTES_MAX || bind.len() > TEXT_BYTES_MAX {
            return Err(refused(RefusedReason::Unknown, gateway));
        }
        let peers = &self.config().peers;
        let opened =
            self.store().redeem_ticket(&digest(ticket), gateway, peers, &digest(bind)).await?;
        let opened = opened.map_err(|reason| refused(reason, gateway))?;
        Ok(Redeemed {
            stream: opened.stream,
            user: opened.user,
            user_name: opened.user_name,
            desktop: opened.desktop,
            handle: self.handle(opened.stream, opened.counter),
        })
    }

    /// Lets a browser come back to its stream. Its handle is worth nothing afterwards, but for the
    /// ten seconds in which the answer may have been lost.
    ///
    /// [`RedeemError::TooMany`] is said only to the rightful holder, whose handle stays good.
    pub async fn resume(
        &self,
        request: &ResumeRequest,
        gateway: &GatewayName,
    ) -> Result<Redeemed, RedeemError> {
        let bind = request.bind.expose();
        let known = handle::verify(&self.config().handle_key, request.handle.expose());
        let Some((stream, counter)) = known.filter(|_| bind.len() <= TEXT_BYTES_MAX) else {
            return Err(refused(RefusedReason::Unknown, gateway));
        };
        let rotation = Rotation {
            stream,
            counter,
            gateway,
            peers: &self.config().peers,
            bind_hash: digest(bind),
            now: self.now(),
            again: AGAIN,
            per_minute_max: self.config().resumes_per_minute_max,
        };
        let resumed = self.store().rotate_stream(&rotation).await?;
        let resumed = resumed.map_err(|reason| refused(reason, gateway))?;
        Ok(Redeemed {
            stream: resumed.stream,
            user: resumed.user,
            user_name: resumed.user_name,
            desktop: resumed.desktop,
            handle: self.handle(resumed.stream, resumed.counter),
        })
    }

    /// Which of a gateway's streams must end. The lists are bounded by the body they came in.
    ///
    /// The answer hangs on reading alone: a full disk ends nobody's stream and spares none.
    pub async fn renew(
        &self,
        request: &RenewRequest,
        gateway: &GatewayName,
    ) -> Result<LeaseAnswer, AuthError> {
        let now = self.now();
        let ended = self.store().ended_streams(gateway, &request.streams, now).await?;
        if let Err(error) = self.write_down(request, gateway, &ended, now).await {
            warn!(gateway.name = %gateway, %error, "Could not write down what became of streams");
        }
        Ok(LeaseAnswer { ended, now })
    }

    async fn write_down(
        &self,
        request: &RenewRequest,
        gateway: &GatewayName,
        ended: &[LeaseEnd],
        now: Timestamp,
    ) -> Result<(), AuthError> {
        if !ended.is_empty() {
            self.store().end_streams(gateway, ended).await?;
            for end in ended {
                info!(stream.id = %end.stream, reason = ?end.reason, "Ended stream");
            }
        }
        // One that was closed and came back since is not closed.
        let watched: HashSet<StreamId> = request.streams.iter().copied().collect();
        let closed: Vec<StreamId> =
            request.closed.iter().filter(|id| !watched.contains(id)).copied().collect();
        if !closed.is_empty() {
            self.store().close_streams(gateway, &closed).await?;
        }
        self.do_chores(request, gateway, now).await
    }

    async fn do_chores(
        &self,
        request: &RenewRequest,
        gateway: &GatewayName,
        now: Timestamp,
    ) -> Result<(), AuthError> {
        let is_due = |last: Option<&Timestamp>, interval| {
            last.is_none_or(|&last| since(now, last) >= interval)
        };
        let (is_note_due, is_sweep_due) = {
            let mut chores = locked(&self.inner.chores);
            let is_note_due = is_due(chores.noted.get(gateway), NOTE_INTERVAL);
            if is_note_due {
                chores.noted.insert(gateway.clone(), now);
            }
            let is_sweep_due = is_due(chores.swept.as_ref(), SWEEP_INTERVAL);
            if is_sweep_due {
                chores.swept = Some(now);
            }
            (is_note_due, is_sweep_due)
        };
        if is_note_due {
            let idle = self.config().session_idle;
            self.store().note_watched(gateway, &request.streams, now, idle).await?;
        }
        if is_sweep_due {
            self.store().sweep(now, SWEEP_KEEP).await?;
        }
        Ok(())
    }

    fn handle(&self, stream: StreamId, counter: u64) -> Secret {
        handle::sign(&self.config().handle_key, stream, counter)
    }
}

pub(crate) fn refused(reason: RefusedReason, gateway: &GatewayName) -> RedeemError {
    if reason.is_alarm() {
        warn!(gateway.name = %gateway, reason = reason.as_str(), "Refused a ticket or handle that somebody else may hold");
    } else {
        info!(gateway.name = %gateway, reason = reason.as_str(), "Refused a ticket or handle");
    }
    if reason == RefusedReason::TooMany {
        return RedeemError::TooMany { retry_after: TOO_MANY_WAIT };
    }
    RedeemError::Refused(reason)
}

//! Tickets for recordings: like those for desktops, bound to session, gateway and browser.

use beamdesk_store::{NewTicket, Play, PlayTicket};
use beamdesk_types::{
    Actor, GatewayName, PlayCheck, PlayRequest, RecordingId, RecordingUse, Timestamp,
};

use crate::{
    Auth, AuthError, RedeemError, RefusedReason, Ticket, TicketError,
    secret::{TEXT_BYTES_MAX, digest, fresh},
    stream::refused,
    ticket::RETRY_MIN,
};

impl Auth {
    /// A ticket for one use of a recording. That the actor may is the caller's to judge, and
    /// judged anew when the ticket is redeemed.
    pub async fn issue_play_ticket(
        &self,
        actor: &Actor,
        recording: RecordingId,
        purpose: RecordingUse,
        gateway: &GatewayName,
        bind: &str,
    ) -> Result<Ticket, TicketError> {
        if bind.is_empty() || bind.len() > TEXT_BYTES_MAX {
            return Err(TicketError::NoBind);
        }
        let ticket = fresh()?;
        let config = self.config();
        let row = PlayTicket {
            hash: digest(ticket.expose()),
            user: actor.user,
            session: actor.session,
            recording,
            purpose,
            gateway: gateway.clone(),
            bind_hash: digest(bind),
            ttl: config.ticket_ttl,
        };
        let issued = self.store().add_play_ticket(&row, config.tickets_per_user_minute_max);
        match issued.await? {
            NewTicket::Issued { expires } => Ok(Ticket { ticket, expires }),
            NewTicket::TooMany { retry_after } => {
                Err(TicketError::TooMany { retry_after: retry_after.max(RETRY_MIN) })
            }
        }
    }

    /// Opens a recording with a ticket. The ticket is burned whatever the answer.
    pub async fn redeem_play(
        &self,
        request: &PlayRequest,
        gateway: &GatewayName,
    ) -> Result<Play, RedeemError> {
        let (ticket, bind) = (request.ticket.expose(), request.bind.expose());
        if ticket.len() > TEXT_BYTES_MAX || bind.len() > TEXT_BYTES_MAX {
            return Err(refused(RefusedReason::Unknown, gateway));
        }
        let opened =
            self.store().redeem_play_ticket(&digest(ticket), gateway, &digest(bind)).await?;
        opened.map_err(|reason| refused(reason, gateway))
    }

    /// When it was found that a play may go on; `None`: it must end.
    pub async fn may_play(&self, play: &PlayCheck) -> Result<Option<Timestamp>, AuthError> {
        let now = self.now();
        Ok(self.store().may_play(play, now).await?.then_some(now))
    }
}

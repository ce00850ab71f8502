//! Issuing one-time tickets.

use std::time::Duration;

use beamdesk_store::{NewTicket, StoreError, TicketLimits, TicketRow};
use beamdesk_types::{Actor, Desktop, GatewayName, Goal, Phase, Secret, Timestamp};

use crate::{
    Auth, TicketError,
    secret::{TEXT_BYTES_MAX, digest, fresh},
};

/// So that a client that obeys is not refused again for the sake of a rounded millisecond.
pub(crate) const RETRY_MIN: Duration = Duration::from_secs(1);

/// A one-time ticket, for the body of a POST and nowhere else.
#[derive(Debug, Clone)]
pub struct Ticket {
    pub ticket: Secret,
    /// By the database's clock.
    pub expires: Timestamp,
}

impl Auth {
    /// A ticket for the actor's own desktop, in this generation, through this gateway, from the
    /// browser with this bind cookie.
    pub async fn issue_ticket(
        &self,
        actor: &Actor,
        desktop: &Desktop,
        gateway: &GatewayName,
        bind: &str,
    ) -> Result<Ticket, TicketError> {
        if actor.user != desktop.owner {
            return Err(TicketError::NotYours);
        }
        if desktop.goal != Goal::Running || desktop.phase != Phase::Ready {
            return Err(TicketError::NotReady);
        }
        // A ticket that any browser could use would be worth stealing.
        if bind.is_empty() || bind.len() > TEXT_BYTES_MAX {
            return Err(TicketError::NoBind);
        }
        let ticket = fresh()?;
        let config = self.config();
        let row = TicketRow {
            hash: digest(ticket.expose()),
            user: actor.user,
            session: actor.session,
            desktop: desktop.id,
            generation: desktop.generation,
            gateway: gateway.clone(),
            bind_hash: digest(bind),
            ttl: config.ticket_ttl,
        };
        let limits = TicketLimits {
            live_per_desktop_max: config.tickets_live_per_desktop_max,
            per_user_minute_max: config.tickets_per_user_minute_max,
        };
        match self.store().add_ticket(&row, limits).await {
            Ok(NewTicket::Issued { expires }) => Ok(Ticket { ticket, expires }),
            Ok(NewTicket::TooMany { retry_after }) => {
                Err(TicketError::TooMany { retry_after: retry_after.max(RETRY_MIN) })
            }
            Err(StoreError::Foreign) => Err(TicketError::NotYours),
            Err(error) => Err(error.into()),
        }
    }
}

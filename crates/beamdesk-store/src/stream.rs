//! Streams: one viewer at one desktop, over all its reconnects.

use beamdesk_types::{CloseReason, DesktopId, GatewayName, SessionId, StreamId, Timestamp, UserId};
use sqlx::FromRow;

use crate::{
    Store, StoreError,
    db::{db_now, on, transaction},
    row,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRow {
    pub id: StreamId,
    pub user: UserId,
    pub session: SessionId,
    pub desktop: DesktopId,
    pub generation: u32,
    pub gateway: GatewayName,
    pub started: Timestamp,
}

impl Store {
    /// Streams somebody watches now, as far as their gateways have told.
    pub async fn live_streams_of(&self, desktop: DesktopId) -> Result<Vec<StreamRow>, StoreError> {
        let rows: Vec<StreamColumns> = on!(self, pool => sqlx::query_as(
            "SELECT * FROM streams
             WHERE desktop_id = $1 AND ended_ms IS NULL AND detached_ms IS NULL
             ORDER BY id LIMIT $2",
        )
        .bind(desktop.to_string())
        .bind(row::rows_max(u32::MAX))
        .fetch_all(pool)
        .await)?;
        rows.into_iter().map(StreamColumns::stream).collect()
    }

    /// Ends one stream for good; its gateway closes it at the next lease. False: it was over.
    pub async fn end_stream(&self, id: StreamId, reason: CloseReason) -> Result<bool, StoreError> {
        let ended = transaction!(self, tx => {
            let now = db_now!(self, tx);
            sqlx::query(
                "UPDATE streams SET ended_ms = $1, end_reason = $2
                 WHERE id = $3 AND ended_ms IS NULL",
            )
            .bind(now)
            .bind(reason_word(reason))
            .bind(id.to_string())
            .execute(&mut *tx)
            .await?
            .rows_affected()
        });
        Ok(ended == 1)
    }
}

/// The word used in SQL, the same as in JSON.
pub(crate) fn reason_word(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::LoggedOut => "logged_out",
        CloseReason::NotAllowed => "not_allowed",
        CloseReason::DesktopGone => "desktop_gone",
        CloseReason::Ended => "ended",
        CloseReason::PortalLost => "portal_lost",
        CloseReason::AgentLost => "agent_lost",
        CloseReason::ViewerStalled => "viewer_stalled",
        CloseReason::ProtocolError => "protocol_error",
        CloseReason::GatewayClosing => "gateway_closing",
    }
}

pub(crate) fn reason_of(word: &str) -> Result<CloseReason, StoreError> {
    [
        CloseReason::LoggedOut,
        CloseReason::NotAllowed,
        CloseReason::DesktopGone,
        CloseReason::Ended,
        CloseReason::PortalLost,
        CloseReason::AgentLost,
        CloseReason::ViewerStalled,
        CloseReason::ProtocolError,
        CloseReason::GatewayClosing,
    ]
    .into_iter()
    .find(|&reason| reason_word(reason) == word)
    .ok_or(StoreError::Corrupt { what: "close reason" })
}

#[derive(FromRow)]
pub(crate) struct StreamColumns {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) session_id: String,
    pub(crate) desktop_id: String,
    pub(crate) generation: i64,
    pub(crate) gateway: String,
    pub(crate) bind_hash: String,
    pub(crate) counter: i64,
    pub(crate) rotated_ms: i64,
    pub(crate) window_ms: i64,
    pub(crate) window_count: i64,
    pub(crate) started_ms: i64,
    pub(crate) ended_ms: Option<i64>,
}

impl StreamColumns {
    fn stream(self) -> Result<StreamRow, StoreError> {
        Ok(StreamRow {
            id: row::parse(&self.id, "stream id")?,
            user: row::parse(&self.user_id, "user id")?,
            session: row::parse(&self.session_id, "session id")?,
            desktop: row::parse(&self.desktop_id, "desktop id")?,
            generation: row::number(self.generation, "generation")?,
            gateway: row::parse(&self.gateway, "gateway name")?,
            started: row::time(self.started_ms)?,
        })
    }
}

//! From the viewer to the agent.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::extract::ws::{Message, WebSocket};
use beamdesk_proto::{
    ProtocolError,
    wire::{self, UP_BYTES_MAX, kind},
};
use beamdesk_types::CloseReason;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::SplitStream};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    time::{Instant, timeout},
};
use tracing::debug;

pub(super) type ViewerSource = SplitStream<WebSocket>;

/// When the viewer last gave a sign of life. Shared by the two directions of one task.
#[derive(Debug)]
pub(super) struct Heard(Mutex<Instant>);

impl Heard {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(now))
    }

    pub(super) fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, now: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

/// Until one of the two is gone or the viewer breaks the protocol.
pub(super) async fn to_agent<W: AsyncWrite + Unpin>(
    source: &mut ViewerSource,
    agent: &mut W,
    heard: &Heard,
    deadline: Duration,
) -> CloseReason {
    loop {
        let message = match source.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                debug!(%error, "The viewer's connection broke");
                return CloseReason::Ended;
            }
            None => return CloseReason::Ended,
        };
        heard.note(Instant::now());
        let bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return CloseReason::Ended,
            Message::Text(_) => {
                debug!("The viewer sent text");
                return CloseReason::ProtocolError;
            }
        };
        match is_for_agent(&bytes) {
            Ok(true) => {}
            Ok(false) => continue,
            Err(error) => {
                debug!(%error, "The viewer broke the protocol");
                return CloseReason::ProtocolError;
            }
        }
        let written = async {
            agent.write_all(&bytes).await?;
            agent.flush().await
        };
        match timeout(deadline, written).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return CloseReason::AgentLost,
        }
    }
}

/// Whether a message goes to the agent; if not, it is skipped.
fn is_for_agent(bytes: &Bytes) -> Result<bool, ProtocolError> {
    let header = wire::Message::decode(bytes.clone(), UP_BYTES_MAX)?.header;
    match header.kind {
        kind::VIEWER | kind::ACK => Ok(true),
        // Optional or not, a viewer may not speak for the agent or the gateway.
        kind::AGENT
        | kind::TILES
        | kind::CURSOR
        | kind::VIDEO
        | kind::SLICE
        | kind::GATE
        | kind::GATE_HELLO
        | kind::OPEN => Err(ProtocolError::UnexpectedKind(header.kind)),
        _ if header.is_optional() => Ok(false),
        unknown => Err(ProtocolError::UnexpectedKind(unknown)),
    }
}

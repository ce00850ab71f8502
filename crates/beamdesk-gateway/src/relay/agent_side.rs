//! From the agent to the viewer.

use std::io;

use axum::extract::ws::Message;
use beamdesk_proto::{
    ProtocolError,
    control::GateMessage,
    wire::{DOWN_BYTES_MAX, Header, json_message, kind},
};
use beamdesk_types::CloseReason;
use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::{Instant, sleep_until},
};
use tracing::{debug, warn};

use super::{ViewerSink, viewer_side::Heard, write};
use crate::{config::Times, record::Tee};

/// One TLS record: no read gives more.
const READ_BYTES: usize = 16 << 10;

/// Cuts the agent's bytes into messages, and keeps them as they came.
pub(super) struct AgentReader<R> {
    reader: R,
    /// At most one message and what one read gave behind it.
    buffer: BytesMut,
}

enum ReadError {
    Io(io::Error),
    Protocol(ProtocolError),
}

impl<R: AsyncRead + Unpin> AgentReader<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, buffer: BytesMut::new() }
    }

    /// Gives the buffer back, which is as large as the largest message was, if nothing is in it.
    fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// The next whole message, header included; `None` at the end. Cancel-safe.
    async fn next(&mut self) -> Result<Option<(Header, Bytes)>, ReadError> {
        loop {
            if let Some(whole) = first_whole(&mut self.buffer).map_err(ReadError::Protocol)? {
                return Ok(Some(whole));
            }
            self.buffer.reserve(READ_BYTES);
            if self.reader.read_buf(&mut self.buffer).await.map_err(ReadError::Io)? == 0 {
                return Ok(None);
            }
        }
    }
}

/// Takes the first message out of the buffer when all of it is there, without a copy.
fn first_whole(buffer: &mut BytesMut) -> Result<Option<(Header, Bytes)>, ProtocolError> {
    let Some(head) = buffer.first_chunk() else { return Ok(None) };
    let header = Header::decode(*head, DOWN_BYTES_MAX)?;
    if buffer.len() < header.message_len() {
        return Ok(None);
    }
    Ok(Some((header, buffer.split_to(header.message_len()).freeze())))
}

/// Until one of the two is gone or breaks the protocol.
pub(super) async fn to_viewer<R: AsyncRead + Unpin>(
    mut agent: AgentReader<R>,
    sink: &mut ViewerSink,
    heard: &Heard,
    times: &Times,
    mut tee: Option<Tee>,
) -> CloseReason {
    let mut ping_at = Instant::now() + times.ping;
    loop {
        let read = tokio::select! {
            read = agent.next() => read,
            () = Tee::over(&mut tee) => {
                tee = None;
                let over = json_message(kind::GATE, &GateMessage::Recording { on: false });
                match write(sink, Message::Binary(over), times.write).await {
                    Ok(()) => continue,
                    Err(reason) => return reason,
                }
            }
            () = sleep_until(ping_at) => {
                let now = Instant::now();
                if now.duration_since(heard.last()) >= times.silence {
                    return CloseReason::ViewerStalled;
                }
                ping_at = now + times.ping;
                agent.rest();
                match write(sink, Message::Ping(Bytes::new()), times.write).await {
                    Ok(()) => continue,
                    Err(reason) => return reason,
                }
            }
        };
        let (header, bytes) = match read {
            Ok(Some(message)) => message,
            Ok(None) => return CloseReason::AgentLost,
            Err(ReadError::Io(error)) => {
                debug!(%error, "The agent's connection broke");
                return CloseReason::AgentLost;
            }
            Err(ReadError::Protocol(error)) => {
                warn!(%error, "The agent broke the protocol");
                return CloseReason::ProtocolError;
            }
        };
        match header.kind {
            kind::AGENT | kind::TILES | kind::CURSOR | kind::VIDEO | kind::SLICE => {}
            // A message of the gateway's own kinds must never come from inside a desktop.
            kind::GATE | kind::GATE_HELLO | kind::OPEN | kind::VIEWER | kind::ACK => {
                warn!(kind = header.kind, "The agent sent a kind it must not");
                return CloseReason::ProtocolError;
            }
            _ if header.is_optional() => continue,
            _ => {
                warn!(kind = header.kind, "The agent sent an unknown kind");
                return CloseReason::ProtocolError;
            }
        }
        if let Some(tee) = &tee {
            tee.push(&bytes);
        }
        if let Err(reason) = write(sink, Message::Binary(bytes), times.write).await {
            return reason;
        }
    }
}

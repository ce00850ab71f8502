//! One viewer's stream: its first message, its agent, and messages both ways until it ends.
//!
//! There is no queue: a message is read only after the one before it was written, so a viewer
//! that does not read stops its own agent, and costs two messages and the sockets' buffers.

mod agent_side;
mod viewer_side;

use std::{pin::pin, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use beamdesk_proto::{
    control::{GateHello, GateMessage, VERSION},
    wire::{self, HELLO_BYTES_MAX, json_message, kind},
};
use beamdesk_types::{CloseReason, DesktopId, RecordingPolicy, Secret};
use futures_util::{SinkExt as _, StreamExt as _, stream::SplitSink};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout},
};
use tracing::{Span, info, warn};

use self::{agent_side::AgentReader, viewer_side::Heard};
use crate::{
    agent,
    attaches::Pending,
    record::{self, Tee},
    state::Gateway,
};

pub(crate) type ViewerSink = SplitSink<WebSocket, Message>;

/// Runs until the stream ends, and says good-bye.
pub(crate) async fn run(gateway: &Gateway, desktop: DesktopId, handle: &Secret, socket: WebSocket) {
    let (mut sink, mut source) = socket.split();
    let hello = timeout(gateway.times.hello, first_message(&mut source)).await.ok().flatten();
    let opening = hello.and_then(|hello| {
        let now = Instant::now().into_std();
        gateway.attaches(|a| a.take(desktop, handle.expose(), &hello.nonce, now))
    });
    let Some(opening) = opening else {
        // The same for silence, noise and a wrong nonce; a viewer of ours attaches again.
        return close(gateway, &mut sink, CloseReason::ProtocolError, true).await;
    };
    let grant = &opening.grant;
    Span::current().record("stream.id", tracing::field::display(grant.stream));

    let (ender, mut ended) = oneshot::channel();
    let Some((connection, earlier)) = gateway.leases(|l| l.opened(grant.stream, ender)) else {
        return close(gateway, &mut sink, CloseReason::Ended, false).await;
    };
    if let Some(earlier) = earlier {
        let _ = earlier.send(CloseReason::Ended); // Gone already, when nobody listens.
    }
    info!("Stream opened");
    let reason = tokio::select! {
        reason = &mut ended => reason.unwrap_or(CloseReason::Ended),
        () = gateway.shutdown.cancelled() => CloseReason::GatewayClosing,
        reason = relay(gateway, &opening, &mut sink, &mut source) => reason,
    };
    let now = Instant::now().into_std();
    gateway.leases(|leases| leases.left(grant.stream, connection, now));
    info!(?reason, "Stream closed");
    close(gateway, &mut sink, reason, may_retry(reason)).await;
}

async fn relay(
    gateway: &Gateway,
    opening: &Pending,
    sink: &mut ViewerSink,
    source: &mut viewer_side::ViewerSource,
) -> CloseReason {
    let grant = &opening.grant;
    let dialled = agent::dial(&gateway.connector, grant, gateway.times.agent).await;
    let agent = match dialled {
        Ok(agent) => agent,
        Err(error) => {
            warn!(%error, "Could not reach the agent");
            return CloseReason::AgentLost;
        }
    };
    let (reader, mut writer) = tokio::io::split(agent);
    let tee = tee(gateway, opening).await;
    let heard = Heard::new(Instant::now());
    let welcome = GateMessage::Welcome {
        desktop: grant.desktop,
        desktop_name: grant.desktop_name.clone(),
        user_name: grant.user_name.clone(),
        recording: tee.is_some(),
    };
    let down = async {
        let welcome = Message::Binary(json_message(kind::GATE, &welcome));
        if let Err(reason) = write(sink, welcome, gateway.times.write).await {
            return reason;
        }
        agent_side::to_viewer(AgentReader::new(reader), sink, &heard, &gateway.times, tee).await
    };
    let up = viewer_side::to_agent(source, &mut writer, &heard, gateway.times.write);
    let (mut down, mut up) = (pin!(down), pin!(up));
    tokio::select! {
        reason = &mut down => reason,
        reason = &mut up => reason,
    }
}

/// Where the stream is to be recorded: before its first message.
async fn tee(gateway: &Gateway, opening: &Pending) -> Option<Tee> {
    let shelf = gateway.shelf.as_ref()?;
    let is_wanted = match opening.grant.recording {
        RecordingPolicy::Off => false,
        RecordingPolicy::Allowed => opening.wants_recording,
        RecordingPolicy::Always => true,
    };
    if !is_wanted {
        return None;
    }
    record::begin(shelf, &gateway.portal, &opening.grant, &gateway.streams).await
}

async fn first_message(source: &mut viewer_side::ViewerSource) -> Option<GateHello> {
    loop {
        let bytes = match source.next().await?.ok()? {
            Message::Binary(bytes) => bytes,
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Text(_) | Message::Close(_) => return None,
        };
        let message = wire::Message::decode(bytes, HELLO_BYTES_MAX).ok()?;
        if message.header.kind != kind::GATE_HELLO {
            return None;
        }
        let hello: GateHello = wire::json(&message.payload).ok()?;
        return (hello.version == VERSION).then_some(hello);
    }
}

/// Writes one message; a viewer that does not take it within the deadline is stalled.
async fn write(
    sink: &mut ViewerSink,
    message: Message,
    deadline: Duration,
) -> Result<(), CloseReason> {
    match timeout(deadline, sink.send(message)).await {
        Ok(Ok(())) => Ok(()),
        // The connection broke: nobody hears the reason, the log does.
        Ok(Err(_)) => Err(CloseReason::Ended),
        Err(_) => Err(CloseReason::ViewerStalled),
    }
}

/// Tells the reason to who still listens; the socket closes with or without that.
async fn close(gateway: &Gateway, sink: &mut ViewerSink, reason: CloseReason, retry: bool) {
    /// RFC 6455, 7.4.1: normal closure.
    const NORMAL: u16 = 1000;
    let last = json_message(kind::GATE, &GateMessage::Close { reason, retry });
    let said = async {
        sink.send(Message::Binary(last)).await?;
        let frame = CloseFrame { code: NORMAL, reason: axum::extract::ws::Utf8Bytes::default() };
        sink.send(Message::Close(Some(frame))).await?;
        sink.close().await
    };
    // Best effort: a viewer that is gone or does not read gets no more of our time.
    drop(timeout(gateway.times.close, said).await);
}

/// Whether the viewer should come back by itself.
fn may_retry(reason: CloseReason) -> bool {
    match reason {
        CloseReason::PortalLost
        | CloseReason::AgentLost
        | CloseReason::ViewerStalled
        | CloseReason::GatewayClosing => true,
        CloseReason::LoggedOut
        | CloseReason::NotAllowed
        | CloseReason::DesktopGone
        | CloseReason::Ended
        | CloseReason::ProtocolError => false,
    }
}

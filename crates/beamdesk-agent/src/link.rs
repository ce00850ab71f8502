//! One viewer's connection: moves messages between TLS and the engine.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use beamdesk_proto::{
    ProtocolError,
    control::{Open, VERSION},
    wire::{self, Framer, HELLO_BYTES_MAX, Message, UP_BYTES_MAX, kind},
};
use beamdesk_types::StreamId;
use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    time::timeout,
};
use tracing::{Instrument as _, info, info_span};

use crate::{
    AgentError,
    engine::{Command, Handle, VIEWERS_MAX},
};

/// The gateway has its first message ready when it dials.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// The gateway writes on to its viewer before it reads again, and gives that 30 s.
const WRITE_TIMEOUT: Duration = Duration::from_secs(40);
/// One read; an acknowledgement or a key is far shorter.
const READ_BYTES: usize = 16 << 10;

/// Serves one connection until it ends.
pub async fn serve<S>(stream: S, engine: &Handle) -> Result<(), AgentError>
where
    S: AsyncRead + AsyncWrite + Send,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut framer = Framer::new(HELLO_BYTES_MAX);
    let opened = timeout(OPEN_TIMEOUT, opened(&mut reader, &mut framer))
        .await
        .map_err(|_| AgentError::Slow("the first message"))??;
    let span = info_span!("stream", stream.id = %opened);
    async {
        let viewer = next_viewer();
        let (messages, queue) = Handle::queue();
        if engine.seen().viewers >= VIEWERS_MAX {
            return Err(AgentError::TooManyViewers(VIEWERS_MAX));
        }
        if !engine.tell(Command::Attach { viewer, messages }).await {
            return Ok(());
        }
        // Whichever side ends first ends the other.
        let done = tokio::select! {
            done = read(&mut reader, framer, viewer, engine) => done,
            done = write(&mut writer, queue) => done,
        };
        engine.tell(Command::Detach { viewer }).await;
        info!(viewer, "Link ended");
        // Says goodbye where that is still possible; the connection is closed either way.
        match timeout(OPEN_TIMEOUT, writer.shutdown()).await {
            Ok(Ok(()) | Err(_)) | Err(_) => done,
        }
    }
    .instrument(span)
    .await
}

async fn opened<R>(reader: &mut R, framer: &mut Framer) -> Result<StreamId, AgentError>
where
    R: AsyncRead + Unpin,
{
    let message = loop {
        if let Some(message) = framer.next_message()? {
            break message;
        }
        fill(reader, framer.buffer_mut()).await?;
    };
    if message.header.kind != kind::OPEN {
        return Err(ProtocolError::UnexpectedKind(message.header.kind).into());
    }
    let open: Open = wire::json(&message.payload)?;
    if open.version != VERSION {
        return Err(ProtocolError::Version { theirs: open.version, ours: VERSION }.into());
    }
    Ok(open.stream)
}

async fn read<R>(
    reader: &mut R,
    before: Framer,
    viewer: u64,
    engine: &Handle,
) -> Result<(), AgentError>
where
    R: AsyncRead + Unpin,
{
    let mut framer = before.with_max(UP_BYTES_MAX);
    loop {
        while let Some(message) = framer.next_message()? {
            if !engine.tell(Command::Received { viewer, message: owned(&message) }).await {
                return Ok(());
            }
        }
        match fill(reader, framer.buffer_mut()).await {
            Ok(()) => {}
            Err(AgentError::Connection(error))
                if error.kind() == io::ErrorKind::UnexpectedEof && !framer.is_mid_message() =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

async fn write<W>(writer: &mut W, mut queue: mpsc::Receiver<Bytes>) -> Result<(), AgentError>
where
    W: AsyncWrite + Unpin,
{
    while let Some(message) = queue.recv().await {
        let one = async {
            writer.write_all(&message).await?;
            if queue.is_empty() { writer.flush().await } else { Ok(()) }
        };
        timeout(WRITE_TIMEOUT, one)
            .await
            .map_err(|_| AgentError::Slow("reading what was sent"))?
            .map_err(AgentError::Connection)?;
    }
    Ok(())
}

async fn fill<R>(reader: &mut R, buffer: &mut BytesMut) -> Result<(), AgentError>
where
    R: AsyncRead + Unpin,
{
    buffer.reserve(READ_BYTES);
    match reader.read_buf(buffer).await.map_err(AgentError::Connection)? {
        0 => Err(AgentError::Connection(io::ErrorKind::UnexpectedEof.into())),
        _ => Ok(()),
    }
}

/// A small message must not keep a large read buffer alive while it waits for the engine.
fn owned(message: &Message) -> Message {
    Message { header: message.header, payload: Bytes::copy_from_slice(&message.payload) }
}

fn next_viewer() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

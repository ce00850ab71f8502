//! Moves messages between a program's socket and what they mean.

use beamdesk_proto::local::{self, Answer, LENGTHS_BYTES, Refusal, Request};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::AgentError;

/// The header of one message, and how many bytes of data follow it.
pub(super) struct Head {
    pub(super) request: Result<Request, Refusal>,
    pub(super) data: usize,
}

/// Waits for the next message to begin; `false`: the program has gone between two of them.
pub(super) async fn begins<R>(reader: &mut R, first: &mut u8) -> Result<bool, AgentError>
where
    R: AsyncRead + Unpin,
{
    let mut byte = [0];
    let read = reader.read(&mut byte).await.map_err(AgentError::Connection)?;
    [*first] = byte;
    Ok(read > 0)
}

/// Reads on to the end of the header of a message that began with this byte.
pub(super) async fn head<R>(reader: &mut R, first: u8) -> Result<Head, AgentError>
where
    R: AsyncRead + Unpin,
{
    let mut lengths = [first; LENGTHS_BYTES];
    reader.read_exact(&mut lengths[1..]).await.map_err(AgentError::Connection)?;
    let (header, data) = local::lengths(lengths)?;
    let mut text = vec![0; header];
    reader.read_exact(&mut text).await.map_err(AgentError::Connection)?;
    Ok(Head { request: local::request(&text), data })
}

pub(super) async fn answer<W>(writer: &mut W, answer: &Answer) -> Result<(), AgentError>
where
    W: AsyncWrite + Unpin,
{
    writer.write_all(&local::answer(answer)).await.map_err(AgentError::Connection)?;
    writer.flush().await.map_err(AgentError::Connection)
}

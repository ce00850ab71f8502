//! What can be wrong with what the other side sent.

/// The other side broke the protocol; the connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    #[error("a message of {len} bytes is longer than the {max} allowed here")]
    TooLong { len: usize, max: usize },
    #[error("a message is cut short")]
    Short,
    #[error("a message has {extra} bytes after its end")]
    Trailing { extra: usize },
    #[error("a header names stream {0}, which does not exist")]
    UnknownStream(u16),
    #[error("a header has unknown flags {0:#04x}")]
    UnknownFlags(u8),
    #[error("a message of kind {0:#04x} is not expected here")]
    UnexpectedKind(u8),
    #[error("version {theirs} is spoken there, version {ours} here")]
    Version { theirs: u16, ours: u16 },
    #[error("the first message must be a hello, and only the first")]
    Hello,
    #[error("frame {0} is acknowledged but is not the oldest in flight")]
    UnknownFrame(u32),
    #[error("{0} is out of its bounds")]
    OutOfBounds(&'static str),
    #[error("not a control message")]
    Json(#[from] serde_json::Error),
}

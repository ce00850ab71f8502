//! Binary framing: message headers, the parts of `TILES`, acknowledgements. See docs/protocol.md.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};
use xxhash_rust::xxh64::{Xxh64, xxh64};

use crate::ProtocolError;

/// Edge of a tile, pixels.
pub const TILE: u16 = 64;
pub const HEADER_BYTES: usize = 8;
/// One screenful of noise at 4K is sent as many messages, so none needs to be longer.
pub const DOWN_BYTES_MAX: usize = 1 << 20;
/// Long enough for an acknowledgement of every tile of an 8K picture.
pub const UP_BYTES_MAX: usize = 128 << 10;
pub const HELLO_BYTES_MAX: usize = 4 << 10;
/// What a packed body may unpack to.
pub const BODY_BYTES_MAX: usize = 4 << 20;
pub const WIDTH_MAX: u16 = 7680;
pub const HEIGHT_MAX: u16 = 4320;
pub const SIZE_MIN: u16 = 64;
/// `frame` and `captured_us`, before the body of a `TILES` message.
pub const TILES_PREFIX_BYTES: usize = 12;

pub mod kind {
    pub const AGENT: u8 = 0x01;
    pub const TILES: u8 = 0x02;
    pub const CURSOR: u8 = 0x03;
    pub const VIDEO: u8 = 0x04;
    /// 16-bit grey pictures of programs that hand them over.
    pub const SLICE: u8 = 0x05;
    pub const VIEWER: u8 = 0x11;
    pub const ACK: u8 = 0x12;
    pub const GATE_HELLO: u8 = 0x20;
    pub const GATE: u8 = 0x21;
    pub const OPEN: u8 = 0x30;
}

pub mod flag {
    pub const OPTIONAL: u8 = 1;
    pub const LAST: u8 = 2;
    pub const ZSTD: u8 = 4;
    pub const ALL: u8 = OPTIONAL | LAST | ZSTD;
}

/// First 8 bytes of every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub kind: u8,
    pub flags: u8,
    /// Bytes of payload that follow.
    pub len: u32,
}

impl Header {
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let [a, b, c, d] = self.len.to_le_bytes();
        [self.kind, self.flags, 0, 0, a, b, c, d]
    }

    /// `max` bounds header and payload together, before anything is allocated for them.
    pub fn decode(bytes: [u8; HEADER_BYTES], max: usize) -> Result<Self, ProtocolError> {
        let [kind, flags, s0, s1, a, b, c, d] = bytes;
        let header = Self { kind, flags, len: u32::from_le_bytes([a, b, c, d]) };
        let stream = u16::from_le_bytes([s0, s1]);
        if stream != 0 {
            return Err(ProtocolError::UnknownStream(stream));
        }
        if flags & !flag::ALL != 0 {
            return Err(ProtocolError::UnknownFlags(flags));
        }
        if header.message_len() > max {
            return Err(ProtocolError::TooLong { len: header.message_len(), max });
        }
        Ok(header)
    }

    pub fn payload_len(self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }

    /// Header and payload together.
    pub fn message_len(self) -> usize {
        self.payload_len().saturating_add(HEADER_BYTES)
    }

    /// Whether a reader that does not know the kind skips the message.
    pub fn is_optional(self) -> bool {
        self.flags & flag::OPTIONAL != 0
    }
}

/// One whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub header: Header,
    pub payload: Bytes,
}

impl Message {
    /// Reads bytes that must be exactly one message, as in a WebSocket frame.
    pub fn decode(mut bytes: Bytes, max: usize) -> Result<Self, ProtocolError> {
        let head = bytes.first_chunk().ok_or(ProtocolError::Short)?;
        let header = Header::decode(*head, max)?;
        bytes.advance(HEADER_BYTES);
        match bytes.len().checked_sub(header.payload_len()) {
            None => Err(ProtocolError::Short),
            Some(0) => Ok(Self { header, payload: bytes }),
            Some(extra) => Err(ProtocolError::Trailing { extra }),
        }
    }
}

/// One message as bytes for the wire.
///
/// # Panics
/// When the payload is longer than 4 GiB, which no bound here allows.
pub fn message(kind: u8, flags: u8, payload: &[u8]) -> Bytes {
    let len = u32::try_from(payload.len()).expect("bounded far below 4 GiB");
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES.saturating_add(payload.len()));
    bytes.put_slice(&Header { kind, flags, len }.encode());
    bytes.put_slice(payload);
    bytes.freeze()
}

/// A control message as bytes for the wire.
pub fn json_message<T: Serialize>(kind: u8, value: &T) -> Bytes {
    let payload = serde_json::to_vec(value).expect("control messages have string keys only");
    message(kind, 0, &payload)
}

/// Payload of a control message.
pub fn json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, ProtocolError> {
    Ok(serde_json::from_slice(payload)?)
}

/// Cuts a stream of bytes into whole messages.
///
/// Holds at most one message and what was fed behind it, so feed it what one read gave.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    max: usize,
}

impl Framer {
    /// `max` bounds each message, header included.
    pub fn new(max: usize) -> Self {
        Self { buffer: BytesMut::new(), max }
    }

    /// Goes on with another bound for the messages to come.
    #[must_use]
    pub fn with_max(self, max: usize) -> Self {
        Self { max, ..self }
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer to read into, where the caller can read into one.
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole message; `None`: more bytes are needed.
    pub fn next_message(&mut self) -> Result<Option<Message>, ProtocolError> {
        let Some(head) = self.buffer.first_chunk() else { return Ok(None) };
        let header = Header::decode(*head, self.max)?;
        if self.buffer.len() < header.message_len() {
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        let payload = self.buffer.split_to(header.payload_len()).freeze();
        Ok(Some(Message { header, payload }))
    }

    /// Whether a message has begun that has not come to its end.
    pub fn is_mid_message(&self) -> bool {
        !self.buffer.is_empty()
    }
}

/// What stands before the body of a `TILES` message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TilesPrefix {
    pub frame: u32,
    /// When the picture was captured, microseconds of the agent's own clock.
    pub captured_us: u64,
}

impl TilesPrefix {
    pub fn encode(self) -> [u8; TILES_PREFIX_BYTES] {
        let mut out = [0; TILES_PREFIX_BYTES];
        let mut rest = out.as_mut_slice();
        rest.put_u32_le(self.frame);
        rest.put_u64_le(self.captured_us);
        out
    }

    /// The prefix and the body behind it.
    pub fn split(mut payload: &[u8]) -> Result<(Self, &[u8]), ProtocolError> {
        let frame = payload.try_get_u32_le().map_err(|_| ProtocolError::Short)?;
        let captured_us = payload.try_get_u64_le().map_err(|_| ProtocolError::Short)?;
        Ok((Self { frame, captured_us }, payload))
    }
}

/// `VIDEO` up to its mask.
const VIDEO_PREFIX_BYTES: usize = 24;
/// What one encoded picture may have, in all its messages: 8K without loss has less.
pub const BITSTREAM_BYTES_MAX: usize = 32 << 20;

/// What stands before the bitstream of a `VIDEO` message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoHead {
    pub frame: u32,
    /// When the picture was captured, microseconds of the agent's own clock.
    pub captured_us: u64,
    /// [`crate::control::VideoCodec::number`].
    pub codec: u8,
    /// It decodes without any frame before it. The first of a codec or a size always does.
    pub is_key: bool,
    /// The bitstream goes on in the next `VIDEO` message.
    pub goes_on: bool,
    /// Where it is painted; the corner is a tile's, the decoded picture may be larger.
    pub x: u16,
    pub y: u16,
    pub width: u16,
    pub height: u16,
    /// Which tiles of the rectangle it may paint: a bit each, row by row, low bits first.
    pub mask: Vec<u8>,
}

impl VideoHead {
    const KEY: u8 = 1;
    const GOES_ON: u8 = 2;

    /// # Panics
    /// When the mask is longer than 65,535 bytes; no picture has as many tiles.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(VIDEO_PREFIX_BYTES.saturating_add(self.mask.len()));
        out.put_u32_le(self.frame);
        out.put_u64_le(self.captured_us);
        out.put_u8(self.codec);
        let key = if self.is_key { Self::KEY } else { 0 };
        out.put_u8(key | if self.goes_on { Self::GOES_ON } else { 0 });
        for number in [self.x, self.y, self.width, self.height] {
            out.put_u16_le(number);
        }
        out.put_u16_le(u16::try_from(self.mask.len()).expect("no picture has as many tiles"));
        out.put_slice(&self.mask);
        out
    }

    /// The head and the bitstream behind it.
    pub fn split(mut payload: &[u8]) -> Result<(Self, &[u8]), ProtocolError> {
        let short = |_| ProtocolError::Short;
        let frame = payload.try_get_u32_le().map_err(short)?;
        let captured_us = payload.try_get_u64_le().map_err(short)?;
        let codec = payload.try_get_u8().map_err(short)?;
        let flags = payload.try_get_u8().map_err(short)?;
        if flags & !(Self::KEY | Self::GOES_ON) != 0 {
            return Err(ProtocolError::UnknownFlags(flags));
        }
        let x = payload.try_get_u16_le().map_err(short)?;
        let y = payload.try_get_u16_le().map_err(short)?;
        let width = payload.try_get_u16_le().map_err(short)?;
        let height = payload.try_get_u16_le().map_err(short)?;
        let mask_len = usize::from(payload.try_get_u16_le().map_err(short)?);
        let is_within = |at: u16, length: u16, max: u16| {
            at.is_multiple_of(TILE) && length > 0 && at.saturating_add(length) <= max
        };
        if !is_within(x, width, WIDTH_MAX) || !is_within(y, height, HEIGHT_MAX) {
            return Err(ProtocolError::OutOfBounds("the place of a video frame"));
        }
        let tiles = tiles_of(width, height);
        if mask_len != tiles.div_ceil(8) {
            return Err(ProtocolError::OutOfBounds("the mask of a video frame"));
        }
        let (mask, bitstream) = payload.split_at_checked(mask_len).ok_or(ProtocolError::Short)?;
        // One way to write each mask: the bits behind the last tile are 0.
        let used = tiles % 8;
        if used != 0 && mask.last().is_some_and(|&last| last >> used != 0) {
            return Err(ProtocolError::OutOfBounds("the mask of a video frame"));
        }
        let head = Self {
            frame,
            captured_us,
            codec,
            is_key: flags & Self::KEY != 0,
            goes_on: flags & Self::GOES_ON != 0,
            x,
            y,
            width,
            height,
            mask: mask.to_vec(),
        };
        Ok((head, bitstream))
    }
}

/// A viewer's acknowledgement of one drawn frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    pub frame: u32,
    /// Time the viewer took to decode the frame.
    pub decode_us: u32,
    /// Time from decoded to shown.
    pub shown_us: u32,
    /// Each tile the frame touched, with the hash of what the viewer holds there.
    pub tiles: Vec<(u16, u64)>,
}

impl Ack {
    /// The payload of an `ACK` message.
    ///
    /// # Panics
    /// When there are more than 65,535 tiles; no picture has as many.
    pub fn encode(&self) -> Vec<u8> {
        let count = u16::try_from(self.tiles.len()).expect("no picture has as many tiles");
        let mut out = Vec::new();
        out.put_u32_le(self.frame);
        out.put_u32_le(self.decode_us);
        out.put_u32_le(self.shown_us);
        out.put_u16_le(count);
        for &(tile, hash) in &self.tiles {
            out.put_u16_le(tile);
            out.put_u64_le(hash);
        }
        out
    }

    pub fn decode(mut payload: &[u8]) -> Result<Self, ProtocolError> {
        let short = |_| ProtocolError::Short;
        let frame = payload.try_get_u32_le().map_err(short)?;
        let decode_us = payload.try_get_u32_le().map_err(short)?;
        let shown_us = payload.try_get_u32_le().map_err(short)?;
        let count = payload.try_get_u16_le().map_err(short)?;
        // Grows with what is there, not with what `count` claims.
        let mut tiles = Vec::new();
        for _ in 0..count {
            let tile = payload.try_get_u16_le().map_err(short)?;
            let hash = payload.try_get_u64_le().map_err(short)?;
            tiles.push((tile, hash));
        }
        match payload.len() {
            0 => Ok(Self { frame, decode_us, shown_us, tiles }),
            extra => Err(ProtocolError::Trailing { extra }),
        }
    }
}

/// Number of tiles of a picture.
pub fn tiles_of(width: u16, height: u16) -> usize {
    usize::from(width.div_ceil(TILE)).saturating_mul(usize::from(height.div_ceil(TILE)))
}

/// Whether a picture may have this size.
pub fn is_size(width: u32, height: u32) -> bool {
    let min = u32::from(SIZE_MIN);
    (min..=u32::from(WIDTH_MAX)).contains(&width) && (min..=u32::from(HEIGHT_MAX)).contains(&height)
}

/// Hash of a tile: its RGBA bytes row by row.
pub fn tile_hash(rgba: &[u8]) -> u64 {
    xxh64(rgba, 0)
}

/// Hash over the hashes of all tiles, in order: what `exact` says of the whole picture.
pub fn root_hash(tiles: impl IntoIterator<Item = u64>) -> u64 {
    let mut hasher = Xxh64::new(0);
    for hash in tiles {
        hasher.update(&hash.to_le_bytes());
    }
    hasher.digest()
}

/// How a root is written in JSON.
pub fn root_text(root: u64) -> String {
    format!("{root:016x}")
}

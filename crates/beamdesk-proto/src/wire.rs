//! Binary framing: message headers, the parts of `TILES`, acknowledgements. See docs/protocol.md.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

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

pub mod kind {
    pub const AGENT: u8 = 0x01;
    pub const TILES: u8 = 0x02;
    pub const CURSOR: u8 = 0x03;
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
}

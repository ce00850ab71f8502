//! What programs of a desktop say to its agent on a local socket, and hear: a JSON header each, and
//! values behind it. See docs/imaging.md.
//!
//! ```text
//! message := header_len u32 | data_len u32 | header[header_len] | data[data_len]     little-endian
//! ```
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use serde::{Deserialize, Serialize};

use crate::ProtocolError;

/// Version of what is spoken on this socket.
pub const VERSION: u16 = 1;
/// Lengths of header and data, before each message.
pub const LENGTHS_BYTES: usize = 8;
/// A header is a few numbers.
pub const HEADER_BYTES_MAX: usize = 4 << 10;
/// A picture of 8192×8192 values of 16 bits.
pub const DATA_BYTES_MAX: usize = 128 << 20;

/// A program → agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// The first, and only once.
    Hello {
        version: u16,
    },
    /// Shows a picture, in place of the one before; its values follow as u16 little-endian, row by
    /// row.
    Slice {
        rect: ScreenRect,
        columns: u16,
        rows: u16,
        /// Left out: from the smallest to the largest value.
        #[serde(default)]
        window: Option<f64>,
        #[serde(default)]
        level: Option<f64>,
        /// What to add to a stored value to have the one that is meant.
        #[serde(default)]
        offset: i32,
    },
    /// The picture on show is elsewhere, or has another contrast; what is left out stays.
    Move {
        #[serde(default)]
        rect: Option<ScreenRect>,
        #[serde(default)]
        window: Option<f64>,
        #[serde(default)]
        level: Option<f64>,
    },
    Hide,
    /// This part of the screen matters most; replaces the mark before.
    Mark {
        rect: ScreenRect,
    },
    Unmark,
    /// Asks who sees the picture.
    State,
    /// Of a newer version; refused.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// A rectangle of the screen; may reach out of it, as windows may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreenRect {
    pub x: i16,
    pub y: i16,
    pub width: u16,
    pub height: u16,
}

/// Agent → program: one answer for each request, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Answer {
    /// With the size of the screen.
    Hello {
        version: u16,
        width: u16,
        height: u16,
    },
    Done,
    /// Viewers connected, and those that hold exactly the values last shown.
    State {
        viewers: usize,
        exact: usize,
    },
    Refused {
        code: Refusal,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Not JSON, a field is missing or out of its type's bounds, or an unknown type.
    Malformed,
    /// Another version, or the greeting is missing or came twice.
    Version,
    /// A size, a rectangle or a contrast is out of bounds, or the data have another length.
    Bounds,
    /// The pictures on show leave no memory for this one.
    NoRoom,
    /// There is no picture to move.
    NoSlice,
    /// Too many programs are connected.
    TooMany,
}

/// Lengths of a message's header and data, in bounds.
pub fn lengths(bytes: [u8; LENGTHS_BYTES]) -> Result<(usize, usize), ProtocolError> {
    let [a, b, c, d, e, f, g, h] = bytes;
    let length = |bytes, max| {
        let len = usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
        if len <= max { Ok(len) } else { Err(ProtocolError::TooLong { len, max }) }
    };
    Ok((length([a, b, c, d], HEADER_BYTES_MAX)?, length([e, f, g, h], DATA_BYTES_MAX)?))
}

/// Reads the header of a program's message.
pub fn request(header: &[u8]) -> Result<Request, Refusal> {
    match serde_json::from_slice(header) {
        Ok(Request::Unknown) | Err(_) => Err(Refusal::Malformed),
        Ok(request) => Ok(request),
    }
}

/// An answer as bytes.
///
/// # Panics
/// Never: an answer is a few words.
pub fn answer(answer: &Answer) -> Vec<u8> {
    message(answer)
}

/// A request without data as bytes, for programs in Rust.
///
/// # Panics
/// Never: a request is a few words.
pub fn ask(request: &Request, data: u32) -> Vec<u8> {
    let mut bytes = message(request);
    if let Some(length) = bytes.get_mut(4..LENGTHS_BYTES) {
        length.copy_from_slice(&data.to_le_bytes());
    }
    bytes
}

fn message<T: Serialize>(header: &T) -> Vec<u8> {
    let text = serde_json::to_vec(header).expect("headers have string keys only");
    let length = u32::try_from(text.len()).expect("a few words");
    [length.to_le_bytes().as_slice(), &[0; 4], &text].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_bounded_before_anything_is_read() {
        let of = |header: u32, data: u32| {
            let mut bytes = [0; LENGTHS_BYTES];
            bytes[..4].copy_from_slice(&header.to_le_bytes());
            bytes[4..].copy_from_slice(&data.to_le_bytes());
            lengths(bytes)
        };
        assert_eq!(of(4096, 128 << 20).unwrap(), (4096, 128 << 20));
        of(4097, 0).unwrap_err();
        of(0, (128 << 20) + 1).unwrap_err();
        of(u32::MAX, u32::MAX).unwrap_err();
    }

    #[test]
    fn a_request_reads_back_and_nonsense_is_refused() {
        let rect = ScreenRect { x: -3, y: 4, width: 5, height: 6 };
        for one in [
            Request::Hello { version: VERSION },
            Request::Slice {
                rect,
                columns: 2,
                rows: 3,
                window: None,
                level: Some(0.5),
                offset: -7,
            },
            Request::Move { rect: None, window: Some(2.0), level: None },
            Request::Mark { rect },
            Request::State,
        ] {
            let bytes = ask(&one, 12);
            let (head, text) = bytes.split_first_chunk().unwrap();
            assert_eq!(lengths(*head).unwrap(), (text.len(), 12));
            assert_eq!(request(text), Ok(one));
        }
        for text in [
            "",
            "[]",
            "{}",
            r#"{"type":"of_tomorrow"}"#,
            r#"{"type":"mark"}"#,
            r#"{"type":"mark","rect":{"x":0,"y":0,"width":-1,"height":1}}"#,
            r#"{"type":"mark","rect":{"x":40000,"y":0,"width":1,"height":1}}"#,
            r#"{"type":"move","window":"wide"}"#,
        ] {
            assert_eq!(request(text.as_bytes()), Err(Refusal::Malformed), "{text}");
        }
    }
}

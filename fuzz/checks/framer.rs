//! A stream of bytes, cut anywhere, gives whole messages within the bound or an error.

use beamdesk_proto::wire::{self, Framer, HELLO_BYTES_MAX};

pub(crate) fn check(bytes: &[u8]) {
    let (cut, bytes) = bytes.split_first().unwrap_or((&0, &[]));
    let mut framer = Framer::new(HELLO_BYTES_MAX);
    for piece in bytes.chunks(usize::from(*cut).max(1)) {
        framer.feed(piece);
        while let Ok(Some(message)) = framer.next_message() {
            assert!(message.header.message_len() <= HELLO_BYTES_MAX);
            let again = wire::message(message.header.kind, message.header.flags, &message.payload);
            wire::Message::decode(again, HELLO_BYTES_MAX).expect("a message reads back");
        }
    }
}

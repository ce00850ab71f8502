//! Replays the corpora of the fuzz targets in `fuzz/`, so that what was once found stays found.

use std::{fs, path::Path, time::Instant};

use beamdesk_proto::{
    AgentSession,
    wire::{self, Ack, Framer, HELLO_BYTES_MAX, Header, UP_BYTES_MAX},
};

#[test]
fn framer() {
    each("framer", |bytes| {
        let (cut, bytes) = bytes.split_first().unwrap_or((&0, &[]));
        let mut framer = Framer::new(HELLO_BYTES_MAX);
        for piece in bytes.chunks(usize::from(*cut).max(1)) {
            framer.feed(piece);
            while let Ok(Some(message)) = framer.next_message() {
                assert!(message.header.message_len() <= HELLO_BYTES_MAX);
                let again =
                    wire::message(message.header.kind, message.header.flags, &message.payload);
                wire::Message::decode(again, HELLO_BYTES_MAX).unwrap();
            }
        }
    });
}

#[test]
fn ack() {
    each("ack", |bytes| {
        if let Ok(ack) = Ack::decode(bytes) {
            assert_eq!(ack.encode(), bytes);
        }
    });
}

#[test]
fn session() {
    each("session", |bytes| {
        let mut session = AgentSession::new(16, now());
        let mut framer = Framer::new(UP_BYTES_MAX);
        framer.feed(bytes);
        while let Ok(Some(message)) = framer.next_message() {
            if session.received(message.header, &message.payload, now()).is_err() {
                break;
            }
        }
        assert_eq!(session.exact(false), None, "nothing was sent");
    });
}

#[test]
fn tiles_prefix() {
    each("tiles_prefix", |bytes| {
        if let Ok((prefix, body)) = wire::TilesPrefix::split(bytes) {
            assert_eq!([prefix.encode().as_slice(), body].concat(), bytes);
        }
        if let Some(head) = bytes.first_chunk()
            && let Ok(header) = Header::decode(*head, UP_BYTES_MAX)
        {
            assert_eq!(&header.encode(), head);
        }
    });
}

fn each(target: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        check(&fs::read(entry.unwrap().path()).unwrap());
        seen += 1;
    }
    assert!(seen > 0, "there is a corpus for {target}");
}

#[expect(clippy::disallowed_methods, reason = "some instant to count from")]
fn now() -> Instant {
    Instant::now()
}

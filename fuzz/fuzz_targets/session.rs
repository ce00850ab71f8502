//! Whatever a viewer says, the session goes on or ends, and nothing unsent becomes exact.
#![no_main]

use std::time::Instant;

use beamdesk_proto::{
    AgentSession,
    wire::{Framer, UP_BYTES_MAX},
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let now = Instant::now();
    let mut session = AgentSession::new(16, now);
    let mut framer = Framer::new(UP_BYTES_MAX);
    framer.feed(bytes);
    while let Ok(Some(message)) = framer.next_message() {
        if session.received(message.header, &message.payload, now).is_err() {
            break;
        }
    }
    assert_eq!(session.exact(false), None);
});

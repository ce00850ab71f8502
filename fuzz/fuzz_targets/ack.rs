//! An acknowledgement that can be read is written the same.
#![no_main]

use beamdesk_proto::wire::Ack;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(ack) = Ack::decode(bytes) {
        assert_eq!(ack.encode(), bytes);
    }
});

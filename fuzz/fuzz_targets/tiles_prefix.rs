//! Headers and prefixes that can be read are written the same.
#![no_main]

use beamdesk_proto::wire::{Header, TilesPrefix, UP_BYTES_MAX};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok((prefix, body)) = TilesPrefix::split(bytes) {
        assert_eq!([prefix.encode().as_slice(), body].concat(), bytes);
    }
    if let Some(head) = bytes.first_chunk()
        && let Ok(header) = Header::decode(*head, UP_BYTES_MAX)
    {
        assert_eq!(&header.encode(), head);
    }
});

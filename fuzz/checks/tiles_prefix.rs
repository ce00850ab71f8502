//! Headers and prefixes that can be read are written the same.

use beamdesk_proto::wire::{Header, TilesPrefix, UP_BYTES_MAX};

pub(crate) fn check(bytes: &[u8]) {
    if let Ok((prefix, body)) = TilesPrefix::split(bytes) {
        assert_eq!([prefix.encode().as_slice(), body].concat(), bytes);
    }
    if let Some(head) = bytes.first_chunk()
        && let Ok(header) = Header::decode(*head, UP_BYTES_MAX)
    {
        assert_eq!(&header.encode(), head);
    }
}

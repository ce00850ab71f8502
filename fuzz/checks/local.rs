//! What programs of a desktop say on the local socket.

use beamdesk_proto::local::{self, DATA_BYTES_MAX, HEADER_BYTES_MAX, LENGTHS_BYTES};

pub(crate) fn check(bytes: &[u8]) {
    if let Some(lengths) = bytes.first_chunk::<LENGTHS_BYTES>()
        && let Ok((header, data)) = local::lengths(*lengths)
    {
        assert!(header <= HEADER_BYTES_MAX && data <= DATA_BYTES_MAX);
    }
    let Ok(request) = local::request(bytes) else { return };
    let written = local::ask(&request, 0);
    let read = local::request(&written[LENGTHS_BYTES..]).expect("what was written is read");
    // Not all digits of a number survive JSON.
    assert_eq!(std::mem::discriminant(&read), std::mem::discriminant(&request));
}

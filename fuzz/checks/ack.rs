//! An acknowledgement that can be read is written the same.

use beamdesk_proto::wire::Ack;

pub(crate) fn check(bytes: &[u8]) {
    if let Ok(ack) = Ack::decode(bytes) {
        assert_eq!(ack.encode(), bytes);
    }
}

//! Any payloads of `SLICE`: taken in or refused, within memory.

use beamdesk_media::{SLICE_PLACES, SliceDecoder};

pub(crate) fn check(bytes: &[u8]) {
    let mut decoder = SliceDecoder::new();
    let mut rest = bytes;
    while let [flags, low, high, behind @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(behind.len());
        let (payload, behind) = behind.split_at(length);
        rest = behind;
        if decoder.receive(flags & 7, payload).is_err() {
            return;
        }
    }
    for place in 0..=u8::try_from(SLICE_PLACES).unwrap_or(u8::MAX) {
        if let Some((at, size, values)) = decoder.shown(place) {
            assert!(at.is_valid());
            assert_eq!(values.len() * 2, size.bytes());
        }
    }
}

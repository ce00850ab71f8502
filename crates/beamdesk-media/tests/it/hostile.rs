//! The reference decoder against bytes that nobody sane would send.

use beamdesk_media::{DecodeError, Decoder, PictureSize};
use beamdesk_proto::wire::flag;
use proptest::prelude::*;

fn decoder() -> Decoder {
    Decoder::new(PictureSize::new(100, 70).unwrap(), 4)
}

fn message(ops: &[u8], pixels: &[u8]) -> Vec<u8> {
    let mut payload = vec![0; 12];
    payload.extend_from_slice(&u32::try_from(ops.len()).unwrap().to_le_bytes());
    payload.extend_from_slice(ops);
    payload.extend_from_slice(pixels);
    payload
}

#[test]
fn each_kind_of_wrong_message_has_its_name() {
    for (ops, pixels, expected) in [
        (&[9][..], &[][..], DecodeError::Operation),
        (&[0, 0, 0, 0, 0, 0, 0, 1, 2], &[], DecodeError::Short),
        (&[0, 4, 0, 0, 0, 0, 0, 1, 2, 3], &[], DecodeError::Bounds),
        (&[0, 1, 0, 0, 0, 36, 0, 1, 2, 3], &[], DecodeError::Bounds),
        (&[0, 2, 0, 0, 0, 0, 6, 1, 2, 3], &[], DecodeError::Bounds),
        (&[0, 0, 0, 200, 0, 100, 0, 1, 2, 3], &[], DecodeError::Bounds),
        (&[0, 0, 0, 0, 0, 255, 0, 1, 2, 3], &[], DecodeError::Bounds),
        (&[1, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3], &[0], DecodeError::Palette),
        (&[1, 0, 0, 0, 0, 0, 0, 17], &[0], DecodeError::Palette),
        (&[1, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3], &[0xff], DecodeError::Palette),
        (&[2, 0, 0, 0, 0, 0, 0, 2], &[0], DecodeError::Predictor),
        (&[2, 0, 0, 0, 0, 1, 0, 0], &[0], DecodeError::Short),
        (&[2, 0, 0, 0, 0, 1, 0, 0], &[0, 0, 0], DecodeError::Long),
        (&[4, 0, 0, 0, 0, 1, 0, 0, 0, 100, 0, 1, 0], &[], DecodeError::Bounds),
        (&[4, 255, 255, 0, 0, 0, 0, 0, 0, 255, 255, 1, 0], &[], DecodeError::Bounds),
        (&[5, 0, 0, 4, 0], &[], DecodeError::Slot),
        (&[6, 0, 0, 3, 0], &[], DecodeError::Slot),
        (&[5, 0, 0, 0, 0, 6, 1, 0, 0, 0], &[], DecodeError::Slot),
    ] {
        assert_eq!(decoder().tiles(0, &message(ops, pixels)), Err(expected), "{ops:?}");
    }
    assert_eq!(decoder().tiles(0, &[0; 11]), Err(DecodeError::Short));
    assert_eq!(decoder().tiles(flag::ZSTD, &[0; 40]), Err(DecodeError::Packing));
}

#[test]
fn a_body_that_unpacks_to_too_much_is_refused() {
    let mut payload = vec![0; 12];
    payload.extend(zstd::bulk::compress(&vec![0; 5 << 20], 1).unwrap());
    assert_eq!(decoder().tiles(flag::ZSTD, &payload), Err(DecodeError::Packing));
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(
        flags in any::<u8>(),
        ops in prop::collection::vec(prop_oneof![0..8_u8, any::<u8>()], 0..200),
        pixels in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut decoder = decoder();
        let _ = decoder.tiles(flags, &message(&ops, &pixels));
        let _ = decoder.tiles(flags & !flag::ZSTD, &message(&ops, &pixels));
        prop_assert_eq!(decoder.pixels().len(), 100 * 70 * 4);
    }
}

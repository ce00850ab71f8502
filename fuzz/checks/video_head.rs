//! A video head that can be read is written the same, and lies within the largest picture.

use beamdesk_proto::wire::{HEIGHT_MAX, VideoHead, WIDTH_MAX, tiles_of};

pub(crate) fn check(bytes: &[u8]) {
    let Ok((head, bitstream)) = VideoHead::split(bytes) else { return };
    assert!(u32::from(head.x) + u32::from(head.width) <= u32::from(WIDTH_MAX));
    assert!(u32::from(head.y) + u32::from(head.height) <= u32::from(HEIGHT_MAX));
    let bits: u32 = head.mask.iter().map(|byte| byte.count_ones()).sum();
    let tiles = u32::try_from(tiles_of(head.width, head.height)).expect("few tiles");
    assert!(bits <= tiles, "no bit is for no tile");
    assert_eq!([head.encode().as_slice(), bitstream].concat(), bytes);
}

//! Any payloads of `TILES`: drawn or refused, within the picture and within memory.

use beamdesk_media::{Decoder, PictureSize};
use beamdesk_proto::wire::{TilesPrefix, flag};

pub(crate) fn check(bytes: &[u8]) {
    // Four tiles, the right ones 6 wide, the lower ones 2 high.
    let size = PictureSize::new(70, 66).expect("a small picture");
    let mut decoder = Decoder::new(size, 4);
    let (first, mut rest) = bytes.split_first().unwrap_or((&0, &[]));
    // Several messages one after the other, in one of two ways to cut them.
    while let [low, high, behind @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(behind.len());
        let (body, behind) = behind.split_at(length);
        rest = behind;
        let payload = [TilesPrefix { frame: 1, captured_us: 2 }.encode().as_slice(), body].concat();
        let flags = flag::LAST | if first % 2 == 0 { 0 } else { flag::ZSTD };
        match decoder.tiles(flags, &payload) {
            Ok(Some(shown)) => {
                for (tile, hash) in shown.tiles {
                    assert_eq!(decoder.tile_hash(tile), hash);
                }
            }
            Ok(None) => panic!("a last message ends its frame"),
            Err(_) => return,
        }
    }
    assert_eq!(decoder.pixels().len(), 70 * 66 * 4);
    assert!(decoder.pixels().chunks(4).all(|pixel| pixel[3] == 255));
}

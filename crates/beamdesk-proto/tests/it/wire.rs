//! Framing: whatever comes, in whatever pieces.

use beamdesk_proto::wire::{self, Ack, Framer, HEADER_BYTES, Header, Message, VideoHead};
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_stream_cut_anywhere_gives_the_same_messages(
        messages in prop::collection::vec((any::<u8>(), 0u8..8, prop::collection::vec(any::<u8>(), 0..300)), 0..8),
        cuts in prop::collection::vec(1usize..50, 1..20),
    ) {
        let stream: Vec<u8> =
            messages.iter().flat_map(|(k, f, p)| wire::message(*k, *f, p).to_vec()).collect();
        let mut framer = Framer::new(400);
        let mut got = Vec::new();
        let mut rest = stream.as_slice();
        for cut in cuts.iter().copied().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            rest = behind;
            framer.feed(piece);
            while let Some(Message { header, payload }) = framer.next_message().unwrap() {
                got.push((header.kind, header.flags, payload.to_vec()));
            }
        }
        prop_assert_eq!(got, messages);
        prop_assert!(!framer.is_mid_message());
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), max in 8usize..64) {
        let mut framer = Framer::new(max);
        framer.feed(&bytes);
        while let Ok(Some(message)) = framer.next_message() {
            prop_assert!(message.payload.len() + HEADER_BYTES <= max);
        }
    }

    #[test]
    fn an_acknowledgement_comes_back_as_it_went(
        frame: u32, decode_us: u32, shown_us: u32,
        tiles in prop::collection::vec((any::<u16>(), any::<u64>()), 0..100),
    ) {
        let ack = Ack { frame, decode_us, shown_us, tiles };
        let bytes = ack.encode();
        prop_assert_eq!(Ack::decode(&bytes).unwrap(), ack);
        prop_assert!(Ack::decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn a_video_head_comes_back_as_it_went(
        head in video_head(), bitstream in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let payload = [head.encode().as_slice(), &bitstream].concat();
        prop_assert_eq!(VideoHead::split(&payload).unwrap(), (head.clone(), bitstream.as_slice()));
        let bare = head.encode();
        for end in 0..bare.len() {
            prop_assert!(VideoHead::split(&bare[..end]).is_err(), "cut at {}", end);
        }
    }

    #[test]
    fn any_video_head_is_refused_or_written_the_same(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Ok((head, bitstream)) = VideoHead::split(&bytes) {
            prop_assert_eq!([head.encode().as_slice(), bitstream].concat(), bytes);
        }
    }

    #[test]
    fn a_video_head_with_one_byte_changed_is_refused_or_written_the_same(
        head in video_head(), at in any::<prop::sample::Index>(), change in 1u8..,
    ) {
        let mut bytes = head.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        if let Ok((head, bitstream)) = VideoHead::split(&bytes) {
            prop_assert_eq!([head.encode().as_slice(), bitstream].concat(), bytes);
            let (x, y) = (u32::from(head.x), u32::from(head.y));
            prop_assert!(x + u32::from(head.width) <= u32::from(wire::WIDTH_MAX));
            prop_assert!(y + u32::from(head.height) <= u32::from(wire::HEIGHT_MAX));
        }
    }

    #[test]
    fn a_header_comes_back_as_it_went(kind: u8, flags in 0u8..8, len in 0u32..1000) {
        let header = Header { kind, flags, len };
        prop_assert_eq!(Header::decode(header.encode(), 2000).unwrap(), header);
    }
}

fn video_head() -> impl Strategy<Value = VideoHead> {
    let place = (0u16..120, 0u16..=67).prop_flat_map(|(column, row)| {
        let (x, y) = (column * wire::TILE, row * wire::TILE);
        (Just(x), Just(y), 1..=wire::WIDTH_MAX - x, 1..=wire::HEIGHT_MAX - y)
    });
    let rest = any::<(u32, u64, u8, bool, bool, u8)>();
    (place, rest).prop_map(|((x, y, width, height), rest)| {
        let (frame, captured_us, codec, is_key, goes_on, fill) = rest;
        let tiles = wire::tiles_of(width, height);
        let mut mask = vec![fill; tiles.div_ceil(8)];
        if let Some(last) = mask.last_mut()
            && !tiles.is_multiple_of(8)
        {
            *last &= (1 << (tiles % 8)) - 1;
        }
        VideoHead { frame, captured_us, codec, is_key, goes_on, x, y, width, height, mask }
    })
}

#[test]
fn a_claimed_length_allocates_nothing() {
    let mut framer = Framer::new(1 << 20);
    framer.feed(&[0x12, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f]);
    assert!(framer.next_message().is_err());
    assert!(Ack::decode(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]).is_err());
}

#[test]
fn sizes_have_bounds() {
    assert!(wire::is_size(64, 64) && wire::is_size(7680, 4320));
    for (width, height) in [(0, 0), (63, 64), (64, 63), (7681, 4320), (100_000, 100_000)] {
        assert!(!wire::is_size(width, height), "{width} x {height}");
    }
    assert_eq!(wire::tiles_of(1920, 1080), 30 * 17);
    assert_eq!(wire::tiles_of(65, 64), 2);
}

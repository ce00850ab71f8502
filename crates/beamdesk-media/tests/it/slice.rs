//! 16-bit pictures come back value for value, and nothing that is sent can harm who reads it.

use std::fmt::Write as _;

use beamdesk_media::{
    SLICE_PLACES, SliceDecoder, SliceError, SliceImage, SliceMessages, SlicePlace, SliceRect,
    SliceSize,
};
use beamdesk_proto::wire::{HEADER_BYTES, Message, flag, kind};
use proptest::prelude::*;

const AT: SlicePlace = SlicePlace {
    rect: SliceRect { x: -3, y: 40, width: 200, height: 100 },
    window: 400.0,
    level: 40.0,
    offset: -1024,
};

fn size(columns: u16, rows: u16) -> SliceSize {
    SliceSize::new(columns, rows).unwrap()
}

fn bytes_of(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A seeded stream of numbers, the same in every run.
fn noise(seed: u32) -> impl FnMut() -> u32 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    }
}

/// Discs on a slope with noise of about a hundred counts, as detectors give them.
fn tomogram(columns: u16, rows: u16) -> Vec<u16> {
    let mut next = noise(7);
    let mut values = Vec::new();
    for y in 0..u32::from(rows) {
        for x in 0..u32::from(columns) {
            let (dx, dy) = ((x % 97).abs_diff(48), (y % 97).abs_diff(48));
            let grain = if dx * dx + dy * dy < 1300 { 21_000 } else { 9_000 };
            let grains = (0..4).map(|_| next() % 100).sum::<u32>();
            values.push(u16::try_from(grain + x + 2 * y + grains).unwrap());
        }
    }
    values
}

fn encoded(columns: u16, rows: u16, values: &[u16]) -> SliceImage {
    SliceImage::encode(size(columns, rows), &bytes_of(values)).unwrap()
}

/// All messages of a picture, in frames of `bands` bands each.
fn messages(image: &SliceImage, place: u8, picture: u32, bands: usize) -> Vec<Message> {
    let mut out = Vec::new();
    let mut frame = 1;
    let mut making = SliceMessages::new(frame);
    making.show(place, picture, image, &AT);
    for band in 0..image.bands() {
        making.rows(place, picture, image, band);
        if (band + 1) % bands == 0 {
            frame += 1;
            std::mem::replace(&mut making, SliceMessages::new(frame)).finish(&mut out);
        }
    }
    making.finish(&mut out);
    out.into_iter().map(|bytes| Message::decode(bytes, 33 << 10).unwrap()).collect()
}

fn show(decoder: &mut SliceDecoder, messages: &[Message]) -> Option<(u8, u32, u64)> {
    let mut whole = None;
    for message in messages {
        assert_eq!(message.header.kind, kind::SLICE);
        let seen = decoder.receive(message.header.flags, &message.payload).unwrap();
        assert_eq!(seen.is_last, message.header.flags & flag::LAST != 0);
        whole = whole.or(seen.whole);
    }
    whole
}

#[test]
fn every_value_comes_back() {
    let mut any = noise(1);
    for (what, columns, rows, values) in [
        ("one value", 1, 1, vec![0xabcd]),
        ("one row", 300, 1, (0..300).map(|x| x * 211).collect()),
        ("one column", 1, 300, (0..300).map(|y| 65_535 - y * 211).collect()),
        ("all values", 256, 256, (0..=u16::MAX).collect()),
        ("black", 2000, 1500, vec![0; 3_000_000]),
        ("white", 2000, 1500, vec![u16::MAX; 3_000_000]),
        ("extremes", 64, 64, (0..4096).map(|at| if at % 3 == 0 { 65_535 } else { 0 }).collect()),
        (
            "any noise",
            700,
            333,
            (0..700 * 333).map(|_| u16::try_from(any() & 0xffff).unwrap()).collect(),
        ),
        ("a tomogram", 1024, 1000, tomogram(1024, 1000)),
        ("the longest rows", 8192, 20, tomogram(8192, 20)),
    ] {
        let image = encoded(columns, rows, &values);
        let mut decoder = SliceDecoder::new();
        let whole = show(&mut decoder, &messages(&image, 2, 77, 3));
        assert_eq!(whole, Some((2, 77, image.hash())), "{what}");
        let (at, shown, held) = decoder.shown(2).unwrap();
        assert!(held == values, "{what}: all values");
        assert_eq!((at, shown), (AT, size(columns, rows)));
        assert!(decoder.is_exact(2));
        let range = (*values.iter().min().unwrap(), *values.iter().max().unwrap());
        assert_eq!(image.range(), range, "{what}");
    }
}

#[test]
fn every_message_is_short_and_pictures_pack() {
    let any: Vec<u16> = {
        let mut next = noise(3);
        (0..8192 * 64).map(|_| u16::try_from(next() & 0xffff).unwrap()).collect()
    };
    for message in messages(&encoded(8192, 64, &any), 0, 1, 1000) {
        assert!(message.payload.len() <= 32 << 10);
    }
    let image = encoded(1024, 1024, &tomogram(1024, 1024));
    let bytes = image.packed_bytes();
    println!("a tomogram of 2 MiB takes {bytes} bytes in {} bands", image.bands());
    // Its noise alone has about 8.2 bits a value.
    assert!(bytes < 1024 * 1024 * 6 / 5, "{bytes}");
    let black = encoded(4096, 4096, &vec![5; 4096 * 4096]);
    assert!(black.packed_bytes() < 40_000, "{}", black.packed_bytes());
}

#[test]
fn what_is_on_show_stays_until_the_next_is_whole() {
    let (old, new) = (tomogram(64, 64), vec![9; 64 * 64]);
    let mut decoder = SliceDecoder::new();
    show(&mut decoder, &messages(&encoded(64, 64, &old), 0, 1, 9));
    let next = messages(&encoded(64, 64, &new), 0, 2, 9);
    let (last, first) = next.split_last().unwrap();
    show(&mut decoder, first);
    assert!(decoder.shown(0).unwrap().2 == old);
    show(&mut decoder, std::slice::from_ref(last));
    assert!(decoder.shown(0).unwrap().2 == new);
    let mut out = Vec::new();
    let mut hide = SliceMessages::new(9);
    hide.hide(0);
    hide.finish(&mut out);
    let hide = Message::decode(out.remove(0), 100).unwrap();
    show(&mut decoder, &[hide]);
    assert!(decoder.shown(0).is_none());
}

#[test]
fn a_picture_moves_without_being_sent_again() {
    let image = encoded(64, 64, &tomogram(64, 64));
    let mut decoder = SliceDecoder::new();
    show(&mut decoder, &messages(&image, 0, 1, 9));
    let moved = SlicePlace { rect: SliceRect { x: 500, ..AT.rect }, window: 7.5, ..AT };
    let mut out = Vec::new();
    let mut making = SliceMessages::new(3);
    making.show(0, 1, &image, &moved);
    assert_eq!(making.bytes(), HEADER_BYTES + 8 + 44);
    making.finish(&mut out);
    show(&mut decoder, &[Message::decode(out.remove(0), 100).unwrap()]);
    assert_eq!(decoder.shown(0).unwrap().0, moved);
    assert!(decoder.is_exact(0));
}

#[test]
fn a_wrong_number_of_values_is_no_picture() {
    assert!(SliceImage::encode(size(4, 4), &[0; 31]).is_none());
    assert!(SliceImage::encode(size(4, 4), &[0; 33]).is_none());
    for (columns, rows) in [(0, 1), (1, 0), (8193, 1), (1, 8193), (u16::MAX, u16::MAX)] {
        assert!(SliceSize::new(columns, rows).is_none());
    }
}

#[test]
fn each_kind_of_wrong_message_has_its_name() {
    let image = encoded(64, 64, &tomogram(64, 64));
    let good = messages(&image, 0, 1, 9);
    let (shown, rows) = (&good[0].payload, &good[1].payload);
    let with = |from: &[u8], at: usize, bytes: &[u8]| {
        let mut changed = from.to_vec();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        changed
    };
    let packed = good[1].header.flags;
    for (what, begun, flags, payload, expected) in [
        ("nothing", false, 0, vec![], SliceError::Short),
        ("a version", false, 0, with(shown, 4, &[2]), SliceError::Version),
        ("an operation", false, 0, with(shown, 5, &[3]), SliceError::Operation),
        ("a place", false, 0, with(shown, 6, &[8]), SliceError::Place),
        ("the last byte of the prefix", false, 0, with(shown, 7, &[1]), SliceError::Version),
        ("no columns", false, 0, with(shown, 20, &[0, 0]), SliceError::Bounds),
        ("too many rows", false, 0, with(shown, 22, &[1, 32]), SliceError::Bounds),
        ("an empty rectangle", false, 0, with(shown, 16, &[0, 0]), SliceError::Bounds),
        (
            "a window that is no number",
            false,
            0,
            with(shown, 24, &f64::NAN.to_le_bytes()),
            SliceError::Bounds,
        ),
        ("a window of 0", false, 0, with(shown, 24, &0_f64.to_le_bytes()), SliceError::Bounds),
        (
            "an endless level",
            false,
            0,
            with(shown, 32, &f64::INFINITY.to_le_bytes()),
            SliceError::Bounds,
        ),
        ("a cut show", false, 0, shown[..51].to_vec(), SliceError::Short),
        ("a long show", false, 0, [shown.as_ref(), &[0]].concat(), SliceError::Long),
        ("a known one of another size", true, 0, with(shown, 20, &[63]), SliceError::Bounds),
        ("rows of nothing", false, packed, rows.to_vec(), SliceError::Rows),
        ("rows of another", true, packed, with(rows, 8, &[2]), SliceError::Rows),
        ("rows out of turn", true, packed, with(rows, 12, &[1]), SliceError::Rows),
        ("no rows", true, packed, with(rows, 14, &[0, 0]), SliceError::Rows),
        ("rows beyond the end", true, packed, with(rows, 14, &[65]), SliceError::Rows),
        ("fewer rows than packed", true, packed, with(rows, 14, &[1]), SliceError::Packing),
        ("a predictor", true, packed, with(rows, 16, &[2]), SliceError::Predictor),
        ("cut rows", true, packed, rows[..rows.len() - 1].to_vec(), SliceError::Packing),
        ("not packed", true, 0, rows.to_vec(), SliceError::Short),
        ("garbage", true, flag::ZSTD, with(rows, 17, &[9; 8]), SliceError::Packing),
        ("a long hide", false, 0, with(&shown[..9], 5, &[2]), SliceError::Long),
    ] {
        let mut decoder = SliceDecoder::new();
        if begun {
            decoder.receive(0, shown).unwrap();
        }
        assert_eq!(decoder.receive(flags, &payload), Err(expected), "{what}");
    }
}

#[test]
fn pictures_that_are_too_large_together_are_refused() {
    let image = encoded(64, 64, &tomogram(64, 64));
    let good = messages(&image, 0, 1, 9);
    let mut decoder = SliceDecoder::new();
    for place in 0..u8::try_from(SLICE_PLACES).unwrap() {
        let mut large = good[0].payload.to_vec();
        large[6] = place;
        large[20..24].copy_from_slice(&[0, 32, 0, 32]);
        let expected = if place < 3 { None } else { Some(SliceError::Memory) };
        assert_eq!(decoder.receive(0, &large).err(), expected, "place {place}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(
        sent in prop::collection::vec(
            (any::<u8>(), 0..4_u8, 0..3_u8, prop::collection::vec(any::<u8>(), 0..120)),
            0..20,
        ),
    ) {
        let mut decoder = SliceDecoder::new();
        let image = encoded(16, 16, &tomogram(16, 16));
        let good = messages(&image, 0, 1, 1);
        decoder.receive(0, &good[0].payload).unwrap();
        for (flags, op, place, body) in sent {
            let mut payload = vec![0, 0, 0, 0, 1, op, place, 0];
            payload.extend_from_slice(&body);
            let _ = decoder.receive(flags, &payload);
            let _ = decoder.receive(flags & !flag::ZSTD, &payload);
        }
    }

    #[test]
    fn a_changed_byte_never_passes_for_the_picture(at in 17_usize..2000, change in 1..=255_u8) {
        let values = tomogram(64, 64);
        let image = encoded(64, 64, &values);
        let good = messages(&image, 0, 1, 9);
        let mut spoilt = good[1].payload.to_vec();
        let at = at % (spoilt.len() - 17) + 17;
        spoilt[at] ^= change;
        let mut decoder = SliceDecoder::new();
        decoder.receive(0, &good[0].payload).unwrap();
        if let Ok(seen) = decoder.receive(good[1].header.flags, &spoilt)
            && let Some((_, _, hash)) = seen.whole
        {
            let same = decoder.shown(0).is_some_and(|(_, _, held)| held == values);
            prop_assert_eq!(same, hash == image.hash());
            prop_assert_eq!(decoder.is_exact(0), same);
        }
    }
}

/// What the web client's tests read: written by `BEAMDESK_BLESS=1`, and compared in every other run.
#[test]
fn vectors_are_as_written() {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    };
    let mut any = noise(5);
    let mut cases = Vec::new();
    for (name, columns, rows, values) in [
        ("one value", 1, 1, vec![0xabcd]),
        ("a ramp", 256, 4, (0..1024).map(|at| at * 64).collect::<Vec<u16>>()),
        ("a tomogram", 96, 64, tomogram(96, 64)),
        ("noise", 33, 7, (0..231).map(|_| u16::try_from(any() & 0xffff).unwrap()).collect()),
        ("a mask", 120, 80, (0..9600).map(|at| at / 640 % 2 * 65_535).collect()),
    ] {
        let image = encoded(columns, rows, &values);
        let sent: Vec<_> = messages(&image, 1, 5, 2)
            .iter()
            .map(|message| {
                serde_json::json!({
                    "flags": message.header.flags,
                    "payload": hex(&message.payload),
                })
            })
            .collect();
        cases.push(serde_json::json!({
            "name": name,
            "columns": columns,
            "rows": rows,
            "values": hex(&bytes_of(&values)),
            "hash": format!("{:016x}", image.hash()),
            "messages": sent,
        }));
    }
    let text = serde_json::to_string_pretty(&cases).unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/slices.json");
    if std::env::var_os("BEAMDESK_BLESS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors")).unwrap();
        std::fs::write(path, &text).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == text, "bless the vectors after a change");
}

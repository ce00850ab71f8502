//! NVENC against a driver that only pretends: refusals, pictures, a card that is lost.
use std::ffi::CString;
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::video::trial::{noise, picture, planes};

const WISH: VideoWish = VideoWish { bytes: 2_000, is_key: false };

/// A driver with this card, made from `fake.c`, which holds all against the driver's header.
fn driver(card: &str) -> (TempDir, Result<Arc<Driver>, String>) {
    let folder = TempDir::new().unwrap();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/video/nvenc/fake.c");
    let library = folder.path().join("fake.so");
    let cc = Command::new("cc")
        .args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", &format!("-DCARD={card}"), "-o"])
        .arg(&library)
        .arg(source)
        .output()
        .unwrap();
    assert!(cc.status.success(), "{}", String::from_utf8_lossy(&cc.stderr));
    let library = CString::new(library.to_str().unwrap()).unwrap();
    let driver = Driver::load(&library, &library).map(Arc::new);
    (folder, driver)
}

fn open(card: &str, codec: VideoCodec) -> Result<Nvenc, VideoError> {
    let (_folder, driver) = driver(card);
    Nvenc::open_with(&driver.map_err(missing)?, codec, 641, 480)
}

fn why(result: Result<Nvenc, VideoError>) -> String {
    let error = result.expect_err("it is refused");
    assert!(matches!(error, VideoError::Missing { .. }), "{error}");
    error.to_string()
}

#[test]
fn a_machine_without_the_driver_says_so() {
    let no_cuda = Driver::load(c"libbeamdesk-none.so", driver::ENCODE).err().unwrap();
    assert!(no_cuda.contains("libbeamdesk-none.so"), "{no_cuda}");
    let (folder, _) = driver("GOOD");
    let cuda = CString::new(folder.path().join("fake.so").to_str().unwrap()).unwrap();
    let no_encode = Driver::load(&cuda, c"libbeamdesk-none.so").err().unwrap();
    assert!(no_encode.contains("libbeamdesk-none.so"), "{no_encode}");
    let no_function = Driver::load(c"libc.so.6", &cuda).err().unwrap();
    assert!(no_function.contains("lacks cu"), "{no_function}");
}

#[test]
fn the_probe_of_this_machine_gives_an_encoder_or_a_reason() {
    match Nvenc::open(VideoCodec::H264, 640, 480) {
        Ok(mut encoder) => {
            let planes = planes(&encoder, &noise(1));
            assert!(encoder.encode(&planes, WISH).unwrap().is_key);
        }
        Err(VideoError::Missing { name, why }) => {
            assert_eq!(name, NAME);
            assert!(!why.is_empty());
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn cards_that_do_not_encode_are_refused_with_the_reason() {
    let cases = [
        ("NO_CARD", VideoCodec::H264, "no card"),
        ("NO_ENCODER", VideoCodec::H264, "the card has no encoder"),
        ("TOO_OLD", VideoCodec::H264, "too old: 9.0"),
        ("WITHOUT_HEVC", VideoCodec::Hevc, "does not encode this format"),
        ("GOOD", VideoCodec::Av1, "not for Av1"),
    ];
    for (card, codec, reason) in cases {
        let said = why(open(card, codec));
        assert!(said.contains(reason), "{card}: {said}");
    }
}

#[test]
fn a_card_gets_settings_pictures_and_quantisers_as_its_header_says() {
    for (codec, is_hevc) in [(VideoCodec::H264, 0), (VideoCodec::Hevc, 1)] {
        let (_folder, driver) = driver("GOOD");
        let mut encoder = Nvenc::open_with(&driver.unwrap(), codec, 641, 480).unwrap();
        let mut quantisers = Vec::new();
        for frame in 0..12 {
            // White at the left, blue at the right; columns are doubled at the right edge.
            let shown = picture(641, 480, |x, y| match (x, y) {
                (640.., _) => [0, 0, 0],
                (_, 479) => [128; 3],
                _ => [255; 3],
            });
            let planes = planes(&encoder, &shown);
            let wish = VideoWish { is_key: frame == 7, ..WISH };
            let packet = encoder.encode(&planes, wish).unwrap();
            assert_eq!(packet.is_key, frame == 0 || frame == 7);
            let key = u8::from(packet.is_key);
            let told = [0, 0, 0, 1, is_hevc, key, packet.qp, 255, 0, 128, 0, 128, 128];
            assert_eq!(packet.bytes, told);
            quantisers.push(packet.qp);
        }
        // So few bytes call for better ones.
        assert!(quantisers.first() > quantisers.last(), "{quantisers:?}");
    }
}

#[test]
fn what_was_opened_is_closed() {
    let (folder, driver) = driver("GOOD");
    let driver = driver.unwrap();
    drop(Nvenc::open_with(&driver, VideoCodec::H264, 640, 480).unwrap());
    Nvenc::open_with(&driver, VideoCodec::Av1, 640, 480).unwrap_err();
    let library = CString::new(folder.path().join("fake.so").to_str().unwrap()).unwrap();
    assert_eq!(driver::call_for_tests(&library, c"left_over"), 0);
}

#[test]
fn a_card_that_is_lost_in_mid_stream_is_an_error() {
    let mut encoder = open("FAILS_LATER", VideoCodec::H264).unwrap();
    let planes = planes(&encoder, &picture(641, 480, |_, _| [9; 3]));
    for _ in 0..3 {
        encoder.encode(&planes, WISH).unwrap();
    }
    let error = encoder.encode(&planes, WISH).unwrap_err();
    assert!(matches!(error, VideoError::Failed { .. }));
    assert!(error.to_string().contains("fell off the bus"), "{error}");
}

#[test]
fn a_card_that_holds_frames_back_or_makes_no_key_frames_is_of_no_use() {
    for card in ["HOLDS_BACK", "BROKEN_KEYS"] {
        let mut encoder = open(card, VideoCodec::H264).unwrap();
        let planes = planes(&encoder, &picture(641, 480, |_, _| [9; 3]));
        let error = encoder.encode(&planes, WISH).unwrap_err();
        assert!(matches!(error, VideoError::Failed { .. }), "{card}");
    }
}

#[test]
fn sizes_that_some_cards_refuse_are_refused() {
    let (_folder, driver) = driver("GOOD");
    let driver = driver.unwrap();
    for (width, height) in [(159, 480), (640, 63), (4097, 480), (640, u16::MAX)] {
        let opened = Nvenc::open_with(&driver, VideoCodec::H264, width, height);
        assert!(matches!(opened, Err(VideoError::Size { .. })));
    }
}

#[test]
fn planes_of_another_shape_are_refused() {
    let mut encoder = open("GOOD", VideoCodec::H264).unwrap();
    let planes = planes(&encoder, &noise(1));
    let error = encoder.encode(&planes, WISH).unwrap_err();
    assert!(matches!(error, VideoError::Failed { .. }));
}

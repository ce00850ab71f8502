//! What openh264 makes, seen by a decoder.

use super::*;
use crate::geometry::Rect;
use crate::picture::Picture;
use crate::video::H264Decoder;
use crate::video::trial::{self, assert_bytes, assert_ramp, noise, picture, planes, ramp};

fn boxed(width: u16, height: u16) -> Box<dyn VideoEncoder> {
    Box::new(Openh264::open(width, height).unwrap())
}

fn wish(bytes: usize) -> VideoWish {
    VideoWish { bytes, is_key: false }
}

fn distinct(of: &[u8]) -> usize {
    let mut seen = of.to_vec();
    seen.sort_unstable();
    seen.dedup();
    seen.len()
}

/// Greys that a viewer would see of a picture.
fn greys_seen(picture: &Picture) -> Vec<u8> {
    let size = picture.size();
    let mut encoder = boxed(size.width(), size.height());
    let planes = planes(&*encoder, picture);
    let packet = encoder.encode(&planes, wish(trial::PLENTY)).unwrap();
    H264Decoder::new().unwrap().decode(&packet.bytes).unwrap().planes[0].clone()
}

#[test]
fn a_moving_ramp_keeps_all_its_greys() {
    let mut decoder = H264Decoder::new().unwrap();
    assert_ramp(boxed, |bytes| decoder.decode(bytes).unwrap().planes[0].clone());
}

/// What limited range would do to the same picture: the check above would see it.
#[test]
fn limited_range_would_lose_greys() {
    assert_eq!(distinct(&greys_seen(&ramp(0))), 256);
    let limited = picture(1024, 128, |x, _| {
        let grey = 16 + (x / 4 * 219 + 127) / 255;
        [u8::try_from(grey).unwrap(); 3]
    });
    let expanded: Vec<u8> = greys_seen(&limited)
        .iter()
        .map(|&grey| (u32::from(grey).saturating_sub(16) * 255 + 109) / 219)
        .map(|grey| u8::try_from(grey.min(255)).unwrap())
        .collect();
    assert!(distinct(&expanded) < 230, "{}", distinct(&expanded));
}

#[test]
fn frames_come_near_to_the_bytes_wished_for() {
    assert_bytes(boxed);
}

#[test]
fn key_frames_come_when_asked_and_at_no_other_time() {
    let mut encoder = boxed(640, 480);
    let mut keys = Vec::new();
    for frame in 0..200 {
        let planes = planes(&*encoder, &noise(frame / 3));
        // Back and forth, so that quantiser, filter and way of coding all change.
        let bytes = if frame / 70 % 2 == 0 { 60_000 } else { 6000 };
        let wish = VideoWish { bytes, is_key: frame == 50 };
        if encoder.encode(&planes, wish).unwrap().is_key {
            keys.push(frame);
        }
    }
    // 130: the wish has been smaller for as long as it takes to code for bytes.
    assert_eq!(keys, [0, 50, 129, 199]);
}

#[test]
fn what_a_decoder_sees_stays_near_whatever_was_asked_in_between() {
    let mut encoder = boxed(640, 480);
    let mut decoder = H264Decoder::new().unwrap();
    for frame in 0..90 {
        let planes = planes(&*encoder, &noise(frame));
        let bytes = [200_000, 8000, 60_000][usize::try_from(frame).unwrap() / 30];
        let packet = encoder.encode(&planes, wish(bytes)).unwrap();
        let seen = decoder.decode(&packet.bytes).unwrap();
        let (luma, stride) = planes.plane(0);
        let errors = luma
            .chunks(stride)
            .zip(seen.planes[0].chunks(640))
            .flat_map(|(a, b)| a.iter().zip(b).map(|(&a, &b)| u64::from(a.abs_diff(b))));
        let mean = errors.sum::<u64>() / (640 * 480);
        // The noise's own mean is 16.
        assert!(mean <= 17 && (bytes < 200_000 || mean <= 4), "{mean} in frame {frame}");
    }
}

#[test]
fn pictures_have_the_sizes_that_were_asked() {
    for (width, height) in [(64, 64), (65, 67), (1024, 960), (1920, 1080), (3840, 2160)] {
        let size = crate::geometry::PictureSize::new(width, height).unwrap();
        let mut encoder = boxed(width, height);
        let mut source = Planes::new(PlaneFormat::I420, width, height);
        source.fill(&Picture::black(size), size.rect());
        let packet = encoder.encode(&source, wish(20_000)).unwrap();
        let seen = H264Decoder::new().unwrap().decode(&packet.bytes).unwrap();
        assert_eq!((seen.width, seen.height), (even(width), even(height)));
    }
}

#[test]
fn a_bitstream_says_how_it_is_to_be_shown() {
    for bytes in [20_000, 200_000] {
        let mut encoder = boxed(640, 480);
        let planes = planes(&*encoder, &noise(1));
        let packet = encoder.encode(&planes, wish(bytes)).unwrap();
        let mut bits = Bits::of_parameters(&packet.bytes);
        assert_eq!(bits.number(8), 100, "High");
        bits.number(16);
        let chroma = [bits.code(), bits.code()][1];
        assert_eq!(chroma, 1, "4:2:0");
        assert_eq!([bits.code(), bits.code()], [0, 0], "8 bit");
        assert_eq!(bits.number(2), 0, "neither bypass nor scaling");
        bits.code();
        let order = bits.code();
        if order == 0 {
            bits.code();
        }
        assert_eq!(bits.code(), 1, "one reference");
        bits.number(1);
        assert_eq!([bits.code(), bits.code()], [39, 29], "macroblocks less one");
        assert_eq!(bits.number(3) & 0b101, 0b100, "whole frames, nothing cropped");
        assert_eq!(bits.number(1), 1, "says how it is shown");
        assert_eq!(bits.number(2), 0, "neither aspect nor overscan");
        assert_eq!(bits.number(4), 0b1101, "a video format, unspecified");
        assert_eq!(bits.number(1), 1, "full range");
        assert_eq!(bits.number(1), 1, "colours are said");
        assert_eq!([bits.number(8), bits.number(8), bits.number(8)], [1, 13, 1], "BT.709, sRGB");
    }
}

/// Bits of a sequence parameter set (H.264, 7.3.2.1.1 and 9.1).
struct Bits(Vec<u8>, usize);

impl Bits {
    /// The unit behind the first start code, without the bytes that keep start codes unique.
    fn of_parameters(stream: &[u8]) -> Self {
        assert_eq!(stream[..5], [0, 0, 0, 1, 0x67]);
        let mut bytes: Vec<u8> = Vec::new();
        for &byte in &stream[5..] {
            if byte == 3 && bytes.ends_with(&[0, 0]) {
                continue;
            }
            bytes.push(byte);
        }
        Self(bytes, 0)
    }

    fn number(&mut self, length: usize) -> u32 {
        (0..length).fold(0, |number, _| {
            let bit = self.0[self.1 / 8] >> (7 - self.1 % 8) & 1;
            self.1 += 1;
            number << 1 | u32::from(bit)
        })
    }

    /// Exp-Golomb.
    fn code(&mut self) -> u32 {
        let mut zeros = 0;
        while self.number(1) == 0 {
            zeros += 1;
        }
        (1 << zeros) - 1 + self.number(zeros)
    }
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    for (width, height) in [(0, 64), (8, 64), (7680, 4320), (u16::MAX, u16::MAX)] {
        assert!(matches!(Openh264::open(width, height), Err(VideoError::Size { .. })));
    }
}

#[test]
fn planes_of_another_size_are_an_error() {
    let mut encoder = boxed(640, 480);
    let other = Planes::new(PlaneFormat::I420, 320, 240);
    encoder.encode(&other, wish(1000)).unwrap_err();
    let mut right = Planes::new(PlaneFormat::I420, 640, 480);
    right.fill(&noise(1), Rect { x: 0, y: 0, width: 640, height: 480 });
    assert!(encoder.encode(&right, wish(1000)).unwrap().is_key);
}

#[test]
fn a_bitstream_that_is_broken_is_an_error() {
    let mut encoder = boxed(640, 480);
    let planes = planes(&*encoder, &noise(1));
    let packet = encoder.encode(&planes, wish(60_000)).unwrap();
    let mut decoder = H264Decoder::new().unwrap();
    decoder.decode(&packet.bytes[..packet.bytes.len() / 2]).unwrap_err();
    H264Decoder::new().unwrap().decode(&[]).unwrap_err();
    H264Decoder::new().unwrap().decode(&packet.bytes).unwrap();
}

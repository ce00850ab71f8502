//! The x264 process: pictures, exact modes, and a child that dies, hangs or talks nonsense.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::*;
use crate::video::H264Decoder;
use crate::video::trial::{PLENTY, assert_bytes, assert_ramp, noise, picture, planes};

const WISH: VideoWish = VideoWish { bytes: 20_000, is_key: false };

/// The program, built as it is for use.
fn program(folder: &TempDir) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../../contrib/x264/beamdesk-x264.c");
    let program = folder.path().join("beamdesk-x264");
    let cc = Command::new("cc")
        .args(["-O2", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .args([source, "-lx264"])
        .output()
        .unwrap();
    assert!(cc.status.success(), "{}", String::from_utf8_lossy(&cc.stderr));
    program
}

/// Something else in its place.
fn script(folder: &TempDir, text: &str) -> PathBuf {
    let program = folder.path().join("script");
    fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

fn why(result: Result<impl Sized, VideoError>) -> String {
    result.err().expect("it fails").to_string()
}

#[test]
fn all_greys_survive_as_far_as_a_viewer_sees() {
    let folder = TempDir::new().unwrap();
    let program = program(&folder);
    let mut decoder = H264Decoder::new().unwrap();
    assert_ramp(
        |width, height| Box::new(X264::open(&program, VideoCodec::H264, width, height).unwrap()),
        |bytes| decoder.decode(bytes).unwrap().planes[0].clone(),
    );
}

#[test]
fn frames_come_near_to_the_bytes_that_are_wished_for() {
    let folder = TempDir::new().unwrap();
    let program = program(&folder);
    assert_bytes(|width, height| {
        Box::new(X264::open(&program, VideoCodec::H264, width, height).unwrap())
    });
}

#[test]
fn key_frames_come_first_and_when_asked_for_and_never_else() {
    let folder = TempDir::new().unwrap();
    let program = program(&folder);
    for codec in [VideoCodec::H264, VideoCodec::H264Grey, VideoCodec::H264Rgb] {
        let mut encoder = X264::open(&program, codec, 640, 480).unwrap();
        let keys: Vec<bool> = (0..40)
            .map(|seed| {
                // Each picture is another scene.
                let planes = planes(&encoder, &noise(seed));
                let wish = VideoWish { is_key: seed == 20, ..WISH };
                encoder.encode(&planes, wish).unwrap().is_key
            })
            .collect();
        let wanted: Vec<bool> = (0..40).map(|seed| seed % 20 == 0).collect();
        assert_eq!(keys, wanted);
    }
}

#[test]
fn exact_modes_are_not_quantised_whatever_is_wished_for() {
    let folder = TempDir::new().unwrap();
    let program = program(&folder);
    for codec in [VideoCodec::H264Grey, VideoCodec::H264Rgb] {
        let mut encoder = X264::open(&program, codec, 640, 480).unwrap();
        let small = VideoWish { bytes: 1, is_key: false };
        let planes = planes(&encoder, &noise(1));
        let packet = encoder.encode(&planes, small).unwrap();
        assert_eq!(packet.qp, 0);
        // H.264, 7.3.2.1: profile 244 is High 4:4:4 Predictive, the only one without loss.
        assert_eq!(packet.bytes[..6], [0, 0, 0, 1, 0x67, 244]);
        // More than four bits a pixel are in the noise, and no code takes fewer.
        assert!(packet.bytes.len() > 640 * 480 / 2, "{}", packet.bytes.len());
    }
}

#[test]
fn odd_and_small_sizes_have_a_frame() {
    let folder = TempDir::new().unwrap();
    let program = program(&folder);
    for (width, height) in [(64, 64), (65, 71), (1919, 127), (64, 1079)] {
        for codec in [VideoCodec::H264, VideoCodec::H264Grey, VideoCodec::H264Rgb] {
            let mut encoder = X264::open(&program, codec, width, height).unwrap();
            let shown = picture(width, height, |x, y| {
                [x, y, x ^ y].map(|value| u8::try_from(value % 256).unwrap())
            });
            let planes = planes(&encoder, &shown);
            let packet = encoder.encode(&planes, WISH).unwrap();
            if codec == VideoCodec::H264 {
                let decoded = H264Decoder::new().unwrap().decode(&packet.bytes).unwrap();
                let sides = (decoded.width, decoded.height);
                assert_eq!(sides, (even(width), even(height)));
            }
        }
    }
}

#[test]
fn planes_of_another_shape_are_refused() {
    let folder = TempDir::new().unwrap();
    let mut encoder = X264::open(&program(&folder), VideoCodec::H264, 640, 478).unwrap();
    let planes = planes(&encoder, &noise(1));
    assert!(why(encoder.encode(&planes, WISH)).contains("another shape"));
}

#[test]
fn a_size_beyond_the_format_is_refused() {
    let folder = TempDir::new().unwrap();
    let program = script(&folder, "exit 0");
    for (width, height) in [(0, 64), (64, 0), (u16::MAX, 64), (64, SIDE_MAX)] {
        let opened = X264::open(&program, VideoCodec::H264, width, height);
        assert!(matches!(opened, Err(VideoError::Size { .. })));
    }
}

#[test]
fn a_program_that_is_not_there_is_missing() {
    let folder = TempDir::new().unwrap();
    let opened = X264::open(&folder.path().join("none"), VideoCodec::H264, 64, 64);
    assert!(matches!(opened, Err(VideoError::Missing { .. })));
    let opened = X264::open(&folder.path().join("none"), VideoCodec::Av1, 64, 64);
    assert!(matches!(opened, Err(VideoError::Missing { .. })));
}

#[test]
fn a_program_that_is_killed_in_mid_stream_is_lost_at_once_and_for_good() {
    let folder = TempDir::new().unwrap();
    let mut encoder = X264::open(&program(&folder), VideoCodec::H264, 640, 480).unwrap();
    let planes = planes(&encoder, &noise(1));
    encoder.encode(&planes, VideoWish { bytes: PLENTY, is_key: true }).unwrap();
    let child = encoder.process.child();
    let pid = Pid::from_child(child);
    kill_process(pid, Signal::KILL).unwrap();
    child.wait().unwrap();
    let lost = encoder.encode(&planes, WISH);
    assert!(matches!(lost, Err(VideoError::Failed { .. })));
    assert!(why(encoder.encode(&planes, WISH)).contains("lost before"));
}

#[test]
fn a_program_that_stops_answering_is_lost_when_the_time_is_up() {
    let folder = TempDir::new().unwrap();
    let mut encoder = X264::open(&program(&folder), VideoCodec::H264, 640, 480).unwrap();
    let planes = planes(&encoder, &noise(1));
    let pid = Pid::from_child(encoder.process.child());
    kill_process(pid, Signal::STOP).unwrap();
    assert!(why(encoder.encode(&planes, WISH)).contains("in time"));
}

#[test]
fn what_other_programs_say_is_an_error_and_no_more() {
    let zeros = "head -c 20000000 /dev/zero >&1";
    let huge = r"printf 'BXan\0\0\0\0\0\0\0\0\377\377\377\377'; head -c 100000 /dev/zero";
    let fault = r"printf 'BXan\2\0\0\0\0\0\0\0\5\0\0\0wrong'";
    let cut = r"printf 'BXan\0\0\0\0\0\0\0\0\100\0\0\0short'";
    let long_fault = r"printf 'BXan\2\0\0\0\0\0\0\0\0\1\0\0'";
    let cases = [
        ("exit 1", "ended"),
        ("echo something else altogether", "none"),
        (zeros, "none"),
        (huge, "none"),
        (fault, "wrong"),
        (cut, "ended"),
        (long_fault, "none"),
    ];
    for (text, reason) in cases {
        let folder = TempDir::new().unwrap();
        let said = why(X264::open(&script(&folder, text), VideoCodec::H264, 64, 64));
        assert!(said.contains(reason), "{text}: {said}");
    }
}

#[test]
fn a_frame_without_bytes_is_no_frame() {
    let folder = TempDir::new().unwrap();
    let ready = r"printf 'BXan\0\0\0\0\0\0\0\0\0\0\0\0'";
    let program = script(&folder, &format!("{ready}; {ready}; exec sleep 10"));
    let mut encoder = X264::open(&program, VideoCodec::H264, 640, 480).unwrap();
    let planes = planes(&encoder, &noise(1));
    assert!(why(encoder.encode(&planes, WISH)).contains("without bytes"));
}

#[test]
fn garbage_in_mid_stream_is_an_error_and_the_end() {
    let folder = TempDir::new().unwrap();
    let ready = r"printf 'BXan\0\0\0\0\0\0\0\0\0\0\0\0'";
    let program = script(&folder, &format!("{ready}; head -c 1000 /dev/urandom; exec sleep 10"));
    let mut encoder = X264::open(&program, VideoCodec::H264, 640, 480).unwrap();
    let planes = planes(&encoder, &noise(1));
    assert!(why(encoder.encode(&planes, WISH)).contains("an answer that is none"));
    assert!(why(encoder.encode(&planes, WISH)).contains("lost before"));
}

#[test]
fn the_program_ends_with_the_encoder() {
    let folder = TempDir::new().unwrap();
    let mut encoder = X264::open(&program(&folder), VideoCodec::H264, 64, 64).unwrap();
    let pid = Pid::from_child(encoder.process.child());
    drop(encoder);
    // Waited for, so even its entry is gone.
    assert!(rustix::process::test_kill_process(pid).is_err());
}

//! Golden vectors in `vectors/*.json`: bytes and their meaning, read by Rust and TypeScript alike.
//!
//! After a wanted change write them anew with `BEAMDESK_BLESS=1 cargo test -p beamdesk-proto`.

use std::{fmt::Write as _, fs, path::Path};

use beamdesk_proto::{
    control::{
        AgentMessage, GateHello, GateMessage, Limit, Open, Quality, Region, Status, VERSION,
        VideoCodec, ViewerMessage,
    },
    wire::{
        self, Ack, DOWN_BYTES_MAX, Header, Message, TilesPrefix, VideoHead, flag, kind, root_hash,
        root_text, tile_hash,
    },
};
use beamdesk_types::{CloseReason, DesktopId, StreamId};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::picture::Picture;

#[test]
fn headers_are_as_written() {
    let good = [(kind::AGENT, 0, 2), (kind::TILES, flag::LAST | flag::ZSTD, 65_536), (0x7f, 1, 0)]
        .map(|(kind, flags, len)| {
            let bytes = Header { kind, flags, len }.encode();
            let back = Header::decode(bytes, DOWN_BYTES_MAX).unwrap();
            assert_eq!(back, Header { kind, flags, len });
            json!({ "hex": hex::encode(bytes), "kind": kind, "flags": flags, "len": len })
        });
    let refused = [
        ("stream is not 0", "0200010000000000"),
        ("unknown flag", "0208000000000000"),
        ("longer than 1 MiB with its header", "02000000f9ff0f00"),
        ("as long as can be said", "02000000ffffffff"),
    ]
    .map(|(why, text)| {
        let bytes = hex::decode(text).unwrap().try_into().unwrap();
        assert!(Header::decode(bytes, DOWN_BYTES_MAX).is_err(), "{why}");
        json!({ "why": why, "hex": text })
    });
    golden("headers", &json!({ "max": DOWN_BYTES_MAX, "good": good, "refused": refused }));
}

#[test]
fn acknowledgements_are_as_written() {
    let acks = [
        Ack { frame: 0, decode_us: 0, shown_us: 0, tiles: vec![] },
        Ack {
            frame: 0xdead_beef,
            decode_us: 1234,
            shown_us: 16_667,
            tiles: vec![(0, 0), (1, 0xef46_db37_51d8_e999), (8159, u64::MAX)],
        },
    ]
    .map(|ack| {
        let bytes = ack.encode();
        assert_eq!(Ack::decode(&bytes).unwrap(), ack);
        let tiles: Vec<_> = ack.tiles.iter().map(|&(t, h)| json!([t, root_text(h)])).collect();
        json!({
            "payload": hex::encode(bytes), "frame": ack.frame, "decode_us": ack.decode_us,
            "shown_us": ack.shown_us, "tiles": tiles,
        })
    });
    golden("acks", &json!(acks));
}

#[test]
fn video_heads_are_as_written() {
    let head = VideoHead {
        frame: 7,
        captured_us: 1_234_567,
        codec: VideoCodec::H264.number(),
        is_key: true,
        goes_on: false,
        x: 128,
        y: 64,
        width: 200,
        height: 130,
        mask: vec![0b1111_0111, 0b0000_1010],
    };
    let good = [
        head.clone(),
        VideoHead { frame: 8, is_key: false, goes_on: true, ..head.clone() },
        VideoHead { codec: 0xee, x: 0, y: 0, width: 1, height: 1, mask: vec![0], ..head.clone() },
    ]
    .map(|head| {
        let payload = [head.encode().as_slice(), b"bits"].concat();
        assert_eq!(VideoHead::split(&payload).unwrap(), (head.clone(), b"bits".as_slice()));
        json!({
            "payload": hex::encode(payload), "frame": head.frame, "captured_us": head.captured_us,
            "codec": head.codec, "is_key": head.is_key, "goes_on": head.goes_on, "x": head.x,
            "y": head.y, "width": head.width, "height": head.height,
            "mask": hex::encode(&head.mask), "bitstream": hex::encode("bits"),
        })
    });
    let mut flags = head.encode();
    flags[13] = 4;
    let refused = [
        ("cut within the numbers", head.encode()[..23].to_vec()),
        ("cut within the mask", head.encode()[..25].to_vec()),
        ("an unknown flag", flags),
        ("a corner between tiles", VideoHead { x: 65, ..head.clone() }.encode()),
        ("no width", VideoHead { width: 0, mask: vec![], ..head.clone() }.encode()),
        ("beyond the largest picture", VideoHead { x: 7552, ..head.clone() }.encode()),
        ("a mask too short", VideoHead { mask: vec![1], ..head.clone() }.encode()),
        ("a mask too long", VideoHead { mask: vec![1, 2, 3], ..head.clone() }.encode()),
        ("a bit for no tile", VideoHead { mask: vec![1, 0x10], ..head.clone() }.encode()),
    ]
    .map(|(why, bytes)| {
        assert!(VideoHead::split(&bytes).is_err(), "{why}");
        json!({ "why": why, "payload": hex::encode(bytes) })
    });
    let codecs = [
        VideoCodec::H264,
        VideoCodec::H264Grey,
        VideoCodec::H264Rgb,
        VideoCodec::Av1,
        VideoCodec::Hevc,
    ]
    .map(|codec| json!({ "codec": codec, "number": codec.number() }));
    golden("video", &json!({ "codecs": codecs, "good": good, "refused": refused }));
}

#[test]
fn hashes_are_as_written() {
    let whole: Vec<u8> =
        (0..64 * 64).flat_map(|i| [u8_of(i), u8_of(i / 64), u8_of(i * 7), 255]).collect();
    let black = [0, 0, 0, 255].repeat(64 * 64);
    let cropped = [10, 20, 30, 255].repeat(6 * 2);
    let tiles = [
        ("all black, 64 by 64", "[0, 0, 0, 255] repeated 4096 times", &black),
        ("6 by 2", "[10, 20, 30, 255] repeated 12 times", &cropped),
        ("pattern, 64 by 64", "pixel i is [i, floor(i / 64), 7 i, 255], each mod 256", &whole),
    ]
    .map(|(name, rgba, bytes)| {
        json!({ "name": name, "rgba": rgba, "hash": root_text(tile_hash(bytes)) })
    });
    let roots = [vec![], vec![0], vec![1, 2, 0xef46_db37_51d8_e999, u64::MAX]].map(|hashes| {
        let texts: Vec<_> = hashes.iter().copied().map(root_text).collect();
        json!({ "tiles": texts, "root": root_text(root_hash(hashes)) })
    });
    golden("hashes", &json!({ "tiles": tiles, "roots": roots }));
}

#[test]
fn control_messages_are_as_written() {
    let desktop = DesktopId::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);
    let stream: StreamId = "01900000-0000-7000-8000-000000000002".parse().unwrap();
    let agent = [
        AgentMessage::Hello {
            version: VERSION,
            width: 1920,
            height: 1080,
            cache_slots: 1024,
            width_max: 3840,
            height_max: 2160,
            layouts: vec!["us".into(), "de".into()],
        },
        AgentMessage::Resized { width: 1280, height: 720 },
        AgentMessage::ResizeRefused { width_max: 3840, height_max: 2160 },
        AgentMessage::Exact { frame: 7, root: "ef46db3751d8e999".into() },
        AgentMessage::Notice { code: "x_server_gone".into() },
        AgentMessage::Status(Status {
            encoder: "openh264".into(),
            codec: Some(VideoCodec::H264),
            qp: Some(24),
            video_tiles: 240,
            frames_per_s: 60,
            line_kbit_per_s: 100_000,
            capture_us: 900,
            encode_us: 7000,
            way_us: 20_000,
            queue_us: 3000,
            limit: Limit::Network,
        }),
        AgentMessage::Status(Status { encoder: "tiles".into(), ..Status::default() }),
        AgentMessage::Marked { regions: vec![Region { x: 64, y: 0, width: 640, height: 480 }] },
        AgentMessage::Marked { regions: Vec::new() },
    ];
    let viewer = [
        ViewerMessage::Hello {
            version: VERSION,
            width: 1920,
            height: 1080,
            decodes: vec![VideoCodec::H264, VideoCodec::Av1],
            quality: Quality::Automatic,
        },
        ViewerMessage::Resize { width: 100_000, height: 0 },
        ViewerMessage::Key { code: "KeyA".into(), down: true },
        ViewerMessage::Pointer { x: 1919, y: 0 },
        ViewerMessage::Button { x: 5, y: 6, button: 2, down: false },
        ViewerMessage::Wheel { x: 5, y: 6, dx: 0.0, dy: -1.5 },
        ViewerMessage::ReleaseAll,
        ViewerMessage::Visible { visible: false },
        ViewerMessage::Repair { tiles: vec![0, 509] },
        ViewerMessage::Layout { name: "de".into() },
        ViewerMessage::Quality { quality: Quality::ExactMotion },
        ViewerMessage::Quality { quality: Quality::ThinLink },
        ViewerMessage::Region { region: Some(Region { x: 1, y: 2, width: 300, height: 4000 }) },
        ViewerMessage::Region { region: None },
        ViewerMessage::Watch { on: true },
        ViewerMessage::VideoFailed { codec: VideoCodec::H264Grey },
        ViewerMessage::KeyFrame,
        ViewerMessage::SliceShown { place: 3, picture: 9, hash: "00000000000000ff".into() },
    ];
    let gate = [
        GateMessage::Welcome {
            desktop,
            desktop_name: "analysis".into(),
            user_name: "李".into(),
            recording: true,
        },
        GateMessage::Recording { on: false },
        GateMessage::Close { reason: CloseReason::LoggedOut, retry: false },
    ];
    let value = json!({
        "agent": agent, "viewer": viewer, "gate": gate,
        "gate_hello": GateHello { version: VERSION, nonce: "b25jZQ".into() },
        "open": Open { version: VERSION, stream, user_name: "li".into() },
    });
    golden("control", &value);
    for (message, json) in agent.iter().zip(value["agent"].as_array().unwrap()) {
        assert_eq!(&serde_json::from_value::<AgentMessage>(json.clone()).unwrap(), message);
    }
    for (message, json) in viewer.iter().zip(value["viewer"].as_array().unwrap()) {
        assert_eq!(&serde_json::from_value::<ViewerMessage>(json.clone()).unwrap(), message);
    }
}

#[test]
fn tile_operations_are_as_written() {
    // 70 by 66: four tiles, the right ones 6 wide, the lower ones 2 high.
    let mut picture = Picture::new(70, 66, 4);
    let mut frame = 0;
    let mut step = |name: &str, ops: &[&[u8]], pixels: &[u8]| {
        frame += 1;
        let prefix = TilesPrefix { frame, captured_us: 1_000_000 + u64::from(frame) };
        let ops = ops.concat();
        let mut body = u32::try_from(ops.len()).unwrap().to_le_bytes().to_vec();
        body.extend(ops);
        body.extend(pixels);
        let payload = [prefix.encode().as_slice(), &body].concat();
        let message = wire::message(kind::TILES, flag::LAST, &payload);
        let whole = Message::decode(message.clone(), DOWN_BYTES_MAX).unwrap();
        assert_eq!(TilesPrefix::split(&whole.payload).unwrap(), (prefix, body.as_slice()));
        picture.draw(&body);
        let hashes = picture.tile_hashes();
        json!({
            "name": name, "message": hex::encode(message), "frame": frame,
            "captured_us": prefix.captured_us,
            "tiles": hashes.iter().copied().map(root_text).collect::<Vec<_>>(),
            "root": root_text(root_hash(hashes)),
        })
    };
    let grey: Vec<u8> = (0..5 * 3).map(|i| u8_of(i * 37)).collect();
    let rgb: Vec<u8> = (0..3 * 6 * 4).map(|i| u8_of(i * i)).collect();
    let steps = [
        step("solid over a whole tile", &[&[0, 0, 0, 0, 0, 63, 63, 200, 100, 50]], &[]),
        step("solid over part of a cropped tile", &[&[0, 3, 0, 1, 0, 4, 1, 1, 2, 3]], &[]),
        step(
            "palette of 2, rows from a new byte",
            &[&[1, 0, 0, 3, 4, 8, 1, 2, 255, 255, 255, 9, 8, 7]],
            &[0b1010_1010, 0x80, 0b0101_0101, 0],
        ),
        step(
            "palette of 3 takes 2 bits",
            &[&[1, 1, 0, 0, 0, 4, 0, 3, 1, 1, 1, 2, 2, 2, 3, 3, 3]],
            &[0b0001_1000, 0b0100_0000],
        ),
        step(
            "palette of 5 takes 4 bits",
            &[&[1, 0, 0, 10, 10, 2, 0, 5], &[10, 0, 0, 20, 0, 0, 30, 0, 0, 40, 0, 0, 50, 0, 0]],
            &[0x42, 0x10],
        ),
        step("grey without prediction", &[&[2, 0, 0, 20, 20, 4, 2, 0]], &grey),
        step("grey with MED", &[&[2, 0, 0, 30, 30, 4, 2, 1]], &grey),
        step("rgb without prediction", &[&[3, 0, 0, 40, 40, 5, 3, 0]], &rgb),
        step("rgb with MED", &[&[3, 0, 0, 50, 50, 5, 3, 1]], &rgb),
        step("copy that overlaps itself", &[&[4, 3, 0, 4, 0, 5, 0, 6, 0, 60, 0, 58, 0]], &[]),
        step("copy upwards, over tiles", &[&[4, 8, 0, 10, 0, 0, 0, 2, 0, 62, 0, 56, 0]], &[]),
        step(
            "save, overwrite, load; several operations share their pixels in order",
            &[
                &[5, 0, 0, 2, 0],
                &[1, 0, 0, 0, 0, 7, 0, 2, 1, 2, 3, 4, 5, 6],
                &[2, 1, 0, 0, 0, 1, 1, 0],
                &[5, 0, 0, 0, 0],
                &[6, 0, 0, 2, 0],
            ],
            &[0xaa, 9, 8, 7, 6],
        ),
        step("load what was saved two frames ago", &[&[6, 0, 0, 0, 0]], &[]),
        step("nothing at all", &[], &[]),
    ];
    golden("tiles", &json!({ "width": 70, "height": 66, "cache_slots": 4, "steps": steps }));
}

#[test]
fn one_message_is_exactly_one() {
    let bytes = wire::message(kind::ACK, 0, b"abc");
    assert!(Message::decode(bytes.clone(), 11).is_ok());
    assert!(Message::decode(bytes.clone(), 10).is_err(), "longer than allowed");
    assert!(Message::decode(bytes.slice(..10), 99).is_err(), "cut short");
    let longer = Bytes::from([bytes.as_ref(), b"x"].concat());
    assert!(Message::decode(longer, 99).is_err(), "something behind it");
}

fn u8_of(value: u32) -> u8 {
    value.to_le_bytes()[0]
}

/// Compares with the file, or writes it when asked to.
fn golden(name: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(format!("{name}.json"));
    let mut text = serde_json::to_string_pretty(value).unwrap();
    writeln!(text).unwrap();
    if std::env::var_os("BEAMDESK_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, text, "vectors/{name}.json: BEAMDESK_BLESS=1 writes it anew");
}

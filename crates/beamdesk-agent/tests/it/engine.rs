//! One engine, its viewers, and what they may expect of each other.

use beamdesk_agent::engine::VIEWERS_MAX;
use beamdesk_proto::{
    control::{AgentMessage, Quality, VERSION, ViewerMessage},
    wire::{self, kind},
};

use crate::{
    rig::{Input, Rig, eventually},
    viewer::{Seen, Viewer},
};

#[tokio::test]
async fn a_viewer_becomes_exact_and_does_so_again_after_each_change() {
    let rig = Rig::start(640, 400);
    let mut viewer = Viewer::greet(rig.connect(), 640, 400).await;
    let mut last = viewer.until_exact().await;
    for _ in 0..50 {
        rig.stepper.step();
        let frame = viewer.until_exact().await;
        assert!(frame > last);
        last = frame;
    }
    drop(viewer);
    rig.end().await;
}

#[tokio::test]
async fn a_viewer_that_comes_later_gets_the_same_picture() {
    let rig = Rig::start(640, 400);
    let mut first = Viewer::greet(rig.connect(), 640, 400).await;
    first.until_exact().await;
    rig.stepper.step();
    first.until_exact().await;
    let mut second = Viewer::greet(rig.connect(), 640, 400).await;
    second.until_exact().await;
    assert_eq!(first.decoder.pixels(), second.decoder.pixels());
    drop((first, second));
    rig.end().await;
}

#[tokio::test]
async fn the_pointers_shape_comes_beside_the_picture() {
    let rig = Rig::start(128, 128);
    let mut viewer = Viewer::greet(rig.connect(), 128, 128).await;
    while viewer.cursors == 0 {
        viewer.next().await;
    }
    drop(viewer);
    rig.end().await;
}

#[tokio::test]
async fn a_tile_held_wrongly_is_sent_again_before_anything_is_exact() {
    let rig = Rig::start(640, 400);
    let mut viewer = Viewer::open(rig.connect()).await;
    viewer.lies_about = Some(7);
    viewer
        .say(&ViewerMessage::Hello {
            version: VERSION,
            width: 640,
            height: 400,
            decodes: Vec::new(),
            quality: Quality::Automatic,
        })
        .await;
    let Seen::Told(AgentMessage::Hello { cache_slots, .. }) = viewer.next().await else {
        panic!("a hello comes first")
    };
    let size = beamdesk_media::PictureSize::new(640, 400).unwrap();
    viewer.decoder = beamdesk_media::Decoder::new(size, cache_slots);
    let mut touched = 0;
    loop {
        match viewer.next().await {
            Seen::Frame(tiles) => touched += usize::from(tiles.contains(&7)),
            Seen::Told(AgentMessage::Exact { .. }) => break,
            _ => {}
        }
    }
    assert_eq!(viewer.lies_about, None, "the lie was told");
    assert_eq!(touched, 2, "once with the first picture and once more");
    drop(viewer);
    rig.end().await;
}

#[tokio::test]
async fn tiles_that_read_back_wrong_are_sent_again_when_asked() {
    let rig = Rig::start(640, 400);
    let mut viewer = Viewer::greet(rig.connect(), 640, 400).await;
    viewer.until_exact().await;
    viewer.decoder.corrupt(70, 70);
    viewer.say(&ViewerMessage::Repair { tiles: vec![11, 60_000] }).await;
    let touched = loop {
        if let Seen::Frame(tiles) = viewer.next().await {
            break tiles;
        }
    };
    assert_eq!(touched, [11]);
    viewer.until_exact().await;
    drop(viewer);
    rig.end().await;
}

#[tokio::test]
async fn a_viewer_that_does_not_read_holds_up_nobody_and_little_memory() {
    const HELD_MAX: usize = 6 << 20;
    let rig = Rig::start(1920, 1080);
    let mut slow = Viewer::greet(rig.connect(), 1920, 1080).await;
    slow.acknowledges = false;
    let mut quick = Viewer::greet(rig.connect(), 1920, 1080).await;
    quick.until_exact().await;
    for _ in 0..100 {
        rig.stepper.step();
        quick.until_exact().await;
    }
    // All that was kept for it, at once: it closes its side, and reads on.
    slow.write(b"\xff\x00\x00\x00\x00\x00\x00\x00").await;
    slow.until_end().await;
    assert!(slow.frames <= 8, "{} frames were in flight", slow.frames);
    assert!(slow.bytes <= HELD_MAX, "{} bytes were in flight", slow.bytes);
    drop((slow, quick));
    rig.end().await;
}

#[tokio::test]
async fn a_resize_reaches_every_viewer() {
    let rig = Rig::start(640, 400);
    let mut one = Viewer::greet(rig.connect(), 640, 400).await;
    let mut other = Viewer::greet(rig.connect(), 640, 400).await;
    one.until_exact().await;
    other.until_exact().await;
    one.say(&ViewerMessage::Resize { width: 801, height: 603 }).await;
    for viewer in [&mut one, &mut other] {
        viewer.until_exact().await;
        assert_eq!((viewer.decoder.size().width(), viewer.decoder.size().height()), (801, 603));
    }
    assert_eq!(one.decoder.pixels(), other.decoder.pixels());
    drop((one, other));
    rig.end().await;
}

#[tokio::test]
async fn a_size_that_cannot_be_is_refused_and_changes_nothing() {
    let rig = Rig::start(640, 400);
    let mut viewer = Viewer::greet(rig.connect(), 640, 400).await;
    viewer.until_exact().await;
    for (width, height) in [(0, 0), (63, 400), (100_000, 100_000), (u32::MAX, 400)] {
        viewer.say(&ViewerMessage::Resize { width, height }).await;
        loop {
            match viewer.next().await {
                Seen::Told(AgentMessage::ResizeRefused { .. }) => break,
                Seen::Told(AgentMessage::Resized { .. }) => panic!("{width} x {height}"),
                _ => {}
            }
        }
    }
    rig.stepper.step();
    viewer.until_exact().await;
    drop(viewer);
    rig.end().await;
}

#[tokio::test]
async fn a_window_too_small_still_gets_a_picture() {
    let rig = Rig::start(640, 400);
    let mut viewer = Viewer::greet(rig.connect(), 0, 0).await;
    viewer.until_exact().await;
    assert_eq!(viewer.decoder.size().width(), 64);
    drop(viewer);
    rig.end().await;
}

#[tokio::test]
async fn keys_go_in_and_are_let_go_when_the_viewer_goes() {
    let rig = Rig::start(128, 128);
    let mut viewer = Viewer::greet(rig.connect(), 128, 128).await;
    viewer.say(&ViewerMessage::Key { code: "KeyA".to_owned(), down: true }).await;
    viewer.say(&ViewerMessage::Button { x: 3, y: 4, button: 0, down: true }).await;
    viewer.say(&ViewerMessage::Layout { name: "de".to_owned() }).await;
    viewer.say(&ViewerMessage::Wheel { x: 1, y: 2, dx: 0.0, dy: -0.5 }).await;
    viewer.until_exact().await;
    drop(viewer);
    let (engine, inputs) = (rig.engine.clone(), rig);
    let got = tokio::task::spawn_blocking(move || {
        let until = |input: &Input| matches!(input, Input::ReleaseAll);
        let mut got = Vec::new();
        loop {
            let input = inputs.input(|_| true);
            let ends = until(&input);
            got.push(input);
            if ends {
                return (got, inputs);
            }
        }
    });
    let (got, rig) = got.await.unwrap();
    drop(engine);
    assert_eq!(
        got,
        [
            Input::Key("KeyA".to_owned(), true),
            Input::Pointer(3, 4),
            Input::Button(0, true),
            Input::Layout("de".to_owned()),
            Input::Pointer(1, 2),
            Input::Wheel(0.0, -0.5),
            Input::ReleaseAll,
        ]
    );
    rig.end().await;
}

#[tokio::test]
async fn a_hidden_viewer_gets_no_frames_until_it_is_seen_again() {
    let rig = Rig::start(640, 400);
    let mut hidden = Viewer::greet(rig.connect(), 640, 400).await;
    let mut seen = Viewer::greet(rig.connect(), 640, 400).await;
    hidden.until_exact().await;
    seen.until_exact().await;
    hidden.say(&ViewerMessage::Visible { visible: false }).await;
    // Answered, so taken in before the steps.
    hidden.say(&ViewerMessage::Resize { width: 0, height: 0 }).await;
    while !matches!(hidden.next().await, Seen::Told(AgentMessage::ResizeRefused { .. })) {}
    let frames = hidden.frames;
    for _ in 0..20 {
        rig.stepper.step();
        seen.until_exact().await;
    }
    hidden.say(&ViewerMessage::Visible { visible: true }).await;
    hidden.until_exact().await;
    assert!(hidden.frames - frames <= 2, "one picture for all that was missed");
    assert_eq!(hidden.decoder.pixels(), seen.decoder.pixels());
    drop((hidden, seen));
    rig.end().await;
}

#[tokio::test]
async fn a_malformed_message_ends_only_its_own_stream() {
    let rig = Rig::start(128, 128);
    let mut good = Viewer::greet(rig.connect(), 128, 128).await;
    let hello = ViewerMessage::Hello {
        version: VERSION,
        width: 128,
        height: 128,
        decodes: Vec::new(),
        quality: Quality::Automatic,
    };
    let bad: [(&str, Vec<u8>); 9] = [
        ("a length beyond all bounds", vec![0x11, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]),
        ("a kind nobody knows", wire::message(0x7e, 0, b"").to_vec()),
        ("a kind for viewers", wire::message(kind::TILES, 0, b"").to_vec()),
        ("no JSON", wire::message(kind::VIEWER, 0, b"{").to_vec()),
        ("no object", wire::message(kind::VIEWER, 0, b"[[[[[[[[").to_vec()),
        ("an acknowledgement cut short", wire::message(kind::ACK, 0, &[0; 13]).to_vec()),
        ("an acknowledgement of nothing", wire::message(kind::ACK, 0, &[9; 12]).to_vec()),
        ("a second hello", wire::json_message(kind::VIEWER, &hello).to_vec()),
        ("another stream", vec![0x11, 0, 1, 0, 0, 0, 0, 0]),
    ];
    for (what, bytes) in bad {
        let mut viewer = Viewer::greet(rig.connect(), 128, 128).await;
        viewer.write(&bytes).await;
        viewer.until_end().await;
        rig.stepper.step();
        good.until_exact().await;
        assert!(viewer.frames <= 3, "{what}: at most the first frames came");
    }
    drop(good);
    rig.end().await;
}

#[tokio::test]
async fn nothing_is_served_before_a_proper_opening() {
    let rig = Rig::start(128, 128);
    for bytes in [
        wire::json_message(kind::VIEWER, &ViewerMessage::ReleaseAll).to_vec(),
        wire::message(kind::OPEN, 0, b"{}").to_vec(),
        vec![kind::OPEN, 0, 0, 0, 0xff, 0xff, 0, 0],
    ] {
        let mut stream = rig.connect();
        tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes).await.unwrap();
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await.unwrap();
        assert!(rest.is_empty());
    }
    assert_eq!(rig.engine.seen().viewers, 0);
    rig.end().await;
}

#[tokio::test]
async fn there_is_room_for_eight_viewers_and_not_for_nine() {
    let rig = Rig::start(128, 128);
    let mut viewers = Vec::new();
    for _ in 0..VIEWERS_MAX {
        viewers.push(Viewer::greet(rig.connect(), 128, 128).await);
    }
    let mut ninth = Viewer::open(rig.connect()).await;
    assert_eq!(ninth.until_end().await, []);
    viewers.pop();
    eventually("the place is free", || rig.engine.seen().viewers < VIEWERS_MAX).await;
    let mut next = Viewer::greet(rig.connect(), 128, 128).await;
    next.until_exact().await;
    drop((viewers, next, ninth));
    rig.end().await;
}

//! What is captured is what the X server shows, to the last pixel.

use std::time::Duration;

use beamdesk_media::{CaptureError, Event, FrameSource, Picture, Update, X11Source};

use super::desk::{Desk, Painter, soon};
use crate::viewer::{Pair, UNLIMITED, start as now};

/// The update that some drawing leads to, while the source reports no changes that are none.
fn next_update(source: &mut X11Source) -> Update {
    let deadline = soon();
    loop {
        match source.wait(Some(deadline)).unwrap() {
            Event::Changed => {
                if let Some(update) = source.capture().unwrap() {
                    return update;
                }
            }
            Event::Cursor => {}
            event @ (Event::Resized | Event::Woken | Event::TimedOut) => panic!("{event:?}"),
        }
    }
}

fn assert_is_shown(source: &X11Source, painter: &Painter) {
    let (width, height, pixels) = painter.look();
    assert_eq!((width, height), (source.size().width(), source.size().height()));
    let shown = Picture::from_bgrx(source.size(), &pixels).unwrap();
    assert!(source.picture().pixels() == shown.pixels(), "the pixels are those of the server");
    assert_eq!(source.picture().root(), shown.root());
}

#[test]
fn every_change_is_seen_exactly() {
    let desk = Desk::start(1000, 700);
    let painter = desk.painter();
    let mut source = X11Source::connect(&desk.display).unwrap();
    let mut pair = Pair::new(source.size(), 128);
    let first = next_update(&mut source);
    assert_eq!(first.areas.len(), usize::from(source.size().grid().count()));
    pair.note(&first);
    pair.settle(source.picture(), UNLIMITED);

    let mut state = 7_u32;
    let mut random = |below: u16| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [high, low, ..] = state.to_be_bytes();
        u16::from_be_bytes([high, low]) % below
    };
    for _ in 0..200 {
        let size = (1 + random(300), 1 + random(200));
        let place = (random(700).cast_signed(), random(500).cast_signed());
        let pixel = u32::from(random(256)) << 16 | u32::from(random(u16::MAX)) | 0x5500_0000;
        match random(3) {
            0 => painter.fill(pixel, place, size),
            1 => painter.copy((random(700).cast_signed(), random(500).cast_signed()), place, size),
            _ => {
                let length = usize::from(size.0) * usize::from(size.1) * 4;
                let noise: Vec<u8> = (0..length).map(|_| random(256).to_le_bytes()[0]).collect();
                painter.put(
                    place,
                    (size.0.min(60), size.1.min(60)),
                    &noise[..usize::from(size.0.min(60)) * usize::from(size.1.min(60)) * 4],
                );
            }
        }
        while let Event::Changed = source.wait(Some(now())).unwrap() {
            if let Some(update) = source.capture().unwrap() {
                pair.note(&update);
            }
        }
        assert_is_shown(&source, &painter);
        pair.settle(source.picture(), 200_000);
    }
}

#[test]
fn a_small_change_is_a_small_area() {
    let desk = Desk::start(640, 480);
    let painter = desk.painter();
    let mut source = X11Source::connect(&desk.display).unwrap();
    next_update(&mut source);
    painter.fill(0x00ff_ffff, (100, 100), (7, 13));
    let update = next_update(&mut source);
    assert_eq!((update.areas.len(), update.copy), (1, None));
    let (tile, area) = update.areas[0];
    assert_eq!((tile, area.x, area.y, area.width, area.height), (11, 36, 36, 7, 13));
}

#[test]
fn drawing_the_same_again_is_no_change() {
    let desk = Desk::start(640, 480);
    let painter = desk.painter();
    let mut source = X11Source::connect(&desk.display).unwrap();
    painter.fill(0x0012_3456, (0, 0), (640, 480));
    next_update(&mut source);
    // The same colour, with other bits where there is no colour.
    painter.fill(0xff12_3456, (0, 0), (640, 480));
    assert_eq!(source.wait(Some(soon())).unwrap(), Event::Changed);
    assert_eq!(source.capture().unwrap(), None);
}

#[test]
fn a_scroll_is_found_and_is_right() {
    let desk = Desk::start(800, 600);
    let painter = desk.painter();
    for y in 0..600_u16 {
        for x in 0..20_u16 {
            let pixel = (u32::from(y) * 7919 + u32::from(x)).wrapping_mul(2_654_435_761) >> 8;
            painter.colour(pixel);
            painter.fill(pixel, ((x * 40).cast_signed(), y.cast_signed()), (30, 1));
        }
    }
    let mut source = X11Source::connect(&desk.display).unwrap();
    let mut pair = Pair::new(source.size(), 0);
    pair.follow(&mut source, UNLIMITED);
    painter.copy((100, 130), (100, 100), (600, 400));
    let update = next_update(&mut source);
    let copy = update.copy.unwrap();
    assert_eq!(copy.from_y, copy.to.y + 30, "{copy:?}");
    assert!(copy.to.width >= 600 && copy.to.height >= 370, "{copy:?}");
    pair.note(&update);
    pair.bytes = 0;
    pair.settle(source.picture(), UNLIMITED);
    assert_is_shown(&source, &painter);
    assert!(pair.bytes < 6_000, "{}", pair.bytes);
}

#[test]
fn an_idle_wait_ends_by_its_deadline_or_by_the_waker() {
    let desk = Desk::start(640, 480);
    let mut source = X11Source::connect(&desk.display).unwrap();
    next_update(&mut source);
    while source.wait(Some(now())).unwrap() != Event::TimedOut {
        source.capture().unwrap();
    }
    let waker = source.waker();
    let deadline = now() + Duration::from_millis(30);
    assert_eq!(source.wait(Some(deadline)).unwrap(), Event::TimedOut);
    assert!(now() >= deadline);

    let thread = std::thread::spawn(move || waker.wake());
    assert_eq!(source.wait(Some(soon())).unwrap(), Event::Woken);
    thread.join().unwrap();
}

#[test]
fn a_muted_source_is_silent_until_it_is_heard_again() {
    let desk = Desk::start(640, 480);
    let painter = desk.painter();
    let mut source = X11Source::connect(&desk.display).unwrap();
    next_update(&mut source);
    source.mute(true);
    painter.fill(0x00ff_0000, (0, 0), (10, 10));
    while source.wait(Some(now())).unwrap() == Event::Cursor {}
    assert_eq!(source.wait(Some(now())).unwrap(), Event::TimedOut);
    source.mute(false);
    assert_eq!(next_update(&mut source).areas.len(), 1);
}

#[test]
fn a_server_that_dies_is_told_as_gone() {
    let desk = Desk::start(640, 480);
    let mut source = X11Source::connect(&desk.display).unwrap();
    next_update(&mut source);
    drop(desk);
    let error = loop {
        match source.wait(Some(soon())) {
            Ok(Event::TimedOut) => panic!("nobody noticed"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, CaptureError::Gone(_)), "{error:?}");
    let error = X11Source::connect(":4077").unwrap_err();
    assert!(matches!(error, CaptureError::Unreachable { .. }), "{error:?}");
}

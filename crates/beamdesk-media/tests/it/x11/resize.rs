//! The size of the screen, changed by us and by others.

use beamdesk_media::{CaptureError, Encoder, Event, FrameSource, Picture, PictureSize, X11Source};
use x11rb::protocol::randr::ConnectionExt as _;

use super::desk::{Desk, soon};
use crate::viewer::{Pair, UNLIMITED};

fn size(width: u16, height: u16) -> PictureSize {
    PictureSize::new(width, height).unwrap()
}

#[test]
fn the_screen_takes_any_size_up_to_its_largest() {
    let desk = Desk::start(3840, 2160);
    let painter = desk.painter();
    let mut source = X11Source::connect(&desk.display).unwrap();
    assert_eq!((source.size(), source.size_max()), (size(3840, 2160), size(3840, 2160)));
    let mut pair = Pair::new(source.size(), 64);
    for asked in [
        size(1920, 1080),
        size(1919, 1077),
        size(64, 2160),
        size(3840, 64),
        size(3840, 2160),
        size(1280, 720),
        size(1280, 720),
    ] {
        assert_eq!(source.resize(asked).unwrap(), asked);
        pair.decoder.resize(asked);
        pair.encoder.restart(asked);
        painter.fill(0x00aa_bbcc, (10, 10), (50, 50));
        pair.follow(&mut source, UNLIMITED);
        let (width, height, pixels) = painter.look();
        assert_eq!(size(width, height), asked);
        let shown = Picture::from_bgrx(asked, &pixels).unwrap();
        assert_eq!(source.picture().root(), shown.root());
    }
    let resources =
        painter.connection.randr_get_screen_resources_current(painter.root).unwrap().reply();
    assert!(resources.unwrap().modes.len() <= 3, "modes of old sizes do not pile up");
}

#[test]
fn a_size_out_of_bounds_is_refused_and_changes_nothing() {
    let desk = Desk::start(800, 600);
    let mut source = X11Source::connect(&desk.display).unwrap();
    for asked in [size(801, 600), size(800, 601), PictureSize::clamped(100_000, 100_000)] {
        let refused = source.resize(asked);
        assert!(matches!(refused, Err(CaptureError::Size { max }) if max == size(800, 600)));
        assert_eq!(source.size(), size(800, 600));
    }
    source.capture().unwrap().expect("the picture can still be had");
}

#[test]
fn a_size_that_somebody_else_sets_is_noticed() {
    let desk = Desk::start(800, 600);
    let mut other = X11Source::connect(&desk.display).unwrap();
    let mut source = X11Source::connect(&desk.display).unwrap();
    source.capture().unwrap();
    other.resize(size(700, 500)).unwrap();
    loop {
        match source.wait(Some(soon())).unwrap() {
            Event::Resized => break,
            Event::Changed => {
                source.capture().unwrap();
            }
            Event::Cursor => {}
            event @ (Event::Woken | Event::TimedOut) => panic!("{event:?}"),
        }
    }
    assert_eq!(source.size(), size(700, 500));
    let update = source.capture().unwrap().unwrap();
    assert_eq!(update.areas.len(), usize::from(size(700, 500).grid().count()));
}

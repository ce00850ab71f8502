//! Keys and pointer, as a program on the desktop sees them.

use beamdesk_media::{
    CaptureError, CursorImage, Event as SourceEvent, FrameSource, InputSink, LAYOUTS, X11Input,
    X11Source,
};
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    ConnectionExt as _, CreateWindowAux, EventMask, InputFocus, WindowClass,
};

use super::desk::{Desk, Painter, soon};

/// A window over the whole screen that has the keyboard.
fn listener(desk: &Desk) -> Painter {
    let painter = desk.painter();
    let window = painter.connection.generate_id().unwrap();
    let mask = EventMask::KEY_PRESS
        | EventMask::KEY_RELEASE
        | EventMask::BUTTON_PRESS
        | EventMask::BUTTON_RELEASE
        | EventMask::POINTER_MOTION
        | EventMask::EXPOSURE;
    let aux = CreateWindowAux::new().event_mask(mask).override_redirect(1);
    painter
        .connection
        .create_window(
            0,
            window,
            painter.root,
            0,
            0,
            800,
            600,
            0,
            WindowClass::INPUT_OUTPUT,
            0,
            &aux,
        )
        .unwrap();
    painter.connection.map_window(window).unwrap();
    painter.event(|event| matches!(event, Event::Expose(_)).then_some(()));
    let focus = InputFocus::POINTER_ROOT;
    painter.connection.set_input_focus(focus, window, x11rb::CURRENT_TIME).unwrap();
    painter.sync();
    painter
}

/// The next key or button: its number and whether it went down.
fn pressed(painter: &Painter) -> (u8, bool) {
    painter.event(|event| match event {
        Event::KeyPress(key) => Some((key.detail, true)),
        Event::KeyRelease(key) => Some((key.detail, false)),
        Event::ButtonPress(button) => Some((button.detail, true)),
        Event::ButtonRelease(button) => Some((button.detail, false)),
        _ => None,
    })
}

#[test]
fn keys_arrive_by_their_place_on_the_keyboard() {
    let desk = Desk::start(800, 600);
    let painter = listener(&desk);
    let mut input = X11Input::connect(&desk.display).unwrap();
    for (code, keycode) in
        [("KeyA", 38), ("Digit1", 10), ("ArrowUp", 111), ("F12", 96), ("Space", 65)]
    {
        input.key(code, true).unwrap();
        input.key(code, true).unwrap();
        input.key(code, false).unwrap();
        input.key(code, false).unwrap();
        assert_eq!(pressed(&painter), (keycode, true), "{code}");
        assert_eq!(pressed(&painter), (keycode, false), "{code}");
    }
    input.key("NoSuchKey", true).unwrap();
    input.key("Enter", true).unwrap();
    assert_eq!(pressed(&painter), (36, true));
}

#[test]
fn nothing_stays_held_after_release_all() {
    let desk = Desk::start(800, 600);
    let painter = listener(&desk);
    let mut input = X11Input::connect(&desk.display).unwrap();
    input.key("ShiftLeft", true).unwrap();
    input.key("KeyQ", true).unwrap();
    input.button(0, true).unwrap();
    input.release_all().unwrap();
    input.release_all().unwrap();
    let seen: Vec<_> = (0..6).map(|_| pressed(&painter)).collect();
    assert_eq!(seen, [(50, true), (24, true), (1, true), (24, false), (50, false), (1, false)]);
    let held = painter.connection.query_keymap().unwrap().reply().unwrap().keys;
    assert_eq!(held, [0; 32]);
}

#[test]
fn the_pointer_goes_where_it_is_told() {
    let desk = Desk::start(800, 600);
    let painter = listener(&desk);
    let mut input = X11Input::connect(&desk.display).unwrap();
    for place in [(10, 20), (799, 599), (0, 0)] {
        input.pointer(place.0, place.1).unwrap();
        let place = (place.0.cast_signed(), place.1.cast_signed());
        painter.event(|event| match event {
            Event::MotionNotify(event) => ((event.root_x, event.root_y) == place).then_some(()),
            _ => None,
        });
    }
    for (button, number) in [(0, 1), (1, 2), (2, 3), (3, 8), (4, 9)] {
        input.button(button, true).unwrap();
        input.button(button, false).unwrap();
        assert_eq!(pressed(&painter), (number, true));
        assert_eq!(pressed(&painter), (number, false));
    }
    input.button(99, true).unwrap();
    input.button(0, true).unwrap();
    assert_eq!(pressed(&painter), (1, true));
}

#[test]
fn fractions_of_the_wheel_add_up() {
    let desk = Desk::start(800, 600);
    let painter = listener(&desk);
    let mut input = X11Input::connect(&desk.display).unwrap();
    for _ in 0..4 {
        input.wheel(0.0, 0.25).unwrap();
    }
    input.wheel(-1.0, -2.0).unwrap();
    input.wheel(f32::NAN, f32::INFINITY).unwrap();
    input.wheel(1.0, 0.0).unwrap();
    let seen: Vec<_> =
        (0..5).map(|_| pressed(&painter)).filter(|&(_, down)| down).map(|(n, _)| n).collect();
    let rest: Vec<_> =
        (0..5).map(|_| pressed(&painter)).filter(|&(_, down)| down).map(|(n, _)| n).collect();
    assert_eq!([seen, rest].concat(), [5, 6, 4, 4, 7]);
}

#[test]
fn every_layout_can_be_had_and_stays_when_keys_are_pressed() {
    let desk = Desk::start(800, 600);
    let painter = listener(&desk);
    let mut input = X11Input::connect(&desk.display).unwrap();
    let key_y = || {
        let mapping = painter.connection.get_keyboard_mapping(29, 1).unwrap().reply().unwrap();
        mapping.keysyms[0]
    };
    for layout in LAYOUTS {
        input.layout(layout).unwrap();
    }
    for (layout, keysym) in [("us", 'y'), ("de", 'z'), ("ru", '\u{6ce}'), ("us", 'y')] {
        input.layout(layout).unwrap();
        input.key("KeyY", true).unwrap();
        input.key("KeyY", false).unwrap();
        assert_eq!(pressed(&painter), (29, true));
        assert_eq!(pressed(&painter), (29, false));
        assert_eq!(key_y(), u32::from(keysym), "{layout}");
    }
    let refused = input.layout("us -print; true");
    assert!(matches!(refused, Err(CaptureError::Layout(_))));
}

#[test]
fn the_pointer_has_a_picture_of_its_own() {
    let desk = Desk::start(800, 600);
    let painter = desk.painter();
    painter.fill(0x0040_8060, (0, 0), (800, 600));
    let mut source = X11Source::connect(&desk.display).unwrap();
    assert_eq!(source.wait(Some(soon())).unwrap(), SourceEvent::Cursor);
    let cursor = source.cursor().unwrap();
    assert_ne!(cursor, CursorImage::default());
    assert_eq!(cursor.rgba().len(), usize::from(cursor.width()) * usize::from(cursor.height()) * 4);

    // The picture does not have the pointer in it.
    X11Input::connect(&desk.display).unwrap().pointer(400, 300).unwrap();
    source.sweep();
    source.capture().unwrap();
    assert!(
        source.picture().pixels().chunks_exact(4).all(|pixel| pixel == [0x60, 0x80, 0x40, 255])
    );
}

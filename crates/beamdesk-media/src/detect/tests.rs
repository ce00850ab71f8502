//! What the detector must find, and must not.

use proptest::prelude::*;

use super::*;

/// More than a run wide, and not a whole number of tiles.
fn size() -> PictureSize {
    PictureSize::new(1100, 700).unwrap()
}

/// What a screen may do between two captures.
#[derive(Debug, Clone)]
enum Drawn {
    Rect { x: u16, y: u16, width: u16, height: u16, colour: u8 },
    Scroll { x: u16, y: u16, width: u16, height: u16, by: u16 },
    Noise { seed: u8 },
    Nothing,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let rect = || (0..900_u16, 0..600_u16, 1..1000_u16, 1..700_u16);
    prop_oneof![
        4 => (rect(), any::<u8>()).prop_map(|((x, y, width, height), colour)| {
            Drawn::Rect { x, y, width, height, colour }
        }),
        3 => (rect(), 1..60_u16).prop_map(|((x, y, width, height), by)| {
            Drawn::Scroll { x, y, width, height, by }
        }),
        2 => any::<u8>().prop_map(|seed| Drawn::Noise { seed }),
        1 => Just(Drawn::Nothing),
    ]
}

fn draw(screen: &mut Pixels, drawn: &Drawn) {
    match *drawn {
        Drawn::Rect { x, y, width, height, colour } => {
            let rect = Rect { x, y, width, height }.clipped(screen.size());
            for row in 0..rect.height.into() {
                screen.row_mut(rect, row).fill(colour);
            }
        }
        Drawn::Scroll { x, y, width, height, by } => {
            let rect = Rect { x, y, width, height }.clipped(screen.size());
            if rect.height > by {
                let to = Rect { height: rect.height - by, ..rect };
                screen.move_within(CopyRect { from_x: to.x, from_y: to.y + by, to });
            }
        }
        Drawn::Noise { seed } => {
            let mut state = u32::from(seed);
            for pixel in screen.pixels_mut() {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                pixel.fill(state.to_be_bytes()[0]);
            }
        }
        Drawn::Nothing => {}
    }
}

fn take(detector: &mut Detector, screen: &Pixels) -> Option<Update> {
    let tiles = 0..screen.size().grid().count();
    detector.take_in(tiles, |rect, y, row| row.copy_from_slice(screen.row(rect, y)))
}

/// What an update makes of the picture before it; areas come from the new picture.
fn follow(held: &mut Pixels, update: &Update, picture: &Picture) {
    if let Some(copy) = update.copy {
        held.move_within(copy);
    }
    for &(tile, area) in &update.areas {
        held.copy_from(picture.raw(), held.size().grid().place(tile, area));
    }
}

fn as_shown(screen: &Pixels) -> Picture {
    Picture::from_bgrx(screen.size(), screen.bytes()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn updates_lead_from_picture_to_picture_whatever_is_looked_at(
        steps in prop::collection::vec(prop::collection::vec(drawn(), 1..3), 1..8),
    ) {
        let mut screen = Pixels::black(size());
        let mut detector = Detector::new(size());
        let mut held = Pixels::black(size());
        for step in steps {
            for drawn in &step {
                draw(&mut screen, drawn);
            }
            if let Some(update) = take(&mut detector, &screen) {
                follow(&mut held, &update, detector.picture());
            }
            let shown = as_shown(&screen);
            prop_assert!(detector.picture().pixels() == shown.pixels());
            prop_assert!(held.bytes() == shown.pixels(), "an update left something out");
            prop_assert_eq!(detector.picture().root(), shown.root());
            prop_assert_eq!(take(&mut detector, &screen), None);
        }
    }
}

#[test]
fn a_small_change_after_a_large_one_is_found_small() {
    let mut screen = Pixels::black(size());
    let mut detector = Detector::new(size());
    take(&mut detector, &screen);
    draw(&mut screen, &Drawn::Noise { seed: 1 });
    take(&mut detector, &screen);
    screen.row_mut(Rect { x: 70, y: 70, width: 1, height: 1 }, 0).fill(0);
    let update = take(&mut detector, &screen).unwrap();
    assert_eq!(update.areas, [(19, Area { x: 6, y: 6, width: 1, height: 1 })]);
    assert_eq!(take(&mut detector, &screen), None);
}

#[test]
fn a_scroll_of_what_just_changed_is_found() {
    let mut screen = Pixels::black(size());
    let mut detector = Detector::new(size());
    take(&mut detector, &screen);
    for seed in 1..4 {
        draw(&mut screen, &Drawn::Noise { seed });
        take(&mut detector, &screen);
        draw(&mut screen, &Drawn::Scroll { x: 0, y: 0, width: 1100, height: 700, by: 24 });
        let update = take(&mut detector, &screen).unwrap();
        // The last 24 rows stayed as they are, and nothing is copied from what did not change.
        let to = Rect { x: 0, y: 0, width: 1100, height: 652 };
        assert_eq!(update.copy, Some(CopyRect { from_x: 0, from_y: 24, to }));
        let grid = size().grid();
        assert!(update.areas.iter().all(|&(tile, area)| grid.place(tile, area).y >= 652));
    }
}

//! Frames that go ahead of one in the making: whatever comes when, the viewer holds what it should.

use std::time::Duration;

use beamdesk_media::{Area, Encoder, FrameHead, Picture, PictureSize, Portion, Update};
use proptest::prelude::*;

use crate::viewer::{Pair, UNLIMITED, assert_same, show};

fn size() -> PictureSize {
    PictureSize::new(640, 400).unwrap()
}

/// Pixels that are drawn on.
#[derive(Clone)]
struct Screen(Vec<u8>);

impl Screen {
    fn new() -> Self {
        Self(vec![90; 640 * 400 * 4])
    }

    /// Draws noise, or one colour, into a tile and says what changed.
    fn draw(&mut self, tile: u16, seed: u32) -> (u16, Area) {
        let rect = size().grid().rect(tile);
        let mut state = seed;
        for y in rect.y..rect.y + rect.height {
            for x in rect.x..rect.x + rect.width {
                let at = (usize::from(y) * 640 + usize::from(x)) * 4;
                if !seed.is_multiple_of(3) {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                }
                self.0[at..at + 3].fill(state.to_be_bytes()[0]);
            }
        }
        (tile, size().grid().area(tile))
    }

    fn picture(&self) -> Picture {
        Picture::from_bgrx(size(), &self.0).unwrap()
    }
}

fn head(frame: u32) -> FrameHead {
    FrameHead { frame, captured_us: 5 }
}

#[test]
fn a_small_frame_goes_ahead_of_a_large_one_in_the_making() {
    let mut screen = Screen::new();
    let mut pair = Pair::new(size(), 16);
    pair.settle(&screen.picture(), UNLIMITED);
    let areas = (0..30).map(|tile| screen.draw(tile, 7 + u32::from(tile))).collect();
    pair.note(&Update { areas, copy: None });
    let large: Vec<u16> = (0..30).collect();
    let portions = [Portion { tiles: &large, bytes: UNLIMITED }];
    let picture = screen.picture();
    let mut progress = pair.encoder.begin(head(8), &portions);
    assert!(pair.encoder.go_on(&picture, &portions, &mut progress, 10), "there is more");

    let letter = screen.draw(65, 3);
    pair.note(&Update { areas: vec![letter], copy: None });
    let picture = screen.picture();
    let mut first = Vec::new();
    let ahead = pair.encoder.encode_ahead(&picture, head(9), &[65, 3], &mut first).unwrap();
    assert_eq!(
        ahead.tiles,
        [(65, picture.tile_hash(65))],
        "nothing that has a part in the large one"
    );
    assert!(ahead.bytes < 100, "{}", ahead.bytes);

    assert!(!pair.encoder.go_on(&picture, &portions, &mut progress, 100));
    let mut second = Vec::new();
    let frame = pair.encoder.finish(&picture, head(8), &mut second).unwrap();
    assert!(frame.complete && frame.tiles.len() == 30);
    assert_eq!(show(&mut pair.decoder, &first).unwrap().tiles, ahead.tiles);
    assert_eq!(show(&mut pair.decoder, &second).unwrap().tiles, frame.tiles);
    assert_same(&picture, &pair.decoder);
}

/// One round: tiles that change as the large frame, the steps it is made in, tiles that change
/// between them, and whether video paints before it.
type Round = (Vec<u16>, usize, Vec<(u16, u32)>, bool);

fn round() -> impl Strategy<Value = Round> {
    (
        prop::collection::vec(0..70_u16, 1..50),
        1..20_usize,
        prop::collection::vec((0..70_u16, 0..9_u32), 0..6),
        any::<bool>(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_viewer_holds_the_picture_whatever_went_ahead(
        rounds in prop::collection::vec(round(), 1..8),
        slots in prop_oneof![Just(0_u16), Just(12)],
    ) {
        let mut screen = Screen::new();
        let mut pair = Pair::new(size(), slots);
        pair.settle(&screen.picture(), UNLIMITED);
        let mut frame = 100;
        for (number, (large, step, small, is_spoilt)) in (0_u32..).zip(rounds) {
            pair.pass(Duration::from_millis(300));
            if is_spoilt {
                pair.encoder.spoil(&large);
            }
            // Contents come again, so that some are kept and loaded.
            let areas = large.iter().map(|&tile| screen.draw(tile, number % 3 + u32::from(tile) % 2));
            let areas: Vec<_> = areas.collect();
            pair.note(&Update { areas, copy: None });
            let portions = [Portion { tiles: &large, bytes: UNLIMITED }];
            let mut picture = screen.picture();
            let mut small = small.into_iter();
            let mut sent = Vec::new();
            let mut progress = pair.encoder.begin(head(frame), &portions);
            while pair.encoder.go_on(&picture, &portions, &mut progress, step) {
                // As a glance does it: nothing that is still to be sent in the frame changes.
                let next = small.next().filter(|&(tile, _)| !pair.encoder.is_dirty(tile));
                let Some((tile, seed)) = next else { continue };
                let area = screen.draw(tile, seed);
                pair.note(&Update { areas: vec![area], copy: None });
                picture = screen.picture();
                frame += 1;
                let mut out = Vec::new();
                if let Some(ahead) = pair.encoder.encode_ahead(&picture, head(frame), &[tile], &mut out) {
                    prop_assert_eq!(ahead.frame, frame);
                    sent.push((ahead, out));
                }
            }
            let mut out = Vec::new();
            sent.extend(pair.encoder.finish(&picture, head(frame), &mut out).map(|one| (one, out)));
            for (frame, messages) in sent {
                let shown = show(&mut pair.decoder, &messages).unwrap();
                prop_assert_eq!(shown.tiles, frame.tiles, "what the agent thinks it holds");
            }
            frame += 1;
            pair.settle(&picture, UNLIMITED);
        }
    }
}

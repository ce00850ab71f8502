//! What the planner decides, with tiles that are only numbers and a clock that is moved by hand.

mod rules;
mod world;

use std::time::Duration;

use beamdesk_media::{PictureSize, VideoState};
use proptest::prelude::*;
use world::{World, millis};

/// What may happen to a desktop and its viewer.
#[derive(Debug, Clone)]
enum Happening {
    /// Tiles from one number on change, so many, so often, each so many milliseconds.
    Move {
        first: u16,
        count: u16,
        times: u8,
        every: u8,
    },
    Pass(u16),
    /// The encoder fails with what is in its work.
    Fail,
    /// The viewer says that it cannot decode.
    Refuse,
    Press(bool),
    Line(u32),
    Video(bool),
    Kept(u16),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => (0..600_u16, 1..400_u16, 1..20_u8, 5..60_u8)
            .prop_map(|(first, count, times, every)| Happening::Move { first, count, times, every }),
        3 => (0..600_u16).prop_map(Happening::Pass),
        1 => Just(Happening::Fail),
        1 => Just(Happening::Refuse),
        1 => any::<bool>().prop_map(Happening::Press),
        2 => (100_000..500_000_000_u32).prop_map(Happening::Line),
        1 => any::<bool>().prop_map(Happening::Video),
        1 => (0..600_u16).prop_map(Happening::Kept),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// The world itself checks each plan: no clean tile in a mask, none that is in the encoder's
    /// work sent as a tile, no chunk too large while anything moves.
    #[test]
    fn whatever_happened_all_becomes_exact_in_time(
        happenings in prop::collection::vec(happening(), 1..25),
    ) {
        let mut world = World::new(PictureSize::new(1920, 1080).unwrap());
        for happening in happenings {
            match happening {
                Happening::Move { first, count, times, every } => {
                    let tiles: Vec<u16> = (first..first + count).collect();
                    for _ in 0..times {
                        world.change(&tiles);
                        world.run(millis(every.into()));
                    }
                }
                Happening::Pass(time) => world.run(millis(time.into())),
                Happening::Fail => world.fail(),
                Happening::Refuse => world.refuse(),
                Happening::Press(down) => world.planner.press(down),
                Happening::Line(rate) => world.line = Some(rate.into()),
                Happening::Video(on) => {
                    world.video = if on { VideoState::Ready } else { VideoState::Off };
                }
                Happening::Kept(tile) => {
                    world.tiles.kept.insert(tile);
                }
            }
        }
        world.line = Some(100_000_000);
        world.planner.press(false);
        // Rest, then all of the picture at the line's rate.
        world.run(millis(250) + Duration::from_millis(400));
        prop_assert!(world.is_exact(), "{} tiles are not", world.dirty());
        prop_assert_eq!(world.planner.wakes_at(), None);
    }
}

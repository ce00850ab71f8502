//! Whatever happens to the picture, the viewer's becomes the same, bit by bit.

use std::time::Duration;

use beamdesk_media::{Encoder, FrameSource, PictureSize, TestPattern};
use proptest::prelude::*;

use crate::viewer::{Pair, UNLIMITED};

/// One thing that may happen.
#[derive(Debug, Clone)]
enum Happening {
    /// The picture changes so many times before it is captured.
    Draw(u8),
    /// It is captured, and the encoder hears of it.
    Capture,
    Pass(u16),
    /// One frame of so many bytes.
    Frame(usize),
    Repair(Vec<u16>),
    /// Video paints over tiles from one number on, so many.
    Spoil(u16, u16),
    /// The viewer's picture is spoiled at a place, and it says so.
    Corrupt(u16, u16),
    Resize(u16, u16),
    /// A viewer comes anew, with an empty picture, to an encoder made for it.
    Attach(u16),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => (1..4_u8).prop_map(Happening::Draw),
        8 => Just(Happening::Capture),
        3 => (0..500_u16).prop_map(Happening::Pass),
        8 => prop_oneof![Just(1), 100..5_000_usize, 5_000..100_000_usize, Just(UNLIMITED)]
            .prop_map(Happening::Frame),
        1 => prop::collection::vec(any::<u16>(), 0..4).prop_map(Happening::Repair),
        2 => (0..30_u16, 1..20_u16).prop_map(|(first, count)| Happening::Spoil(first, count)),
        1 => (0..400_u16, 0..300_u16).prop_map(|(x, y)| Happening::Corrupt(x, y)),
        1 => (64..400_u16, 64..300_u16).prop_map(|(w, h)| Happening::Resize(w, h)),
        1 => prop_oneof![Just(0), 1..8_u16, Just(400)].prop_map(Happening::Attach),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_viewer_always_becomes_exact(
        (width, height) in (64..400_u16, 64..300_u16),
        slots in prop_oneof![Just(0), 1..8_u16, Just(400)],
        happenings in prop::collection::vec(happening(), 1..60),
    ) {
        live(PictureSize::new(width, height).unwrap(), slots, happenings);
    }
}

fn live(size: PictureSize, slots: u16, happenings: Vec<Happening>) {
    let mut source = TestPattern::new(size).unwrap();
    let stepper = source.stepper();
    let mut pair = Pair::new(size, slots);
    pair.follow(&mut source, UNLIMITED);
    for happening in happenings {
        match happening {
            Happening::Draw(steps) => (0..steps).for_each(|_| stepper.step()),
            Happening::Capture => {
                if let Some(update) = source.capture().unwrap() {
                    pair.note(&update);
                }
            }
            Happening::Pass(milliseconds) => pair.pass(Duration::from_millis(milliseconds.into())),
            Happening::Frame(bytes) => {
                pair.frame(source.picture(), bytes);
            }
            Happening::Repair(tiles) => pair.encoder.repair(&tiles),
            Happening::Spoil(first, count) => {
                pair.spoil(&(first..first + count).collect::<Vec<_>>());
            }
            Happening::Corrupt(x, y) => {
                let (x, y) = (x % source.size().width(), y % source.size().height());
                pair.decoder.corrupt(x, y);
                pair.encoder.repair(&[source.size().grid().tile(x / 64, y / 64)]);
            }
            Happening::Resize(width, height) => {
                let size = source.resize(PictureSize::new(width, height).unwrap()).unwrap();
                pair.decoder.resize(size);
                pair.encoder.restart(size);
            }
            Happening::Attach(slots) => {
                pair = Pair { now: pair.now, ..Pair::new(source.size(), slots) };
            }
        }
    }
    pair.follow(&mut source, 3_000);
}

#[test]
fn two_viewers_of_one_source_do_not_mind_each_other() {
    let size = PictureSize::new(700, 500).unwrap();
    let mut source = TestPattern::new(size).unwrap();
    let (mut fast, mut slow) = (Pair::new(size, 64), Pair::new(size, 64));
    for step in 0..120 {
        source.stepper().step();
        let update = source.capture().unwrap().expect("each step draws something");
        for pair in [&mut fast, &mut slow] {
            pair.pass(Duration::from_millis(50));
            pair.note(&update);
        }
        fast.settle(source.picture(), UNLIMITED);
        if step % 17 == 0 {
            slow.frame(source.picture(), 2_000);
        }
    }
    slow.settle(source.picture(), 20_000);
}

#[test]
fn the_pattern_is_the_same_in_every_run() {
    let size = PictureSize::new(640, 480).unwrap();
    let root = |steps: u32| {
        let mut source = TestPattern::new(size).unwrap();
        (0..steps).for_each(|_| source.stepper().step());
        source.capture().unwrap();
        source.picture().root()
    };
    assert_eq!(root(25), root(25));
    assert_ne!(root(25), root(26));
}

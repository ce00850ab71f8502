//! What frames look like: how they are cut, what they cost, in which order they go.

use std::time::Duration;

use beamdesk_media::{CopyRect, Encoder, FrameSource, Picture, PictureSize, TestPattern, Update};

use crate::viewer::{Pair, UNLIMITED};

fn size() -> PictureSize {
    PictureSize::new(1280, 720).unwrap()
}

/// A picture of grey noise: hardly gets smaller by packing.
fn noise(seed: u32) -> Picture {
    let mut state = seed;
    let mut pixels = Vec::new();
    for _ in 0..1280 * 720 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let grey = state.to_be_bytes()[0];
        pixels.extend_from_slice(&[grey, grey, grey, 0]);
    }
    Picture::from_bgrx(size(), &pixels).unwrap()
}

/// White, with black rectangles.
fn page(rects: &[(usize, usize, usize, usize)]) -> Picture {
    let mut pixels = vec![255; 1280 * 720 * 4];
    for &(x, y, width, height) in rects {
        for row in y..y + height {
            let start = (row * 1280 + x) * 4;
            pixels[start..start + width * 4].fill(0);
        }
    }
    Picture::from_bgrx(size(), &pixels).unwrap()
}

fn all_tiles() -> Update {
    let grid = size().grid();
    let areas = (0..grid.count()).map(|tile| (tile, grid.area(tile))).collect();
    Update { areas, copy: None }
}

#[test]
fn a_frame_stays_near_its_budget() {
    let mut pair = Pair::new(size(), 0);
    let picture = noise(1);
    let frame = pair.frame(&picture, 100_000).unwrap();
    assert!(!frame.complete);
    assert!((80_000..180_000).contains(&frame.bytes), "{}", frame.bytes);
    let frames = pair.settle(&picture, 100_000);
    assert!((5..12).contains(&frames), "{frames}");
}

#[test]
fn the_smallest_budget_still_brings_a_tile() {
    let mut pair = Pair::new(size(), 0);
    let picture = noise(1);
    for _ in 0..5 {
        assert_eq!(pair.frame(&picture, 0).unwrap().tiles.len(), 1);
    }
}

#[test]
fn a_typed_letter_costs_few_bytes() {
    let mut pair = Pair::new(size(), 256);
    pair.settle(&page(&[]), UNLIMITED);
    pair.pass(Duration::from_secs(1));
    pair.note(&all_tiles());
    let frame = pair.frame(&page(&[(100, 100, 7, 13)]), UNLIMITED).unwrap();
    assert_eq!(frame.tiles.len(), 1);
    assert!(frame.bytes <= 60, "{}", frame.bytes);
}

#[test]
fn what_did_not_change_costs_nothing() {
    let mut pair = Pair::new(size(), 256);
    let picture = noise(3);
    pair.settle(&picture, UNLIMITED);
    pair.note(&all_tiles());
    assert!(pair.encoder.has_work());
    assert_eq!(pair.frame(&picture, UNLIMITED), None);
    assert!(!pair.encoder.has_work());
}

#[test]
fn a_change_that_is_taken_back_ends_an_unfinished_frame() {
    let mut pair = Pair::new(size(), 0);
    let (old, new) = (page(&[]), noise(4));
    pair.settle(&old, UNLIMITED);
    pair.note(&all_tiles());
    assert!(!pair.frame(&new, 1_000).unwrap().complete);
    pair.note(&all_tiles());
    pair.settle(&old, 200_000);
    // The second half of the change was never sent, and is gone.
    pair.note(&all_tiles());
    let cut = pair.frame(&new, 1_000).unwrap();
    let sent: Vec<u16> = cut.tiles.iter().map(|&(tile, _)| tile).collect();
    let mut pixels = old.pixels().to_vec();
    for tile in sent {
        let rect = size().grid().rect(tile);
        for y in rect.y..rect.y + rect.height {
            let start = (usize::from(y) * 1280 + usize::from(rect.x)) * 4;
            let bytes = usize::from(rect.width) * 4;
            pixels[start..start + bytes].copy_from_slice(&new.pixels()[start..start + bytes]);
        }
    }
    let frame = pair.frame(&Picture::from_bgrx(size(), &pixels).unwrap(), UNLIMITED).unwrap();
    assert!(frame.complete && frame.tiles.is_empty() && frame.bytes < 40, "{frame:?}");
}

#[test]
fn a_window_that_comes_back_is_loaded() {
    let mut pair = Pair::new(size(), 1024);
    let (first, second) = (noise(5), noise(6));
    pair.settle(&first, UNLIMITED);
    for round in 0..4 {
        for picture in [&second, &first] {
            pair.pass(Duration::from_secs(1));
            pair.note(&all_tiles());
            pair.bytes = 0;
            pair.settle(picture, UNLIMITED);
            assert!(round == 0 || pair.bytes < 3_000, "round {round}: {} bytes", pair.bytes);
        }
    }
}

#[test]
fn a_picture_in_motion_is_not_kept() {
    let mut pair = Pair::new(size(), 1024);
    pair.settle(&noise(7), UNLIMITED);
    pair.note(&all_tiles());
    pair.settle(&noise(8), UNLIMITED);
    for seed in [9, 8, 9] {
        pair.pass(Duration::from_millis(50));
        pair.note(&all_tiles());
        pair.bytes = 0;
        pair.settle(&noise(seed), UNLIMITED);
        assert!(pair.bytes > 700_000, "{}", pair.bytes);
    }
}

#[test]
fn a_scroll_is_sent_as_a_copy() {
    let size = size();
    let mut source = TestPattern::new(size).unwrap();
    let mut pair = Pair::new(size, 0);
    pair.follow(&mut source, UNLIMITED);
    let mut copies = 0;
    for _ in 0..100 {
        source.stepper().step();
        let update = source.capture().unwrap().unwrap();
        copies += u32::from(update.copy.is_some());
        pair.note(&update);
        pair.settle(source.picture(), UNLIMITED);
    }
    assert!(copies >= 3, "{copies}");
}

#[test]
fn a_repaired_tile_is_sent_whole_and_nothing_is_loaded() {
    let mut pair = Pair::new(size(), 1024);
    let picture = noise(9);
    pair.settle(&picture, UNLIMITED);
    pair.decoder.corrupt(70, 70);
    let tile = size().grid().tile(1, 1);
    pair.encoder.repair(&[tile, u16::MAX]);
    let frame = pair.frame(&picture, UNLIMITED).unwrap();
    assert_eq!(frame.tiles, [(tile, picture.tile_hash(tile))]);
    assert!(frame.bytes > 4_000, "{}", frame.bytes);
}

#[test]
fn a_tile_painted_by_video_is_next_sent_whole() {
    let mut pair = Pair::new(size(), 0);
    let picture = noise(9);
    pair.settle(&picture, UNLIMITED);
    let tile = size().grid().tile(1, 1);
    pair.spoil(&[tile, u16::MAX]);
    assert!(pair.encoder.is_dirty(tile));
    let frame = pair.frame(&picture, UNLIMITED).unwrap();
    assert_eq!(frame.tiles, [(tile, picture.tile_hash(tile))]);
    assert!(frame.bytes > 4_000, "{}", frame.bytes);
}

#[test]
fn what_video_paints_over_is_put_aside_and_loaded_later() {
    let mut pair = Pair::new(size(), 1024);
    let (first, second) = (noise(5), noise(6));
    let all: Vec<u16> = (0..first.tiles_count()).collect();
    pair.settle(&first, UNLIMITED);
    for picture in [&second, &first, &second] {
        pair.pass(Duration::from_secs(1));
        pair.note(&all_tiles());
        pair.spoil(&all);
        pair.bytes = 0;
        pair.settle(picture, UNLIMITED);
    }
    assert!(pair.bytes < 5_000, "{}", pair.bytes);
}

#[test]
fn a_new_size_forgets_what_was_to_be_put_aside() {
    let mut pair = Pair::new(size(), 1024);
    let first = noise(5);
    let all: Vec<u16> = (0..first.tiles_count()).collect();
    pair.settle(&first, UNLIMITED);
    pair.pass(Duration::from_secs(1));
    pair.note(&all_tiles());
    pair.spoil(&all);
    pair.encoder.restart(size());
    pair.decoder.resize(size());
    pair.settle(&noise(6), UNLIMITED);
    pair.note(&all_tiles());
    pair.settle(&first, UNLIMITED);
}

#[test]
fn a_scroll_beside_video_is_still_a_copy_where_it_can_be() {
    let mut pair = Pair::new(size(), 0);
    let before = noise(7);
    pair.settle(&before, UNLIMITED);
    // All rows move up by 16, and the last ones are new.
    let row = 1280 * 4;
    let mut pixels = before.pixels()[16 * row..].to_vec();
    pixels.extend_from_slice(&noise(8).pixels()[..16 * row]);
    let after = Picture::from_bgrx(size(), &pixels).unwrap();
    pair.spoil(&[size().grid().tile(9, 0)]);
    let to = beamdesk_media::Rect { x: 0, y: 0, width: 1280, height: 704 };
    let grid = size().grid();
    let uncovered = (0..20).map(|column| grid.tile(column, 10).max(grid.tile(column, 11)));
    let areas = uncovered.map(|tile| (tile, grid.area(tile))).collect();
    pair.note(&Update { areas, copy: Some(CopyRect { from_x: 0, from_y: 16, to }) });
    pair.bytes = 0;
    pair.settle(&after, UNLIMITED);
    // Two of twelve rows of tiles are sent, not all.
    assert!(pair.bytes < 300_000, "{}", pair.bytes);
}

#[test]
fn every_kind_of_content_comes_through() {
    // A colour for each place, from plain over palettes of each width to noise, in grey and not.
    let grey = |value: u32| value % 256 * 0x01_0101;
    let kinds: [&dyn Fn(u32, u32) -> u32; 12] = [
        &|_, _| 0x12_3456,
        &|x, _| if x % 3 == 0 { 0xff_ffff } else { 0 },
        &|x, y| (x + y) % 3 * 0x40_1020,
        &|x, y| (x + y) % 4 * 0x40_1020,
        &|x, y| (x * y) % 5 * 0x10_2030,
        &|x, y| (x * 7 + y) % 16 * 0x0a_0b0c,
        &|x, y| (x * 7 + y) % 17 * 0x0a_0b0c,
        &|x, y| grey(x * x * 31 + y * y * 17),
        &|x, y| grey(x / 8 * 11 + y * 3),
        &|x, y| (x / 8 * 0x03_0507 + y * 0x01_0002) & 0xff_ffff,
        &|x, y| x.wrapping_mul(0x01_0305).wrapping_add((y * y).wrapping_mul(0x07_0102)) & 0xff_ffff,
        &|x, y| (x * 7919 + y).wrapping_mul(2_654_435_761) >> 8,
    ];
    for (width, height) in [(64, 64), (70, 67), (127, 65), (129, 200)] {
        let size = PictureSize::new(width, height).unwrap();
        let mut pair = Pair::new(size, 16);
        for kind in &kinds {
            let pixel = |n: u32| kind(n % u32::from(width), n / u32::from(width)).to_le_bytes();
            let pixels: Vec<u8> =
                (0..u32::from(width) * u32::from(height)).flat_map(pixel).collect();
            let picture = Picture::from_bgrx(size, &pixels).unwrap();
            let grid = size.grid();
            let areas = (0..grid.count()).map(|tile| (tile, grid.area(tile))).collect();
            pair.note(&Update { areas, copy: None });
            pair.settle(&picture, UNLIMITED);
        }
    }
}

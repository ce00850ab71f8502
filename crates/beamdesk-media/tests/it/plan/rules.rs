//! Each rule by itself.

use std::time::Duration;

use beamdesk_media::{Area, PictureSize, Rect, TileCost, VideoState};
use beamdesk_proto::control::Quality;

use super::world::{World, millis};

/// 30 columns, 17 rows.
fn screen() -> World {
    World::new(PictureSize::new(1920, 1080).unwrap())
}

fn tile(column: u16, row: u16) -> u16 {
    row * 30 + column
}

fn window(left: u16, top: u16, columns: u16, rows: u16) -> Vec<u16> {
    (top..top + rows)
        .flat_map(|row| (left..left + columns).map(move |column| tile(column, row)))
        .collect()
}

/// A shaded view in colour: dear as tiles.
fn shaded() -> World {
    let mut world = screen();
    world.tiles.cost = TileCost { raw: 12_000, bytes: 5_000, encode: Duration::from_micros(47) };
    world.show = Duration::from_micros(100);
    world
}

/// Sixty pictures a second for a time.
fn play(world: &mut World, tiles: &[u16], time: Duration) {
    let end = world.now + time;
    while world.now < end {
        world.change(tiles);
        world.run(Duration::from_micros(16_667));
    }
}

const VIEW: (u16, u16, u16, u16) = (3, 2, 23, 14);

fn view() -> Vec<u16> {
    let (left, top, columns, rows) = VIEW;
    window(left, top, columns, rows)
}

#[test]
fn a_small_change_goes_at_once_as_a_tile() {
    let mut world = shaded();
    world.line = Some(100_000);
    world.change(&[tile(5, 5)]);
    assert_eq!(world.looked().fresh, [tile(5, 5)]);
    assert!(world.is_exact());
}

#[test]
fn a_few_tiles_that_never_rest_never_become_video() {
    let mut world = shaded();
    world.line = Some(100_000);
    play(&mut world, &window(4, 4, 3, 2), millis(2000));
    assert!(world.looked().shots.is_empty());
}

#[test]
fn a_shaded_view_that_turns_becomes_video_in_its_own_rectangle() {
    let mut world = shaded();
    play(&mut world, &view(), millis(1000));
    let log = world.looked();
    assert!(log.shots.len() > 50, "{} pictures", log.shots.len());
    let (left, top, columns, rows) = VIEW;
    let (x, y) = (left * 64, top * 64);
    for shot in &log.shots {
        let rect = Rect { x, y, width: columns * 64, height: rows * 64 };
        assert_eq!(shot.region, rect);
        assert_eq!(shot.tiles.len(), 23 * 14);
    }
}

#[test]
fn noise_stays_exact_where_line_and_machines_keep_up() {
    let mut world = screen();
    play(&mut world, &window(4, 1, 16, 15), millis(3000));
    let log = world.looked();
    assert!(log.shots.is_empty());
    assert!(log.fresh.len() > 170 * 240, "{}", log.fresh.len());
}

#[test]
fn noise_becomes_video_where_the_line_is_slow() {
    let mut world = screen();
    world.line = Some(2_500_000);
    play(&mut world, &window(4, 1, 16, 15), millis(1000));
    assert!(world.looked().shots.len() > 40);
}

#[test]
fn noise_becomes_video_where_the_browser_is_slow_and_paints_video_faster() {
    let mut world = screen();
    world.show = Duration::from_micros(150);
    play(&mut world, &window(4, 1, 16, 15), millis(1000));
    assert!(world.looked().shots.len() > 40);
}

#[test]
fn what_video_would_not_make_faster_stays_exact() {
    let mut world = screen();
    // The browser takes twenty milliseconds for the picture as tiles, the encoder more.
    world.show = Duration::from_micros(85);
    world.encode = millis(25);
    play(&mut world, &window(4, 1, 16, 15), millis(3000));
    world.looked();
    play(&mut world, &window(4, 1, 16, 15), millis(1000));
    let log = world.looked();
    assert!(log.fresh.len() > 10 * 240, "{} tiles, {} shots", log.fresh.len(), log.shots.len());
}

#[test]
fn a_line_just_too_slow_is_no_reason_for_video_that_is_slower_still() {
    let mut world = screen();
    let noise = window(4, 1, 16, 15);
    world.line = Some(2_500_000);
    world.encode = millis(60);
    play(&mut world, &noise, millis(1000));
    world.looked();
    // The encoder was seen to take sixty milliseconds, the line takes twenty.
    world.line = Some(32_000_000);
    play(&mut world, &noise, millis(2000));
    world.looked();
    play(&mut world, &noise, millis(1000));
    assert!(world.looked().shots.is_empty());
}

#[test]
fn one_large_change_is_exact_at_once_on_a_fast_line() {
    let mut world = shaded();
    world.change(&view());
    world.run(millis(50));
    assert!(world.is_exact());
    assert!(world.looked().shots.is_empty());
}

#[test]
fn one_large_change_is_shown_as_video_first_on_a_slow_line() {
    let mut world = shaded();
    world.line = Some(2_500_000);
    world.change(&view());
    let log = world.looked();
    assert_eq!((log.shots.len(), log.fresh.len()), (1, 0));
    world.run(millis(1500));
    assert!(world.is_exact());
    assert_eq!(world.looked().refined.len(), view().len());
}

#[test]
fn the_first_picture_is_never_video() {
    let mut world = shaded();
    world.line = Some(100_000);
    world.tiles.dirty.extend(0..510);
    world.run(millis(200));
    let log = world.looked();
    assert!(log.shots.is_empty() && !log.fresh.is_empty());
}

#[test]
fn what_the_viewer_has_put_aside_is_not_video() {
    let mut world = shaded();
    world.line = Some(100_000);
    world.tiles.kept.extend(view());
    world.change(&view());
    assert!(world.is_exact());
    assert!(world.looked().shots.is_empty());
}

#[test]
fn what_a_scroll_uncovers_is_tiles_even_on_a_slow_line() {
    let mut world = shaded();
    world.line = Some(1_000_000);
    let page = Rect { x: 0, y: 0, width: 1920, height: 960 };
    for _ in 0..60 {
        world.scroll(page, 64, &window(0, 15, 30, 1));
        world.run(Duration::from_micros(16_667));
    }
    world.run(millis(300));
    assert!(world.is_exact());
    assert!(world.looked().shots.is_empty());
    // A few rows that are found elsewhere do not keep a movie from being one.
    let strip = Rect { height: 64, ..page };
    for _ in 0..60 {
        world.scroll(strip, 64, &view());
        world.run(Duration::from_micros(16_667));
    }
    assert!(world.looked().shots.len() > 30);
}

#[test]
fn without_a_decoder_all_is_tiles() {
    let mut world = shaded();
    world.video = VideoState::Off;
    world.line = Some(2_500_000);
    play(&mut world, &view(), millis(500));
    let log = world.looked();
    assert!(log.shots.is_empty() && log.fresh.len() > 100);
}

#[test]
fn what_rests_is_exact_within_a_tenth_of_a_second() {
    let mut world = shaded();
    play(&mut world, &view(), millis(1000));
    assert!(!world.is_exact());
    world.run(millis(100));
    assert!(world.is_exact(), "{} tiles are not", world.dirty());
}

#[test]
fn a_tile_that_rests_within_the_video_is_made_exact_while_the_rest_moves_on() {
    let mut world = shaded();
    play(&mut world, &view(), millis(500));
    // The upper half stops.
    let lower = window(3, 9, 23, 7);
    world.looked();
    play(&mut world, &lower, millis(1500));
    let log = world.looked();
    let upper = window(3, 2, 23, 7);
    assert!(upper.iter().all(|tile| log.refined.contains(tile)));
    assert!(upper.iter().all(|tile| !world.tiles.dirty.contains(tile)));
    let last = log.shots.last().unwrap();
    assert!(last.tiles.iter().all(|tile| lower.contains(tile)), "the mask is what moves");
    assert!(log.shots.len() > 80, "and it is not held up: {}", log.shots.len());
}

#[test]
fn refinement_beside_motion_comes_in_small_chunks() {
    let mut world = shaded();
    world.line = Some(1_000_000);
    play(&mut world, &view(), millis(500));
    world.looked();
    play(&mut world, &window(3, 9, 23, 7), millis(1000));
    let log = world.looked();
    assert!(!log.refined.is_empty());
    assert!(log.chunk <= (32 << 10) + 5_000, "{}", log.chunk);
}

#[test]
fn a_blinking_cursor_delays_nothing() {
    let mut world = shaded();
    play(&mut world, &view(), millis(500));
    for _ in 0..10 {
        world.change(&[tile(0, 16)]);
        world.run(millis(30));
    }
    assert!(world.is_exact(), "{} tiles are not", world.dirty());
}

#[test]
fn a_small_change_beside_video_goes_at_once() {
    let mut world = shaded();
    play(&mut world, &view(), millis(500));
    world.looked();
    world.change(&[tile(0, 16)]);
    assert_eq!(world.looked().fresh, [tile(0, 16)]);
}

/// A part of a row of tiles, this much below its upper edge, 16 pixels high.
fn line_of(tiles: &[u16], y: u8) -> Vec<(u16, Area)> {
    let area = Area { x: 0, y, width: 64, height: 16 };
    tiles.iter().map(|&tile| (tile, area)).collect()
}

#[test]
fn a_small_change_goes_ahead_of_a_large_one_of_the_same_moment() {
    let mut world = screen();
    let movie: Vec<(u16, Area)> = window(0, 0, 16, 15)
        .into_iter()
        .map(|tile| (tile, Area { x: 0, y: 0, width: 64, height: 64 }))
        .collect();
    let line = window(0, 16, 8, 1);
    for _ in 0..10 {
        world.change_areas(&[movie.clone(), line_of(&line, 10)].concat());
        world.run(millis(33));
        let log = world.looked();
        assert_eq!(log.ahead, line);
        assert_eq!(log.fresh.len(), 248);
    }
}

#[test]
fn what_is_a_part_of_the_large_change_does_not_go_ahead_of_it() {
    let mut world = screen();
    let movie = window(0, 0, 16, 15);
    for y in [0, 40] {
        // The row of tiles below the movie changes too: at its edge, and further away.
        let movie = movie.iter().map(|&tile| (tile, Area { x: 0, y: 0, width: 64, height: 64 }));
        let all: Vec<_> = movie.chain(line_of(&window(0, 15, 8, 1), y)).collect();
        world.change_areas(&all);
        world.run(millis(33));
        assert_eq!(world.looked().ahead.len(), if y == 0 { 0 } else { 8 });
    }
    // A scroll and what it uncovers are one.
    let page = Rect { x: 0, y: 0, width: 1920, height: 960 };
    world.scroll(page, 64, &[window(0, 15, 30, 1), vec![tile(29, 3)]].concat());
    assert!(world.looked().ahead.is_empty());
    // Small changes alone are an ordinary frame.
    world.change(&[tile(3, 3), tile(9, 9)]);
    let log = world.looked();
    assert!(log.ahead.is_empty() && log.fresh.len() == 2);
}

#[test]
fn refinement_waits_while_a_button_is_down_but_not_for_ever() {
    let mut world = shaded();
    play(&mut world, &view(), millis(500));
    world.planner.press(true);
    world.run(millis(800));
    assert!(world.looked().refined.is_empty());
    assert!(world.planner.wakes_at().is_some());
    world.run(millis(400));
    assert!(world.is_exact());
    play(&mut world, &view(), millis(500));
    world.run(millis(200));
    world.planner.press(false);
    world.run(millis(100));
    assert!(world.is_exact());
}

#[test]
fn what_is_marked_is_refined_first_and_is_not_held_back() {
    let mut world = shaded();
    world.planner.mark(vec![Rect { x: 20 * 64, y: 10 * 64, width: 128, height: 64 }]);
    world.planner.point((4 * 64, 3 * 64));
    play(&mut world, &view(), millis(500));
    world.planner.press(true);
    world.looked();
    world.run(millis(300));
    let mut refined = world.looked().refined;
    refined.sort_unstable();
    assert_eq!(refined, [tile(20, 10), tile(21, 10)]);
    world.planner.press(false);
    world.line = Some(1_000_000);
    world.run(millis(5));
    let nearest = world.looked().refined;
    assert!(nearest.len() < 40 && nearest.contains(&tile(4, 3)), "{nearest:?}");
}

#[test]
fn a_mark_beyond_the_picture_marks_nothing() {
    let mut world = shaded();
    let everything = Rect { x: u16::MAX, y: u16::MAX, width: u16::MAX, height: u16::MAX };
    world.planner.mark(vec![everything, Rect { x: 1900, ..everything }]);
    play(&mut world, &view(), millis(300));
    world.run(millis(300));
    assert!(world.is_exact());
}

#[test]
fn video_that_tiles_could_carry_becomes_tiles_and_does_not_flap() {
    let mut world = screen();
    let tiles = window(4, 1, 16, 15);
    world.line = Some(2_500_000);
    play(&mut world, &tiles, millis(1000));
    // The line is fast again.
    world.line = Some(100_000_000);
    play(&mut world, &tiles, millis(1500));
    world.looked();
    play(&mut world, &tiles, millis(500));
    let log = world.looked();
    assert!(log.shots.is_empty() && log.fresh.len() > 25 * 240);
    // A line that goes up and down every second changes it less and less often.
    let mut changes = 0;
    let mut was_video = false;
    for second in 0..60 {
        world.line = Some(if second % 2 == 0 { 2_500_000 } else { 100_000_000 });
        play(&mut world, &tiles, millis(1100));
        let is_video = world.planner.video_tiles() > 0;
        changes += u32::from(is_video != was_video);
        was_video = is_video;
    }
    assert!(changes <= 12, "{changes}");
}

#[test]
fn an_encoder_that_is_lost_costs_nothing_but_its_picture() {
    let mut world = shaded();
    play(&mut world, &view(), millis(505));
    world.change(&view());
    world.fail();
    world.video = VideoState::Off;
    world.run(millis(60));
    assert!(world.is_exact());
}

#[test]
fn what_a_viewer_cannot_decode_goes_as_tiles_at_once() {
    let mut world = shaded();
    play(&mut world, &view(), millis(505));
    world.change(&view());
    world.refuse();
    // Changed again while its video is still in the encoder's work.
    world.change(&view());
    world.run(millis(40));
    assert!(world.is_exact(), "{} tiles are not", world.dirty());
}

#[test]
fn a_thin_link_spares_bytes() {
    // Twenty documents a second are little on this line, but not on one that is paid for.
    let shots = |quality: Quality| {
        let mut world = screen();
        world.tiles.cost = TileCost { raw: 1500, bytes: 500, encode: Duration::from_micros(10) };
        world.line = Some(20_000_000);
        world.planner.set_quality(quality);
        play(&mut world, &view(), millis(1000));
        world.looked().shots.len()
    };
    assert_eq!(shots(Quality::Automatic), 0);
    assert!(shots(Quality::ThinLink) > 30);
}

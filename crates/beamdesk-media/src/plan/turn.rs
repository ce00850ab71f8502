//! One turn's decisions.

use std::time::{Duration, Instant};

use beamdesk_proto::control::Quality;
use beamdesk_proto::wire::TILE;

use super::groups::groups;
use super::{HOLD_MIN, Means, Plan, Planner, RECENT, Shot, Tile, TileCost, Tiles, VideoState};
use crate::geometry::Rect;

/// Three frames at 60 a second: what did not change for so long rests, at least.
const REST_MIN: Duration = Duration::from_millis(50);
/// Slower motion is a row of stills.
const REST_MAX: Duration = Duration::from_millis(250);
/// So many changes in a row are motion: a window that opens is drawn in one or two.
const STREAK_MIN: u8 = 3;
/// What a single change may take before it is shown as video first.
const BURST: Duration = Duration::from_millis(80);
/// Smaller groups never become video: this part of the picture, at least so many tiles.
const GROUP_PART: usize = 25;
const GROUP_MIN: usize = 8;
/// Samples of what a group would take as tiles, and how long they hold.
const SAMPLES: usize = 4;
const SAMPLE_HOLDS: Duration = Duration::from_millis(100);
/// Longest time after which video is tried as tiles again, and what is soon.
const HOLD_MAX: Duration = Duration::from_secs(32);
const SOON: Duration = Duration::from_secs(5);
/// A refinement is short while anything moves: in bytes, in time of the line, and of the viewer.
const CHUNK_BYTES: usize = 32 << 10;
const CHUNK_BYTES_MIN: usize = 4 << 10;
const CHUNK_TIME: Duration = Duration::from_millis(10);
const CHUNK_WORK: Duration = Duration::from_millis(8);
/// A hand that rests so long with the button down looks at the picture.
const HELD_MAX: Duration = Duration::from_secs(1);

impl Planner {
    /// What to send now.
    pub fn plan(&mut self, means: &Means, tiles: &mut dyn Tiles) -> Plan {
        let now = means.now;
        self.wakes = None;
        self.rest(means, tiles);
        let mut fresh = Vec::new();
        let mut loose = Vec::new();
        let scrolled = self.scrolled.filter(|&(_, at)| now.saturating_duration_since(at) < RECENT);
        let is_scrolled =
            |rect: Rect| scrolled.is_some_and(|(area, _)| !area.intersection(rect).is_empty());
        for tile in (0..self.grid.count()).filter(|&tile| tiles.is_dirty(tile)) {
            let state = self.tiles[usize::from(tile)];
            if state.is_flying || state.is_video || state.is_lossy && !state.is_stale {
                continue;
            }
            // Before the first picture there is nothing to move.
            let is_still = state.changed.is_none() || means.video == VideoState::Off;
            // What a scroll uncovers is sent once and then moved; what is kept is loaded.
            if is_still || is_scrolled(self.grid.rect(tile)) || tiles.is_kept(tile) {
                fresh.push(tile);
            } else {
                loose.push(tile);
            }
        }
        fresh.extend(self.divide(loose, means, tiles));
        let moving: Vec<u16> = self.numbers(|tile| tile.is_video).collect();
        self.reconsider(&moving, means, tiles);
        let shot = self.shot(&moving, means);
        let is_calm = moving.is_empty() && fresh.is_empty() && !self.moves_since(now, REST_MIN);
        let refine = self.refine(means, tiles);
        self.wants_fresh = !fresh.is_empty();
        self.wants_refine = !refine.is_empty();
        self.wants_video =
            shot.is_none() && self.numbers(|tile| tile.is_video && tile.is_stale).any(|_| true);
        self.is_waiting =
            fresh.is_empty() && shot.is_none() && !self.wants_video && !self.is_flying();
        if moving.is_empty() && !self.is_flying() {
            self.load = 0;
        }
        match means.bytes {
            Some(bytes) => {
                let ahead = self.first(&mut fresh);
                self.cut(Plan { ahead, fresh, refine, refine_bytes: bytes, shot }, is_calm, means)
            }
            None => Plan { shot, ..Plan::default() },
        }
    }

    fn is_flying(&self) -> bool {
        self.tiles.iter().any(|tile| tile.is_flying)
    }

    /// Takes what rests, or is right by now, out of the video.
    fn rest(&mut self, means: &Means, tiles: &dyn Tiles) {
        let rest = (self.interval * 2).clamp(REST_MIN, REST_MAX);
        for (number, tile) in (0..self.grid.count()).zip(&mut self.tiles) {
            if !tiles.is_dirty(number) {
                *tile = Tile { changed: tile.changed, streak: tile.streak, ..Tile::default() };
                continue;
            }
            if !tile.is_video || tile.is_flying {
                continue;
            }
            if means.video == VideoState::Off {
                tile.is_video = false;
            } else if !tile.is_stale {
                let due = tile.changed.map_or(means.now, |at| at + rest);
                tile.is_video = due > means.now;
                if tile.is_video {
                    self.wakes = Some(self.wakes.map_or(due, |wakes| wakes.min(due)));
                }
            }
        }
    }

    /// Lets groups that are too much for tiles become video; gives the tiles that stay tiles.
    fn divide(&mut self, loose: Vec<u16>, means: &Means, tiles: &mut dyn Tiles) -> Vec<u16> {
        if loose.is_empty() {
            return loose;
        }
        let mut is_loose = vec![false; self.tiles.len()];
        loose.iter().for_each(|&tile| is_loose[usize::from(tile)] = true);
        let is_recent = |tile: Tile| {
            tile.changed.is_some_and(|at| means.now.saturating_duration_since(at) < RECENT)
        };
        let mut fresh = Vec::new();
        let mut large = Vec::new();
        let members = groups(self.grid, |tile| {
            let state = self.tiles[usize::from(tile)];
            is_loose[usize::from(tile)] || state.is_video || is_recent(state)
        });
        for group in members {
            let has_video = group.iter().any(|&tile| self.tiles[usize::from(tile)].is_video);
            let mut group = group;
            group.retain(|&tile| is_loose[usize::from(tile)]);
            if has_video {
                self.start(&group);
            } else if group.len() >= self.group_min() {
                large.push(group);
            } else {
                fresh.extend(group);
            }
        }
        large.sort_by_key(Vec::len);
        let mut total = fresh.len() + large.iter().map(Vec::len).sum::<usize>();
        while let Some(group) = large.pop() {
            self.sample(&group, means.now, tiles);
            if self.keeps_up(&group, total, means) {
                fresh.extend(group);
                continue;
            }
            total -= group.len();
            self.start(&group);
        }
        fresh
    }

    fn start(&mut self, group: &[u16]) {
        for &tile in group {
            self.tiles[usize::from(tile)].is_video = true;
        }
    }

    fn group_min(&self) -> usize {
        (self.tiles.len() / GROUP_PART).max(GROUP_MIN)
    }

    /// Whether a group, among so many tiles in all, had better be tiles.
    fn keeps_up(&mut self, group: &[u16], total: usize, means: &Means) -> bool {
        let streaks =
            group.iter().filter(|&&tile| self.tiles[usize::from(tile)].streak >= STREAK_MIN);
        let is_motion = streaks.count() * 2 >= group.len();
        let limit = if is_motion { self.interval * 3 / 4 } else { BURST };
        let keeps_up = self.fits(total, limit, means);
        if !keeps_up {
            let is_soon = |at| means.now.saturating_duration_since(at) < SOON;
            let taken_back = self.left.take().is_some_and(is_soon);
            self.hold = if taken_back { (self.hold * 2).min(HOLD_MAX) } else { HOLD_MIN };
            self.fits_since = None;
        }
        keeps_up
    }

    /// Whether so many moving tiles can be sent as tiles each `limit`, or nothing is won by video.
    fn fits(&self, count: usize, limit: Duration, means: &Means) -> bool {
        let line = means.line.map_or(Duration::ZERO, |rate| {
            time_on(rate, self.costs.tile_bytes().saturating_mul(count))
        });
        let line = if self.quality == Quality::ThinLink { line * 4 } else { line };
        let as_tiles = self.costs.as_tiles(count).max(line);
        as_tiles <= limit || self.costs.as_video(count, count) * 4 / 3 > as_tiles
    }

    fn sample(&mut self, group: &[u16], now: Instant, tiles: &mut dyn Tiles) {
        let holds = |at| now.saturating_duration_since(at) < SAMPLE_HOLDS;
        if self.sampled.is_some_and(holds) || group.is_empty() {
            return;
        }
        self.sampled = Some(now);
        let step = group.len().div_ceil(SAMPLES);
        let picked = group.iter().skip(step / 2).step_by(step);
        let costs: Vec<TileCost> = picked.map(|&tile| tiles.cost(tile)).collect();
        self.costs.sampled(&costs);
    }

    /// Gives up video for what has long been as good as tiles.
    fn reconsider(&mut self, moving: &[u16], means: &Means, tiles: &mut dyn Tiles) {
        if moving.is_empty() || means.video == VideoState::Busy {
            return;
        }
        let stale = |tile: &&u16| self.tiles[usize::from(**tile)].is_stale;
        let stale = moving.iter().filter(stale).count();
        // Slowly down: what moves may pause.
        self.load = stale.max(self.load - self.load.div_ceil(64));
        self.sample(moving, means.now, tiles);
        if !self.fits(self.load, self.interval / 2, means) {
            self.fits_since = None;
            return;
        }
        let since = *self.fits_since.get_or_insert(means.now);
        if means.now.saturating_duration_since(since) >= self.hold {
            self.fits_since = None;
            self.left = Some(means.now);
            self.tiles.iter_mut().for_each(|tile| tile.is_video = false);
            self.costs.forget_sample();
            self.wakes = Some(means.now);
        }
    }

    fn shot(&mut self, moving: &[u16], means: &Means) -> Option<Shot> {
        let is_stale = |&tile: &u16| {
            let tile = self.tiles[usize::from(tile)];
            tile.is_video && tile.is_stale
        };
        if means.video != VideoState::Ready || !moving.iter().any(is_stale) {
            return None;
        }
        self.region.follow(moving, means.now);
        let region = self.region.rect()?;
        Some(Shot { region, mask: self.region.mask(moving), tiles: moving.to_vec() })
    }

    /// What rests and is to become exact.
    fn refine(&mut self, means: &Means, tiles: &dyn Tiles) -> Vec<u16> {
        let settles =
            |tile: &Tile| tile.is_lossy && !tile.is_stale && !tile.is_video && !tile.is_flying;
        let settling = self.numbers(settles).filter(|&tile| tiles.is_dirty(tile));
        let mut refine: Vec<u16> = settling.collect();
        let newest = self.tiles.iter().filter_map(|tile| tile.changed).max();
        let until = newest.map_or(means.now, |at| at + HELD_MAX);
        if self.is_pressed && !refine.is_empty() && until > means.now {
            refine.retain(|&tile| self.is_marked(tile));
            self.wakes = Some(self.wakes.map_or(until, |wakes| wakes.min(until)));
        }
        refine
    }

    /// Puts what matters first, and leaves refinement for later where it would be in the way.
    fn cut(&mut self, mut plan: Plan, is_calm: bool, means: &Means) -> Plan {
        let bytes = (plan.fresh.len() + plan.refine.len()).saturating_mul(self.costs.tile_bytes());
        if bytes > plan.refine_bytes / 2 || !is_calm {
            self.sort(&mut plan.fresh);
            self.sort(&mut plan.refine);
        }
        if !is_calm {
            let line = means.line.map_or(0, |rate| bytes_in(rate, CHUNK_TIME));
            let video = if self.region.tiles() > 0 { means.video_bytes } else { 0 };
            let left = plan.refine_bytes.saturating_sub(video).max(CHUNK_BYTES_MIN);
            plan.refine_bytes = line.max(CHUNK_BYTES).min(left);
            let mut count = 1;
            while self.costs.shown(count) < CHUNK_WORK && count < plan.refine.len() {
                count *= 2;
            }
            plan.refine.truncate(count);
        }
        plan
    }

    fn sort(&self, tiles: &mut [u16]) {
        let (x, y) = self.pointer.unwrap_or((self.size.width() / 2, self.size.height() / 2));
        tiles.sort_by_cached_key(|&tile| {
            let rect = self.grid.rect(tile);
            let (across, down) = ((rect.x + TILE / 2).abs_diff(x), (rect.y + TILE / 2).abs_diff(y));
            (!self.is_marked(tile), u32::from(across).pow(2) + u32::from(down).pow(2))
        });
    }

    fn is_marked(&self, tile: u16) -> bool {
        let rect = self.grid.rect(tile);
        self.marks.iter().any(|mark| !mark.clipped(self.size).intersection(rect).is_empty())
    }

    fn moves_since(&self, now: Instant, time: Duration) -> bool {
        self.noted.is_some_and(|at| now.saturating_duration_since(at) < time)
    }

    fn numbers(&self, picks: impl Fn(&Tile) -> bool) -> impl Iterator<Item = u16> {
        let numbered = (0..self.grid.count()).zip(&self.tiles);
        numbered.filter(move |(_, tile)| picks(tile)).map(|(number, _)| number)
    }
}

fn time_on(rate: u64, bytes: usize) -> Duration {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    Duration::from_micros(bytes.saturating_mul(1_000_000) / rate.max(1))
}

fn bytes_in(rate: u64, time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    usize::try_from(rate.saturating_mul(micros) / 1_000_000).unwrap_or(usize::MAX)
}

//! A desktop, an encoder and a viewer of numbers: each plan is carried out and checked.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use beamdesk_media::{
    Area, CopyRect, Means, PictureSize, Plan, Planner, Rect, Shot, TileCost, Tiles, Update,
    VideoState,
};

use crate::viewer::start;

/// Turns come so often.
const TURN: Duration = Duration::from_millis(5);
/// What a session allows for one frame at most.
const FRAME_BYTES: usize = 2 << 20;

pub(crate) fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(crate) struct World {
    pub(crate) planner: Planner,
    pub(crate) tiles: Numbers,
    pub(crate) now: Instant,
    pub(crate) line: Option<u64>,
    pub(crate) video: VideoState,
    /// Time of a frame of video in the encoder.
    pub(crate) encode: Duration,
    /// The viewer's time for a tile.
    pub(crate) show: Duration,
    pub(crate) log: Log,
    size: PictureSize,
    flying: Option<(Shot, Instant)>,
    is_void: bool,
    frame: u32,
}

/// What the planner sees.
pub(crate) struct Numbers {
    pub(crate) dirty: BTreeSet<u16>,
    pub(crate) kept: BTreeSet<u16>,
    pub(crate) cost: TileCost,
}

impl Tiles for Numbers {
    fn is_dirty(&self, tile: u16) -> bool {
        self.dirty.contains(&tile)
    }

    fn is_kept(&self, tile: u16) -> bool {
        self.kept.contains(&tile)
    }

    fn cost(&mut self, _: u16) -> TileCost {
        self.cost
    }
}

/// What was sent since it was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Those of `fresh` that went first, in frames of their own.
    pub(crate) ahead: Vec<u16>,
    pub(crate) fresh: Vec<u16>,
    pub(crate) refined: Vec<u16>,
    pub(crate) shots: Vec<Shot>,
    /// Bytes of the largest refinement in one frame.
    pub(crate) chunk: usize,
}

impl World {
    /// A viewer that has the whole picture.
    pub(crate) fn new(size: PictureSize) -> Self {
        let cost = TileCost { raw: 4096, bytes: 2700, encode: Duration::from_micros(13) };
        Self {
            planner: Planner::new(size),
            tiles: Numbers { dirty: BTreeSet::new(), kept: BTreeSet::new(), cost },
            now: start(),
            line: Some(100_000_000),
            video: VideoState::Ready,
            encode: millis(8),
            show: Duration::from_micros(30),
            log: Log::default(),
            size,
            flying: None,
            is_void: false,
            frame: 0,
        }
    }

    pub(crate) fn change(&mut self, tiles: &[u16]) {
        let whole: Vec<_> = tiles.iter().map(|&tile| (tile, whole())).collect();
        self.change_areas(&whole);
    }

    pub(crate) fn change_areas(&mut self, areas: &[(u16, Area)]) {
        let count = self.size.grid().count();
        let areas: Vec<_> = areas.iter().copied().filter(|&(tile, _)| tile < count).collect();
        self.tiles.dirty.extend(areas.iter().map(|&(tile, _)| tile));
        self.planner.note(&Update { areas, copy: None }, self.now);
        self.turn();
    }

    /// A rectangle moves up by some rows, and these tiles are uncovered.
    pub(crate) fn scroll(&mut self, to: Rect, rows: u16, uncovered: &[u16]) {
        let areas: Vec<_> = uncovered.iter().map(|&tile| (tile, whole())).collect();
        self.tiles.dirty.extend(uncovered);
        let copy = Some(CopyRect { from_x: to.x, from_y: to.y + rows, to });
        self.planner.note(&Update { areas, copy }, self.now);
        self.turn();
    }

    /// Turns until the time is over.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += TURN.min(end - self.now);
            self.turn();
        }
    }

    pub(crate) fn dirty(&self) -> usize {
        self.tiles.dirty.len()
    }

    pub(crate) fn is_exact(&self) -> bool {
        self.tiles.dirty.is_empty() && self.flying.is_none()
    }

    pub(crate) fn looked(&mut self) -> Log {
        std::mem::take(&mut self.log)
    }

    /// The encoder fails with what is in its work.
    pub(crate) fn fail(&mut self) {
        if self.flying.take().is_some() {
            self.is_void = false;
            self.planner.lost_video();
        }
    }

    /// The viewer cannot decode: what is in the encoder's work comes to nothing, later.
    pub(crate) fn refuse(&mut self) {
        self.is_void = self.flying.is_some();
        self.planner.forget_video();
        self.video = VideoState::Off;
    }

    fn turn(&mut self) {
        if let Some((shot, until)) = self.flying.take_if(|(_, until)| *until <= self.now) {
            assert!(until <= self.now);
            if std::mem::take(&mut self.is_void) {
                self.planner.lost_video();
            } else {
                self.frame += 1;
                let work = Duration::from_micros(20) * count(&shot.tiles);
                self.planner.sent_video(self.frame, self.encode);
                self.planner.acknowledged(self.frame, work);
            }
        }
        let video = match self.video {
            VideoState::Ready if self.flying.is_some() => VideoState::Busy,
            state => state,
        };
        let line_bytes = self.line.map_or(FRAME_BYTES, |rate| {
            usize::try_from(rate / 60).unwrap().clamp(16 << 10, FRAME_BYTES)
        });
        let means = Means {
            now: self.now,
            bytes: Some(line_bytes),
            line: self.line,
            video,
            video_bytes: line_bytes / 2,
        };
        let plan = self.planner.plan(&means, &mut self.tiles);
        self.check(&plan, video);
        self.carry_out(plan, line_bytes);
    }

    fn check(&self, plan: &Plan, video: VideoState) {
        let flying: &[u16] = self.flying.as_ref().map_or(&[], |(shot, _)| &shot.tiles);
        for tile in plan.ahead.iter().chain(&plan.fresh).chain(&plan.refine) {
            assert!(self.tiles.is_dirty(*tile), "tile {tile} is right already");
            assert!(!flying.contains(tile), "tile {tile} overtakes its video");
        }
        let Some(shot) = &plan.shot else { return };
        assert_eq!(video, VideoState::Ready);
        let grid = self.size.grid();
        let mut painted = Vec::new();
        let columns = shot.region.width.div_ceil(64);
        for row in 0..shot.region.height.div_ceil(64) {
            for column in 0..columns {
                let bit = usize::from(row * columns + column);
                if shot.mask[bit / 8] >> (bit % 8) & 1 == 1 {
                    painted.push(grid.tile(shot.region.x / 64 + column, shot.region.y / 64 + row));
                }
            }
        }
        let mut tiles = shot.tiles.clone();
        tiles.sort_unstable();
        assert_eq!(painted, tiles, "the mask is the tiles");
        for tile in painted {
            assert!(self.tiles.is_dirty(tile), "clean tile {tile} would be painted over");
            assert!(!plan.ahead.contains(&tile));
            assert!(!plan.fresh.contains(&tile) && !plan.refine.contains(&tile));
        }
    }

    fn carry_out(&mut self, plan: Plan, bytes: usize) {
        let mut used = 0;
        let mut sent = 0;
        assert!(plan.ahead.is_empty() || !plan.fresh.is_empty(), "ahead of what?");
        self.log.ahead.extend(&plan.ahead);
        for &tile in plan.ahead.iter().chain(&plan.fresh) {
            if used > bytes {
                break;
            }
            let kept = self.tiles.kept.remove(&tile);
            used += if kept { 5 } else { self.tiles.cost.bytes };
            self.tiles.dirty.remove(&tile);
            self.log.fresh.push(tile);
            sent += 1;
        }
        let start = used;
        for &tile in &plan.refine {
            if used >= start + plan.refine_bytes.min(bytes) {
                break;
            }
            used += self.tiles.cost.bytes;
            self.tiles.dirty.remove(&tile);
            self.log.refined.push(tile);
            sent += 1;
        }
        self.log.chunk = self.log.chunk.max(used - start);
        if sent > 0 {
            self.frame += 1;
            self.planner.sent_tiles(self.frame, sent, sent * self.tiles.cost.raw);
            self.planner.acknowledged(self.frame, self.show * u32::try_from(sent).unwrap());
        }
        if let Some(shot) = plan.shot {
            self.planner.submitted(&shot);
            self.log.shots.push(shot.clone());
            self.flying = Some((shot, self.now + self.encode));
        }
    }
}

fn count(tiles: &[u16]) -> u32 {
    u32::try_from(tiles.len()).unwrap()
}

fn whole() -> Area {
    Area { x: 0, y: 0, width: 64, height: 64 }
}

//! Decides for one viewer what goes as tiles, what as video, and what has to wait.
//!
//! ```text
//!            few, small, or within what line and machines carry: tile, at once
//!          ┌────────────────────────────────────────────────────────────────────┐
//! clean ───┤ changed                                                            ├──► clean
//!          └► moving: video, in a region, by mask ──at rest──► settling: refined ┘
//!                         ▲                                        │
//!                         └───────────── changed again ────────────┘
//! ```
//! Each tile has its own clock, so that something that never rests delays nothing else. The
//! planner knows no pixels: it is told what changed, and asks [`Tiles`].

mod ahead;
mod costs;
mod groups;
mod region;
mod turn;

use std::time::{Duration, Instant};

use beamdesk_proto::control::Quality;

use crate::geometry::{Area, PictureSize, Rect, TileGrid};
use crate::update::Update;
use costs::Costs;
use region::Region;

pub use costs::TileCost;

/// Changes of a tile that follow each other within this time are motion.
const STREAK_GAP: Duration = Duration::from_millis(200);
/// Tiles that changed so lately still hold a group together; changes further apart are no motion.
const RECENT: Duration = Duration::from_millis(250);
/// The frame time to keep up with, while the source is not known to be slower.
const INTERVAL_MIN: Duration = Duration::from_micros(16_667);
const INTERVAL_MAX: Duration = Duration::from_millis(100);
/// Video that would keep up as tiles becomes tiles after so long; longer each time that this was
/// soon taken back.
const HOLD_MIN: Duration = Duration::from_secs(1);

/// What the planner may ask about the viewer's tiles.
pub trait Tiles {
    /// It may differ at the viewer.
    fn is_dirty(&self, tile: u16) -> bool;

    /// The viewer has put aside what it is now.
    fn is_kept(&self, tile: u16) -> bool;

    /// What it would take as a tile; costs about as much as encoding it.
    fn cost(&mut self, tile: u16) -> TileCost;
}

/// Whether a picture can become video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoState {
    /// There is no encoder for this viewer.
    Off,
    /// Not now.
    Busy,
    Ready,
}

/// What one turn has to spend.
#[derive(Debug, Clone, Copy)]
pub struct Means {
    pub now: Instant,
    /// For this turn's tiles; `None`: none can go now.
    pub bytes: Option<usize>,
    /// Bytes a second; `None`: not known yet.
    pub line: Option<u64>,
    pub video: VideoState,
    /// What a frame of video will have.
    pub video_bytes: usize,
}

/// What to send now, in this order: small changes as a frame of their own, fresh tiles and refined
/// ones as one frame, then the video.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Small changes apart from the large ones, which would hold them up.
    pub ahead: Vec<u16>,
    pub fresh: Vec<u16>,
    pub refine: Vec<u16>,
    pub refine_bytes: usize,
    pub shot: Option<Shot>,
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        let has_tiles = [&self.ahead, &self.fresh, &self.refine].iter().any(|is| !is.is_empty());
        !has_tiles && self.shot.is_none()
    }
}

/// One picture for the video encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shot {
    pub region: Rect,
    /// Which tiles of the region it paints, as in a `VIDEO` message.
    pub mask: Vec<u8>,
    /// The same tiles by number.
    pub tiles: Vec<u16>,
}

/// What moves, for the choice of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Flat,
    Natural,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tile {
    /// `None`: not since the viewer came.
    changed: Option<Instant>,
    /// What changed in it then.
    area: Option<Area>,
    /// Changes that followed each other quickly.
    streak: u8,
    /// Moves, and is shown by video.
    is_video: bool,
    /// What the viewer shows came by video.
    is_lossy: bool,
    /// Changed since it was last in a picture for the video encoder.
    is_stale: bool,
    /// In the encoder's work: no tile may overtake it.
    is_flying: bool,
}

#[derive(Debug)]
pub struct Planner {
    size: PictureSize,
    grid: TileGrid,
    tiles: Vec<Tile>,
    costs: Costs,
    sampled: Option<Instant>,
    region: Region,
    quality: Quality,
    marks: Vec<Rect>,
    pointer: Option<(u16, u16)>,
    is_pressed: bool,
    /// Something is copied in the next frame: what belongs to it must not come in another one.
    has_copy: bool,
    /// What was scrolled last, and when.
    scrolled: Option<(Rect, Instant)>,
    /// Time between two changes of the source.
    interval: Duration,
    noted: Option<Instant>,
    /// Nothing waited to be sent since the last change, so that the source decides the pace.
    is_waiting: bool,
    /// Tiles that changed from picture to picture, of those shown by video: the most of late.
    load: usize,
    fits_since: Option<Instant>,
    hold: Duration,
    left: Option<Instant>,
    /// When a plan may differ though nothing happens.
    wakes: Option<Instant>,
    wants_fresh: bool,
    wants_refine: bool,
    wants_video: bool,
}

impl Planner {
    pub fn new(size: PictureSize) -> Self {
        Self {
            size,
            grid: size.grid(),
            tiles: vec![Tile::default(); size.grid().count().into()],
            costs: Costs::new(),
            sampled: None,
            region: Region::new(size),
            quality: Quality::default(),
            marks: Vec::new(),
            pointer: None,
            is_pressed: false,
            has_copy: false,
            scrolled: None,
            interval: INTERVAL_MIN,
            noted: None,
            is_waiting: false,
            load: 0,
            fits_since: None,
            hold: HOLD_MIN,
            left: None,
            wakes: None,
            wants_fresh: false,
            wants_refine: false,
            wants_video: false,
        }
    }

    /// The picture has another size. What was learnt of costs stays.
    pub fn restart(&mut self, size: PictureSize) {
        self.size = size;
        self.grid = size.grid();
        self.tiles = vec![Tile::default(); self.grid.count().into()];
        self.region = Region::new(size);
        self.scrolled = None;
        self.noted = None;
        self.wakes = None;
    }

    pub fn set_quality(&mut self, quality: Quality) {
        self.quality = quality;
    }

    /// What matters most: the user's own mark and those of programs.
    pub fn mark(&mut self, marks: Vec<Rect>) {
        self.marks = marks;
    }

    pub fn point(&mut self, at: (u16, u16)) {
        self.pointer = Some(at);
    }

    /// Whether a button of the mouse is down.
    pub fn press(&mut self, is_pressed: bool) {
        self.is_pressed = is_pressed;
    }

    /// Takes note of what a capture changed.
    pub fn note(&mut self, update: &Update, now: Instant) {
        for &(tile, area) in &update.areas {
            self.changed(tile, area, now);
        }
        self.has_copy |= update.copy.is_some();
        if let Some(copy) = update.copy {
            // Some few rows that happen to be equal make no scroll of what moves otherwise.
            if update.areas.len() * 2 <= self.grid.touched(copy.to).count() {
                self.scrolled = Some((copy.from().union(copy.to), now));
            }
            // What was scrolled is copied, unless it is not there to be copied.
            for tile in self.grid.touched(copy.to) {
                if self.tiles[usize::from(tile)].is_lossy {
                    self.changed(tile, self.grid.area(tile), now);
                }
            }
        }
        if let Some(before) = self.noted.replace(now) {
            let gap = now.saturating_duration_since(before);
            if gap <= RECENT {
                let seen = gap.clamp(INTERVAL_MIN, INTERVAL_MAX);
                // While we do not keep up, the pace is ours and says little of the source's.
                let learnt = (self.interval * 3 + seen) / 4;
                self.interval = if self.is_waiting { learnt } else { learnt.min(self.interval) };
            }
        }
        self.is_waiting = false;
    }

    fn changed(&mut self, tile: u16, area: Area, now: Instant) {
        let Some(tile) = self.tiles.get_mut(usize::from(tile)) else { return };
        let goes_on = tile.changed.is_some_and(|at| now.saturating_duration_since(at) < STREAK_GAP);
        tile.streak = if goes_on { tile.streak.saturating_add(1) } else { 1 };
        tile.changed = Some(now);
        tile.area = Some(area);
        tile.is_stale = true;
    }

    /// Of tiles that changed just now, those that may go ahead of a frame in the making.
    pub fn ahead_of(&self, tiles: impl Iterator<Item = u16>) -> Vec<u16> {
        let may = |tile: &u16| {
            let state = self.tiles.get(usize::from(*tile));
            state.is_some_and(|state| !state.is_flying && !state.is_video && !state.is_lossy)
        };
        tiles.filter(may).collect()
    }

    /// A tiles frame went out. `raw`: its operations and pixels before they were packed.
    pub fn sent_tiles(&mut self, frame: u32, tiles: usize, raw: usize) {
        self.costs.sent_tiles(frame, tiles, raw);
        self.has_copy = false;
    }

    /// The shot of the last plan is in the encoder's work.
    pub fn submitted(&mut self, shot: &Shot) {
        for &tile in &shot.tiles {
            if let Some(tile) = self.tiles.get_mut(usize::from(tile)) {
                tile.is_stale = false;
                tile.is_lossy = true;
                tile.is_flying = true;
            }
        }
    }

    /// The encoder's work went out as this frame.
    pub fn sent_video(&mut self, frame: u32, encode: Duration) {
        let flying = self.tiles.iter_mut().filter(|tile| tile.is_flying);
        let painted = flying.map(|tile| tile.is_flying = false).count();
        self.costs.sent_video(frame, painted, self.region.tiles(), encode);
    }

    /// The encoder's work came to nothing: its tiles are as they were before.
    pub fn lost_video(&mut self) {
        for tile in self.tiles.iter_mut().filter(|tile| tile.is_flying) {
            *tile = Tile { is_stale: true, is_flying: false, is_lossy: false, ..*tile };
        }
    }

    /// The viewer shows nothing of what came by video: all of it is due as tiles.
    pub fn forget_video(&mut self) {
        for tile in &mut self.tiles {
            tile.is_lossy &= tile.is_flying;
            tile.is_video = false;
        }
        self.region.clear();
    }

    /// What moves by video is due again, changed or not: the viewer lost what it showed.
    pub fn repaint_video(&mut self) {
        for tile in self.tiles.iter_mut().filter(|tile| tile.is_video) {
            tile.is_stale = true;
        }
    }

    /// The viewer worked so long on the frame.
    pub fn acknowledged(&mut self, frame: u32, work: Duration) {
        self.costs.acknowledged(frame, work);
    }

    /// When a plan may differ from the last one though nothing happens.
    pub fn wakes_at(&self) -> Option<Instant> {
        self.wakes
    }

    /// Whether the last plan had, or would have had, tiles that changed.
    pub fn wants_fresh(&self) -> bool {
        self.wants_fresh
    }

    /// Whether the last plan had, or would have had, tiles to refine.
    pub fn wants_refine(&self) -> bool {
        self.wants_refine
    }

    /// Whether the last plan left something for the next picture of the video.
    pub fn wants_video(&self) -> bool {
        self.wants_video
    }

    /// Tiles that move as video.
    pub fn video_tiles(&self) -> usize {
        self.tiles.iter().filter(|tile| tile.is_video).count()
    }

    pub fn look(&self) -> Look {
        // Text and plain areas take few bytes; a shaded view or noise most of a byte a pixel.
        if self.costs.tile_bytes() < 900 { Look::Flat } else { Look::Natural }
    }
}

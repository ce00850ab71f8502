//! The agent's side of one stream, without I/O: flow control, exactness, the viewer's wishes.
//!
//! ```text
//!            hello                 every tile acknowledged, nothing waits
//! greeted? ────────► catching up ─────────────────────────────────────────► exact
//!                        ▲                                                    │
//!                        └───── a frame is sent, a tile is wrong, a resize ───┘
//! ```

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    EncodedFrame, ProtocolError,
    control::{self, AgentMessage, Limit, Quality, Region, Status, VideoCodec, ViewerMessage},
    flow::{Flow, Kind, Shown, ViewerCost},
    wire::{self, Ack, Header, kind},
};

/// `KeyboardEvent.code` and layout names are short words.
const WORD_BYTES_MAX: usize = 32;
/// A wheel turned further than this in one event is a broken browser.
const NOTCHES_MAX: f32 = 1000.0;

/// What the viewer asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The stream begins. The size is of the browser's drawing area and may be out of bounds.
    Hello {
        width: u32,
        height: u32,
        decodes: Vec<VideoCodec>,
        quality: Quality,
    },
    /// May be out of bounds: a refusal is an answer, not an error.
    Resize {
        width: u32,
        height: u32,
    },
    Input(Input),
    /// These tiles are wrong at the viewer: send them again, whole.
    Repair(Vec<u16>),
    Visible(bool),
    Layout(String),
    Quality(Quality),
    Region(Option<Region>),
    Watch(bool),
    VideoFailed(VideoCodec),
    KeyFrame,
    /// The viewer holds these values of a 16-bit picture.
    SliceShown {
        place: u8,
        picture: u32,
        hash: u64,
    },
}

/// What the viewer does with keys and pointer.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    Key { code: String, down: bool },
    Pointer { x: u16, y: u16 },
    Button { x: u16, y: u16, button: u8, down: bool },
    Wheel { x: u16, y: u16, dx: f32, dy: f32 },
    ReleaseAll,
}

/// State of one viewer's stream at the agent.
#[derive(Debug)]
pub struct AgentSession {
    greeted: bool,
    visible: bool,
    /// When it last became visible: a viewer out of sight may rest.
    visible_since: Instant,
    flow: Flow,
    /// Frames under way, oldest first, in step with `flow`.
    frames: VecDeque<Sent>,
    tiles: Vec<Tile>,
    /// Tiles whose `held` is not `drawn`.
    open: usize,
    last_frame: Option<u32>,
    /// The frame for which `exact` was said last.
    said_exact: Option<u32>,
}

#[derive(Debug)]
struct Sent {
    frame: u32,
    /// Empty when a resize came since: nothing it drew counts any more.
    tiles: Vec<(u16, u64)>,
    of_this_picture: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tile {
    /// What the newest frame sent makes of it. `None`: never sent.
    drawn: Option<u64>,
    /// What the viewer last said it holds.
    held: Option<u64>,
}

impl Tile {
    fn is_open(self) -> bool {
        self.drawn.is_none() || self.drawn != self.held
    }
}

impl AgentSession {
    /// A stream of a picture with so many tiles, none of them sent.
    pub fn new(tiles: usize, now: Instant) -> Self {
        Self {
            greeted: false,
            visible: true,
            visible_since: now,
            flow: Flow::new(),
            frames: VecDeque::new(),
            tiles: vec![Tile::default(); tiles],
            open: tiles,
            last_frame: None,
            said_exact: None,
        }
    }

    /// The picture has a new size and is black again at the viewer. What is in flight stays so.
    pub fn restart(&mut self, tiles: usize) {
        self.tiles.clear();
        self.tiles.resize(tiles, Tile::default());
        self.open = tiles;
        for sent in &mut self.frames {
            sent.tiles.clear();
            sent.of_this_picture = false;
        }
    }

    /// Bytes the next frame of tiles may have; `None`: encode nothing now. See [`Self::ready_at`].
    pub fn budget(&self, now: Instant) -> Option<usize> {
        if self.is_awake() { self.flow.budget(now) } else { None }
    }

    /// The same for what can wait, as making exact what rests while something else moves. `None`
    /// though there is a [`Self::budget`]: only an acknowledgement or the end of motion changes it,
    /// see [`Self::video_rests`].
    pub fn refine_budget(&self, now: Instant) -> Option<usize> {
        if self.is_awake() { self.flow.refine_budget(now) } else { None }
    }

    /// When [`Self::budget`] gives something if nothing comes in before; `None`: not by itself.
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        self.paced(Kind::Tiles, now)
    }

    /// Bytes of 16-bit pictures that may go now, beside tiles and video and paced apart from them.
    /// `None`: none. See [`Self::slices_ready_at`].
    pub fn slice_budget(&self, now: Instant) -> Option<usize> {
        if self.is_awake() { self.flow.slice_budget(now) } else { None }
    }

    /// When [`Self::slice_budget`] gives something if nothing comes in before.
    pub fn slices_ready_at(&self, now: Instant) -> Option<Instant> {
        self.paced(Kind::Slice, now).filter(|&at| at > now)
    }

    /// A frame of 16-bit pictures goes out.
    pub fn sent_slices(&mut self, frame: u32, bytes: usize, now: Instant) {
        self.flow.sent(Kind::Slice, bytes, 0, now);
        self.last_frame = Some(frame);
        self.frames.push_back(Sent { frame, tiles: Vec::new(), of_this_picture: true });
    }

    /// Bytes that a video frame begun now should have; `None`: begin none now. Tiles and video are
    /// paced apart, so both may go in one turn. See [`Self::video_ready_at`].
    pub fn video_budget(&self, now: Instant) -> Option<usize> {
        if self.is_awake() { self.flow.video_budget(now) } else { None }
    }

    /// When [`Self::video_budget`] gives something if nothing comes in before.
    pub fn video_ready_at(&self, now: Instant) -> Option<Instant> {
        self.paced(Kind::Video, now)
    }

    /// A video frame went to its encoder: from here on the next is paced, and none begins until
    /// this one was [`Self::sent`] or [`Self::video_dropped`].
    pub fn video_started(&mut self, now: Instant) {
        self.flow.video_started(now);
    }

    /// The video frame that was started came to nothing.
    pub fn video_dropped(&mut self) {
        self.flow.video_dropped();
    }

    /// What moved as video rests: until the next video frame is started, nothing need be kept free
    /// for one, and [`Self::refine_budget`] gives what there is.
    pub fn video_rests(&mut self) {
        self.flow.video_rests();
    }

    /// Bytes that video frames should have, whether or not one may begin.
    pub fn video_target(&self, now: Instant) -> usize {
        self.flow.video_target(now)
    }

    /// A frame goes out. One that paints [`EncodedFrame::lossy`] tiles is video; it may go though
    /// there is no budget any more, since it was begun when there was.
    pub fn sent(&mut self, frame: EncodedFrame, now: Instant) {
        let kind = if frame.lossy.is_empty() { Kind::Tiles } else { Kind::Video };
        let tiles = frame.tiles.len() + frame.lossy.len();
        for &(tile, hash) in &frame.tiles {
            self.update(tile, |tile| tile.drawn = Some(hash));
        }
        for &tile in &frame.lossy {
            self.update(tile, |tile| *tile = Tile::default());
        }
        self.flow.sent(kind, frame.bytes, tiles, now);
        self.last_frame = Some(frame.frame);
        self.frames.push_back(Sent {
            frame: frame.frame,
            tiles: frame.tiles,
            of_this_picture: true,
        });
    }

    /// Takes in one message of the viewer.
    pub fn received(
        &mut self,
        header: Header,
        payload: &[u8],
        now: Instant,
    ) -> Result<Vec<Event>, ProtocolError> {
        match header.kind {
            kind::VIEWER => self.viewer_message(wire::json(payload)?, now),
            kind::ACK if self.greeted => self.acknowledged(&Ack::decode(payload)?, now),
            kind::ACK => Err(ProtocolError::Hello),
            _ if header.is_optional() => Ok(Vec::new()),
            other => Err(ProtocolError::UnexpectedKind(other)),
        }
    }

    /// Says once for each newest frame that the viewer's picture is the agent's.
    ///
    /// `has_work`: the agent knows of changes that no frame has carried yet.
    pub fn exact(&mut self, has_work: bool) -> Option<AgentMessage> {
        let frame = self.last_frame?;
        if !self.is_exact(has_work) {
            return None;
        }
        let root = wire::root_hash(self.tiles.iter().filter_map(|tile| tile.held));
        self.said_exact = Some(frame);
        Some(AgentMessage::Exact { frame, root: wire::root_text(root) })
    }

    /// Whether [`Self::exact`] has something to say.
    pub fn is_exact(&self, has_work: bool) -> bool {
        let is_news = self.last_frame.is_some() && self.said_exact != self.last_frame;
        is_news && !has_work && self.open == 0 && self.frames.is_empty()
    }

    /// Whether the viewer took nothing for so long that its stream should end.
    pub fn is_stalled(&self, now: Instant) -> bool {
        self.stalls_at().is_some_and(|at| now >= at)
    }

    /// When [`Self::is_stalled`] becomes true unless something comes in.
    pub fn stalls_at(&self) -> Option<Instant> {
        // A hidden page is not drawn by its browser, so its acknowledgements may rest.
        if self.visible { self.flow.stalls_at(self.visible_since) } else { None }
    }

    pub fn is_greeted(&self) -> bool {
        self.greeted
    }

    pub fn is_visible(&self) -> bool {
        self.visible
    }

    pub fn frames_in_flight(&self) -> usize {
        self.flow.frames()
    }

    pub fn bytes_in_flight(&self) -> usize {
        self.flow.bytes()
    }

    /// Shortest time lately from sending a frame to its acknowledgement, the page's work left out.
    pub fn way(&self) -> Option<Duration> {
        self.flow.way()
    }

    /// What the line is believed to carry, bytes per second; `None`: not known yet.
    pub fn line_rate(&self) -> Option<u64> {
        self.flow.rate()
    }

    /// Bytes that the line carries in the time of one frame; a guess until it is known.
    pub fn frame_bytes(&self) -> usize {
        self.flow.frame_bytes()
    }

    /// What frames waited in line lately, on top of the way and their own time on the line.
    pub fn queue_delay(&self) -> Duration {
        self.flow.queue()
    }

    /// What the viewer takes for frames.
    pub fn viewer_cost(&self) -> ViewerCost {
        self.flow.viewer_cost()
    }

    /// What keeps frames from going out faster, as far as it is seen from here.
    pub fn limit(&self, now: Instant) -> Limit {
        self.flow.limit(now)
    }

    /// How this stream goes. What is known about encoders is the caller's to fill in.
    pub fn status(&self, now: Instant) -> Status {
        let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let kbit = self.line_rate().map_or(0, |rate| rate.saturating_mul(8) / 1000);
        Status {
            encoder: "tiles".to_owned(),
            frames_per_s: self.flow.frames_per_s(now),
            line_kbit_per_s: u32::try_from(kbit).unwrap_or(u32::MAX),
            way_us: micros(self.way().unwrap_or_default()),
            queue_us: micros(self.queue_delay()),
            limit: self.limit(now),
            ..Status::default()
        }
    }

    fn is_awake(&self) -> bool {
        self.greeted && self.visible
    }

    fn paced(&self, kind: Kind, now: Instant) -> Option<Instant> {
        if !self.is_awake() || self.flow.is_full(kind, now) {
            return None;
        }
        Some(self.flow.paced_until(kind).unwrap_or(now))
    }

    fn viewer_message(
        &mut self,
        message: ViewerMessage,
        now: Instant,
    ) -> Result<Vec<Event>, ProtocolError> {
        if self.greeted == matches!(message, ViewerMessage::Hello { .. }) {
            return Err(ProtocolError::Hello);
        }
        let event = match message {
            ViewerMessage::Hello { version, width, height, mut decodes, quality } => {
                if version != control::VERSION {
                    return Err(ProtocolError::Version { theirs: version, ours: control::VERSION });
                }
                self.greeted = true;
                decodes.retain(|&codec| codec != VideoCodec::Unknown);
                decodes.sort_unstable();
                decodes.dedup();
                let (width, height) = (u32::from(width), u32::from(height));
                Event::Hello { width, height, decodes, quality }
            }
            ViewerMessage::Resize { width, height } => Event::Resize { width, height },
            ViewerMessage::Key { code, down } => {
                let code = short_word(code, "the key's code")?;
                Event::Input(Input::Key { code, down })
            }
            ViewerMessage::Pointer { x, y } => Event::Input(Input::Pointer { x, y }),
            ViewerMessage::Button { x, y, button, down } => {
                Event::Input(Input::Button { x, y, button, down })
            }
            ViewerMessage::Wheel { x, y, dx, dy } => {
                if !(dx.abs() <= NOTCHES_MAX && dy.abs() <= NOTCHES_MAX) {
                    return Err(ProtocolError::OutOfBounds("the wheel's way"));
                }
                Event::Input(Input::Wheel { x, y, dx, dy })
            }
            ViewerMessage::ReleaseAll => Event::Input(Input::ReleaseAll),
            ViewerMessage::Visible { visible } => {
                if visible && !self.visible {
                    self.visible_since = now;
                    self.flow.rested();
                }
                self.visible = visible;
                Event::Visible(visible)
            }
            ViewerMessage::Repair { tiles } => return Ok(self.repair(tiles)),
            ViewerMessage::Layout { name } => Event::Layout(short_word(name, "the layout's name")?),
            ViewerMessage::Quality { quality } => Event::Quality(quality),
            ViewerMessage::Region { region } => Event::Region(region),
            ViewerMessage::Watch { on } => Event::Watch(on),
            ViewerMessage::VideoFailed { codec } => Event::VideoFailed(codec),
            ViewerMessage::KeyFrame => Event::KeyFrame,
            ViewerMessage::SliceShown { place, picture, hash } => {
                let is_hash = hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
                let hash = u64::from_str_radix(&hash, 16).ok().filter(|_| is_hash);
                let hash = hash.ok_or(ProtocolError::OutOfBounds("the hash of a slice"))?;
                Event::SliceShown { place, picture, hash }
            }
            ViewerMessage::Unknown => return Ok(Vec::new()),
        };
        Ok(vec![event])
    }

    fn repair(&mut self, mut tiles: Vec<u16>) -> Vec<Event> {
        // A resize may have crossed the message, so tiles that are no more are no error.
        tiles.retain(|&tile| usize::from(tile) < self.tiles.len());
        tiles.sort_unstable();
        tiles.dedup();
        for &tile in &tiles {
            self.update(tile, |tile| tile.held = None);
        }
        if tiles.is_empty() { Vec::new() } else { vec![Event::Repair(tiles)] }
    }

    fn acknowledged(&mut self, ack: &Ack, now: Instant) -> Result<Vec<Event>, ProtocolError> {
        if self.frames.front().is_none_or(|sent| sent.frame != ack.frame) {
            return Err(ProtocolError::UnknownFrame(ack.frame));
        }
        let Some(sent) = self.frames.pop_front() else {
            return Err(ProtocolError::UnknownFrame(ack.frame));
        };
        let micros = |us: u32| Duration::from_micros(us.into());
        let shown = Shown { decode: micros(ack.decode_us), present: micros(ack.shown_us) };
        self.flow.acknowledged(shown, now);
        if !sent.of_this_picture {
            return Ok(Vec::new());
        }
        let mut acked = ack.tiles.clone();
        acked.sort_unstable();
        let mut wrong = Vec::new();
        for &(tile, hash) in &sent.tiles {
            let at = acked.binary_search_by_key(&tile, |&(tile, _)| tile);
            let held = at.ok().and_then(|at| acked.get(at)).map(|&(_, hash)| hash);
            self.update(tile, |tile| tile.held = held);
            if held != Some(hash) {
                wrong.push(tile);
            }
        }
        Ok(if wrong.is_empty() { Vec::new() } else { vec![Event::Repair(wrong)] })
    }

    fn update(&mut self, tile: u16, change: impl FnOnce(&mut Tile)) {
        let Some(tile) = self.tiles.get_mut(usize::from(tile)) else { return };
        let was_open = tile.is_open();
        change(tile);
        match (was_open, tile.is_open()) {
            (true, false) => self.open -= 1,
            (false, true) => self.open += 1,
            (true, true) | (false, false) => {}
        }
    }
}

fn short_word(text: String, what: &'static str) -> Result<String, ProtocolError> {
    let is_word = !text.is_empty() && text.len() <= WORD_BYTES_MAX && text.is_ascii();
    if is_word { Ok(text) } else { Err(ProtocolError::OutOfBounds(what)) }
}

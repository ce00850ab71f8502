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
    control::{self, AgentMessage, ViewerMessage},
    flow::Flow,
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
            flow: Flow::new(now),
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

    /// Bytes the next frame may have; `None`: encode nothing now. See [`Self::ready_at`].
    pub fn budget(&self, now: Instant) -> Option<usize> {
        if self.greeted && self.visible { self.flow.budget(now) } else { None }
    }

    /// When [`Self::budget`] gives something if nothing comes in before; `None`: not by itself.
    pub fn ready_at(&self, now: Instant) -> Option<Instant> {
        if !self.greeted || !self.visible || self.flow.is_full(now) {
            return None;
        }
        Some(self.flow.paced_until().unwrap_or(now))
    }

    /// A frame goes out.
    pub fn sent(&mut self, frame: EncodedFrame, now: Instant) {
        for &(tile, hash) in &frame.tiles {
            self.update(tile, |tile| tile.drawn = Some(hash));
        }
        self.flow.sent(frame.bytes, now);
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

    /// Shortest time lately from sending a frame to its acknowledgement.
    pub fn way(&self) -> Option<Duration> {
        self.flow.way()
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
            ViewerMessage::Hello { version, width, height } => {
                if version != control::VERSION {
                    return Err(ProtocolError::Version { theirs: version, ours: control::VERSION });
                }
                self.greeted = true;
                Event::Hello { width: u32::from(width), height: u32::from(height) }
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
                }
                self.visible = visible;
                Event::Visible(visible)
            }
            ViewerMessage::Repair { tiles } => return Ok(self.repair(tiles)),
            ViewerMessage::Layout { name } => Event::Layout(short_word(name, "the layout's name")?),
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
        self.flow.acknowledged(now);
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

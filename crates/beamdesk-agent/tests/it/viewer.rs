//! A viewer, as a browser is one: holds a picture, acknowledges what it drew, checks what is exact.

use std::{collections::BTreeSet, time::Duration};

use beamdesk_media::{Decoder, H264Decoder, PictureSize, SliceDecoder};
use beamdesk_proto::{
    control::{AgentMessage, Open, Quality, VERSION, VideoCodec, ViewerMessage},
    wire::{self, Ack, DOWN_BYTES_MAX, Framer, VideoHead, flag, kind, root_text},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

/// Anything here happens within a fraction of it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Viewer<S> {
    stream: S,
    framer: Framer,
    pub(crate) decoder: Decoder,
    /// Acknowledge each frame as it comes.
    pub(crate) acknowledges: bool,
    /// Spoil the hash of this tile in the next acknowledgement that has it.
    pub(crate) lies_about: Option<u16>,
    pub(crate) frames: u32,
    pub(crate) bytes: usize,
    pub(crate) cursors: u32,
    /// What it would show, blue, green, red: tiles as held, and what video painted.
    canvas: Vec<u8>,
    shows: bool,
    video: Option<H264Decoder>,
    bitstream: Vec<u8>,
    pub(crate) videos: u32,
    pub(crate) keys: u32,
    /// Tiles painted by video and not replaced since.
    pub(crate) lossy: BTreeSet<u16>,
    /// What it says that a frame and each of its tiles took.
    pub(crate) work_us: (u32, u32),
    pub(crate) slices: SliceDecoder,
    /// Spoil the hashes of so many 16-bit pictures.
    pub(crate) lies_about_slices: u32,
}

/// What a viewer learnt from one message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    Told(AgentMessage),
    /// Numbers of the tiles the frame touched.
    Frame(Vec<u16>),
    Cursor,
    Part,
    /// Numbers of the tiles that video painted.
    Video(Vec<u16>),
    /// A part of a 16-bit picture, and its place when it is whole.
    Slice(Option<u8>),
    /// The agent closed the connection.
    End,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Viewer<S> {
    /// A connection that has been opened, and no more.
    pub(crate) async fn open(mut stream: S) -> Self {
        let open = Open {
            version: VERSION,
            stream: beamdesk_types::StreamId::fresh(),
            user_name: "li".to_owned(),
        };
        stream.write_all(&wire::json_message(kind::OPEN, &open)).await.unwrap();
        Self {
            stream,
            framer: Framer::new(DOWN_BYTES_MAX),
            decoder: Decoder::new(PictureSize::clamped(64, 64), 0),
            acknowledges: true,
            lies_about: None,
            frames: 0,
            bytes: 0,
            cursors: 0,
            canvas: Vec::new(),
            shows: false,
            video: None,
            bitstream: Vec::new(),
            videos: 0,
            keys: 0,
            lossy: BTreeSet::new(),
            work_us: (100, 1),
            slices: SliceDecoder::new(),
            lies_about_slices: 0,
        }
    }

    /// A viewer with a window of a size, greeted.
    pub(crate) async fn greet(stream: S, width: u16, height: u16) -> Self {
        Self::greet_with(stream, (width, height), Vec::new(), Quality::Automatic).await
    }

    /// As [`Self::greet`], by a browser that decodes something.
    pub(crate) async fn greet_with(
        stream: S,
        (width, height): (u16, u16),
        decodes: Vec<VideoCodec>,
        quality: Quality,
    ) -> Self {
        let mut viewer = Self::open(stream).await;
        let can = decodes.clone();
        let hello = ViewerMessage::Hello { version: VERSION, width, height, decodes: can, quality };
        viewer.say(&hello).await;
        let seen = viewer.next().await;
        let Seen::Told(AgentMessage::Hello { width, height, cache_slots, .. }) = seen else {
            panic!("a hello comes first, not {seen:?}");
        };
        let size = PictureSize::new(width, height).unwrap();
        viewer.decoder = Decoder::new(size, cache_slots);
        viewer.shows = !decodes.is_empty();
        viewer.canvas = viewer.black();
        viewer
    }

    pub(crate) async fn say(&mut self, message: &ViewerMessage) {
        self.write(&wire::json_message(kind::VIEWER, message)).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> Seen {
        timeout(DEADLINE, self.next_unbounded()).await.expect("something comes in time")
    }

    /// Reads on until the agent says that the picture is exact, and checks that it is.
    pub(crate) async fn until_exact(&mut self) -> u32 {
        loop {
            match self.next().await {
                Seen::Told(AgentMessage::Exact { frame, root }) => {
                    assert_eq!(root, root_text(self.decoder.root()), "exact is what we hold");
                    assert_eq!(self.lossy, BTreeSet::new(), "exact is what we show");
                    if !self.canvas.is_empty() {
                        assert!(self.shows_what_it_holds(), "exact is what we show");
                    }
                    return frame;
                }
                Seen::Told(_) | Seen::Frame(_) | Seen::Cursor | Seen::Part => {}
                Seen::Video(_) | Seen::Slice(_) => {}
                Seen::End => panic!("the agent closed the connection"),
            }
        }
    }

    /// Reads on until the agent closes the connection.
    pub(crate) async fn until_end(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        loop {
            match self.next().await {
                Seen::End => return seen,
                one => seen.push(one),
            }
        }
    }

    async fn next_unbounded(&mut self) -> Seen {
        loop {
            if let Some(message) = self.framer.next_message().unwrap() {
                self.bytes += message.header.message_len();
                return self.took(message).await;
            }
            match self.stream.read_buf(self.framer.buffer_mut()).await {
                Ok(0) | Err(_) => return Seen::End,
                Ok(_) => {}
            }
        }
    }

    async fn took(&mut self, message: wire::Message) -> Seen {
        match message.header.kind {
            kind::AGENT => {
                let told = wire::json(&message.payload).unwrap();
                if let AgentMessage::Resized { width, height } = told {
                    let size = PictureSize::new(width, height).unwrap();
                    self.decoder.resize(size);
                    self.canvas = self.black();
                    self.lossy.clear();
                }
                Seen::Told(told)
            }
            kind::CURSOR => {
                self.cursors += 1;
                Seen::Cursor
            }
            kind::TILES => {
                let shown = self.decoder.tiles(message.header.flags, &message.payload).unwrap();
                let Some(mut shown) = shown else { return Seen::Part };
                self.frames += 1;
                let touched: Vec<u16> = shown.tiles.iter().map(|&(tile, _)| tile).collect();
                self.draw_held(&touched);
                if let Some(lie) = shown.tiles.iter_mut().find(|t| Some(t.0) == self.lies_about) {
                    lie.1 ^= 1;
                    self.lies_about = None;
                }
                self.acknowledge(shown.frame, shown.tiles).await;
                Seen::Frame(touched)
            }
            kind::VIDEO => {
                let (head, part) = VideoHead::split(&message.payload).unwrap();
                self.bitstream.extend_from_slice(part);
                assert_eq!(head.goes_on, message.header.flags & flag::LAST == 0);
                if head.goes_on {
                    return Seen::Part;
                }
                let bitstream = std::mem::take(&mut self.bitstream);
                let painted = self.paint(&head, &bitstream);
                self.videos += 1;
                self.keys += u32::from(head.is_key);
                self.acknowledge(head.frame, Vec::new()).await;
                Seen::Video(painted)
            }
            kind::SLICE => {
                let seen = self.slices.receive(message.header.flags, &message.payload).unwrap();
                if let Some((place, picture, hash)) = seen.whole {
                    let lie = u64::from(self.lies_about_slices > 0);
                    self.lies_about_slices = self.lies_about_slices.saturating_sub(1);
                    let hash = format!("{:016x}", hash ^ lie);
                    self.say(&ViewerMessage::SliceShown { place, picture, hash }).await;
                }
                if seen.is_last {
                    self.acknowledge(seen.frame, Vec::new()).await;
                }
                Seen::Slice(seen.whole.map(|(place, _, _)| place))
            }
            other => panic!("no message of kind {other:#04x} is for a viewer"),
        }
    }

    async fn acknowledge(&mut self, frame: u32, tiles: Vec<(u16, u64)>) {
        if !self.acknowledges {
            return;
        }
        let count = u32::try_from(tiles.len()).unwrap();
        let decode_us = self.work_us.0 + self.work_us.1 * count;
        let ack = Ack { frame, decode_us, shown_us: 0, tiles };
        // The agent may have gone: then the next read says so.
        let bytes = wire::message(kind::ACK, 0, &ack.encode());
        let _ = self.stream.write_all(&bytes).await;
        let _ = self.stream.flush().await;
    }

    fn draw_held(&mut self, tiles: &[u16]) {
        let size = self.decoder.size();
        if self.canvas.is_empty() {
            return;
        }
        for &tile in tiles {
            self.lossy.remove(&tile);
            for at in places(size, tile) {
                let held = &self.decoder.pixels()[at..at + 3];
                self.canvas[at..at + 3].copy_from_slice(&[held[2], held[1], held[0]]);
            }
        }
    }

    /// Decodes a picture and paints what its mask allows.
    fn paint(&mut self, head: &VideoHead, bitstream: &[u8]) -> Vec<u16> {
        assert_eq!(head.codec, VideoCodec::H264.number());
        assert!(head.is_key || self.video.is_some(), "the first picture stands alone");
        let decoder = self.video.get_or_insert_with(|| H264Decoder::new().unwrap());
        let picture = decoder.decode(bitstream).unwrap();
        assert!(picture.width >= head.width.into() && picture.height >= head.height.into());
        let (width, pixels) = (picture.width, picture.to_bgrx());
        let size = self.decoder.size();
        let grid = size.grid();
        let columns = head.width.div_ceil(64);
        let mut painted = Vec::new();
        for bit in 0..columns * head.height.div_ceil(64) {
            if head.mask[usize::from(bit / 8)] >> (bit % 8) & 1 == 0 {
                continue;
            }
            let tile = grid.tile(head.x / 64 + bit % columns, head.y / 64 + bit / columns);
            painted.push(tile);
            self.lossy.insert(tile);
            for at in places(size, tile) {
                let pixel = at / 4;
                let (x, y) = (pixel % usize::from(size.width()), pixel / usize::from(size.width()));
                let from = ((y - usize::from(head.y)) * width + x - usize::from(head.x)) * 4;
                self.canvas[at..at + 3].copy_from_slice(&pixels[from..from + 3]);
            }
        }
        assert!(!painted.is_empty(), "a picture paints something");
        painted
    }

    /// No canvas for who only holds pictures: drawing takes time.
    fn black(&self) -> Vec<u8> {
        let bytes = if self.shows { self.decoder.pixels().len() } else { 0 };
        vec![0; bytes]
    }

    /// Whether the canvas is, pixel for pixel, the picture held.
    pub(crate) fn shows_what_it_holds(&self) -> bool {
        let held = self.decoder.pixels().chunks_exact(4);
        let shown = self.canvas.chunks_exact(4);
        held.zip(shown).all(|(held, shown)| [held[2], held[1], held[0]] == shown[..3])
    }
}

/// Where the pixels of a tile begin.
fn places(size: PictureSize, tile: u16) -> impl Iterator<Item = usize> {
    let rect = size.grid().rect(tile);
    let width = usize::from(size.width());
    let (x, y) = (usize::from(rect.x), usize::from(rect.y));
    let columns = usize::from(rect.width);
    (y..y + usize::from(rect.height))
        .flat_map(move |y| (x..x + columns).map(move |x| (y * width + x) * 4))
}

//! A viewer, as a browser is one: holds a picture, acknowledges what it drew, checks what is exact.

use std::time::Duration;

use beamdesk_media::{Decoder, PictureSize};
use beamdesk_proto::{
    control::{AgentMessage, Open, VERSION, ViewerMessage},
    wire::{self, Ack, DOWN_BYTES_MAX, Framer, kind, root_text},
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
}

/// What a viewer learnt from one message.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    Told(AgentMessage),
    /// Numbers of the tiles the frame touched.
    Frame(Vec<u16>),
    Cursor,
    Part,
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
        }
    }

    /// A viewer with a window of a size, greeted.
    pub(crate) async fn greet(stream: S, width: u16, height: u16) -> Self {
        let mut viewer = Self::open(stream).await;
        viewer.say(&ViewerMessage::Hello { version: VERSION, width, height }).await;
        let seen = viewer.next().await;
        let Seen::Told(AgentMessage::Hello { width, height, cache_slots, .. }) = seen else {
            panic!("a hello comes first, not {seen:?}");
        };
        let size = PictureSize::new(width, height).unwrap();
        viewer.decoder = Decoder::new(size, cache_slots);
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
                    return frame;
                }
                Seen::Told(AgentMessage::Resized { width, height }) => {
                    self.decoder.resize(PictureSize::new(width, height).unwrap());
                }
                Seen::Told(_) | Seen::Frame(_) | Seen::Cursor | Seen::Part => {}
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
            kind::AGENT => Seen::Told(wire::json(&message.payload).unwrap()),
            kind::CURSOR => {
                self.cursors += 1;
                Seen::Cursor
            }
            kind::TILES => {
                let shown = self.decoder.tiles(message.header.flags, &message.payload).unwrap();
                let Some(mut shown) = shown else { return Seen::Part };
                self.frames += 1;
                let touched = shown.tiles.iter().map(|&(tile, _)| tile).collect();
                if let Some(lie) = shown.tiles.iter_mut().find(|t| Some(t.0) == self.lies_about) {
                    lie.1 ^= 1;
                    self.lies_about = None;
                }
                if self.acknowledges {
                    let tiles = shown.tiles;
                    let ack = Ack { frame: shown.frame, decode_us: 100, shown_us: 100, tiles };
                    // The agent may have gone: then the next read says so.
                    let bytes = wire::message(kind::ACK, 0, &ack.encode());
                    let _ = self.stream.write_all(&bytes).await;
                    let _ = self.stream.flush().await;
                }
                Seen::Frame(touched)
            }
            other => panic!("no message of kind {other:#04x} is for a viewer"),
        }
    }
}

//! Control messages: JSON, tagged by `type`; a reader ignores types it does not know.

use beamdesk_types::{CloseReason, DesktopId, StreamId};
use serde::{Deserialize, Serialize};

/// Protocol version spoken by this build; a viewer of the same number works.
pub const VERSION: u16 = 2;
/// More marks than this on one screen mark nothing.
pub const REGIONS_MAX: usize = 8;

/// First message of a WebSocket, viewer → gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateHello {
    pub version: u16,
    /// One-time value from `POST /d/{desktop}/attach`, so that the cookie alone opens nothing.
    pub nonce: String,
}

/// Gateway → viewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum GateMessage {
    /// The agent is reached; its messages follow.
    Welcome {
        desktop: DesktopId,
        desktop_name: String,
        user_name: String,
        /// The messages of this stream are being kept: the viewer must show so.
        #[serde(default)]
        recording: bool,
    },
    /// From here on the messages are kept, or no more, though the stream goes on.
    Recording { on: bool },
    /// The stream ends, and whether it makes sense to come back by oneself.
    Close { reason: CloseReason, retry: bool },
}

/// First message of a TLS connection, gateway → agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    pub version: u16,
    pub stream: StreamId,
    pub user_name: String,
}

/// A video bitstream that a browser may be able to decode. In a `VIDEO` message as its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoCodec {
    /// H.264 High, 4:2:0, full range, BT.709.
    H264,
    /// H.264 High 4:4:4 Predictive, Y'CbCr full range, BT.709: without loss for grey when QP is 0.
    H264Grey,
    /// H.264 High 4:4:4 Predictive, GBR: without loss for colour when QP is 0.
    H264Rgb,
    /// AV1 Main, 4:2:0, full range, BT.709.
    Av1,
    /// HEVC Main, 4:2:0, full range, BT.709.
    Hevc,
    /// Of a newer viewer; never used.
    #[serde(other, skip_serializing)]
    Unknown,
}

impl VideoCodec {
    /// Its number in a `VIDEO` message.
    pub fn number(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::H264 => 1,
            Self::H264Grey => 2,
            Self::H264Rgb => 3,
            Self::Av1 => 4,
            Self::Hevc => 5,
        }
    }
}

/// What the user wants while things move. At rest the picture is exact in each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Exact where line and machines keep up, else video of the best quality that keeps up.
    #[default]
    Automatic,
    /// Nothing but exact pixels, at the rate that this allows.
    ExactMotion,
    /// Few bytes first: for a line that is slow or paid for.
    ThinLink,
}

/// A rectangle of the picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    pub x: u16,
    pub y: u16,
    pub width: u16,
    pub height: u16,
}

/// What keeps the stream from being faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Each change is shown as it comes.
    #[default]
    Nothing,
    Network,
    /// Capture and encoding, on the desktop's machine.
    Encoder,
    /// Decoding and drawing.
    Browser,
}

/// How the agent sees one stream; means over the last second.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Status {
    /// `tiles`, or the name of the video encoder at work: `openh264`, `x264`, `libaom`, `nvenc`.
    pub encoder: String,
    pub codec: Option<VideoCodec>,
    /// Quantiser of the last video frame.
    pub qp: Option<u8>,
    /// Part of the picture that moves as video, in tiles.
    pub video_tiles: u16,
    /// Frames sent in the last second.
    pub frames_per_s: u16,
    /// What the line is believed to carry; 0: not known yet.
    pub line_kbit_per_s: u32,
    pub capture_us: u32,
    pub encode_us: u32,
    /// Shortest time lately from sending to acknowledgement.
    pub way_us: u32,
    /// What frames waited on top of that.
    pub queue_us: u32,
    pub limit: Limit,
}

/// Agent → viewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AgentMessage {
    Hello {
        version: u16,
        width: u16,
        height: u16,
        cache_slots: u16,
        /// Largest picture the X server can make.
        width_max: u16,
        height_max: u16,
        /// Keyboard layouts the viewer may ask for.
        layouts: Vec<String>,
    },
    /// The picture has a new size: the viewer's is black again, its cache is kept.
    Resized { width: u16, height: u16 },
    /// The asked size cannot be had; the picture stays as it is.
    ResizeRefused { width_max: u16, height_max: u16 },
    /// All tiles up to this frame are acknowledged with the right hash.
    Exact {
        frame: u32,
        /// Hex of the root hash, 16 digits: JSON numbers are too small.
        root: String,
    },
    /// Something the user should know, as a stable word: `x_server_gone`.
    Notice { code: String },
    /// Once a second while the viewer watches.
    Status(Status),
    /// Rectangles that programs have marked as what matters; at most [`REGIONS_MAX`].
    Marked { regions: Vec<Region> },
    /// Of a newer version; ignored.
    #[serde(other, skip_serializing)]
    Unknown,
}

/// Viewer → agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ViewerMessage {
    /// Starts the stream. Size: of the browser's drawing area, device pixels.
    Hello {
        version: u16,
        width: u16,
        height: u16,
        /// What this browser was seen to decode, in right colours, frame by frame.
        #[serde(default)]
        decodes: Vec<VideoCodec>,
        #[serde(default)]
        quality: Quality,
    },
    Resize {
        width: u32,
        height: u32,
    },
    /// `code` is `KeyboardEvent.code`.
    Key {
        code: String,
        down: bool,
    },
    Pointer {
        x: u16,
        y: u16,
    },
    /// `button` is `MouseEvent.button`: 0 left, 1 middle, 2 right, 3 back, 4 forward.
    Button {
        x: u16,
        y: u16,
        button: u8,
        down: bool,
    },
    /// Notches; positive is down and right. Fractions add up at the agent.
    Wheel {
        x: u16,
        y: u16,
        dx: f32,
        dy: f32,
    },
    /// Lets go of all keys and buttons: focus was lost.
    ReleaseAll,
    Visible {
        visible: bool,
    },
    /// These tiles do not read back as held: send them again.
    Repair {
        tiles: Vec<u16>,
    },
    /// One of the layouts of `hello`.
    Layout {
        name: String,
    },
    Quality {
        quality: Quality,
    },
    /// What the user has marked as what matters; `None`: nothing any more.
    Region {
        region: Option<Region>,
    },
    /// Whether [`AgentMessage::Status`] is wanted.
    Watch {
        on: bool,
    },
    /// The decoder of this codec failed or gave nothing: no more of it on this stream, and what it
    /// should have painted comes as tiles.
    VideoFailed {
        codec: VideoCodec,
    },
    /// The decoder lost its reference: the next video frame must stand alone.
    KeyFrame,
    /// A 16-bit picture is whole; the hash is of the values held, 16 hex digits.
    SliceShown {
        place: u8,
        picture: u32,
        hash: String,
    },
    /// Of a newer version; ignored.
    #[serde(other, skip_serializing)]
    Unknown,
}

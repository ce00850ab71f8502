//! Control messages: JSON, tagged by `type`; a reader ignores types it does not know.

use beamdesk_types::{CloseReason, DesktopId, StreamId};
use serde::{Deserialize, Serialize};

/// Protocol version spoken by this build; a viewer of the same number works.
pub const VERSION: u16 = 1;

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
    Welcome { desktop: DesktopId, desktop_name: String, user_name: String },
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
    /// Of a newer version; ignored.
    #[serde(other, skip_serializing)]
    Unknown,
}

//! What an encoder tells a session about one frame it made.

/// One frame: one or more `TILES` messages, or the `VIDEO` messages of one picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedFrame {
    /// Number of the frame, the same in each of its messages and in its acknowledgement.
    pub frame: u32,
    /// Length of all its messages on the wire, headers included.
    pub bytes: usize,
    /// Tiles the frame touched, with the hash of what each must be once the frame is drawn.
    pub tiles: Vec<(u16, u64)>,
    /// Tiles painted by video: what the viewer shows there counts as unknown until tiles replace it.
    pub lossy: Vec<u16>,
    /// Whether the encoder had nothing left to send after this frame.
    pub complete: bool,
}

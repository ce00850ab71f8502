//! Numbers of the `TILES` message that encoder and decoder share; see docs/protocol.md.

/// Operation codes.
pub(crate) mod op {
    pub(crate) const SOLID: u8 = 0;
    pub(crate) const PALETTE: u8 = 1;
    pub(crate) const GREY: u8 = 2;
    pub(crate) const RGB: u8 = 3;
    pub(crate) const COPY: u8 = 4;
    pub(crate) const SAVE: u8 = 5;
    pub(crate) const LOAD: u8 = 6;
}

pub(crate) const PREDICT_NONE: u8 = 0;
pub(crate) const PREDICT_MED: u8 = 1;

/// Number of the frame and time of capture, before the body.
pub(crate) const PREFIX_BYTES: usize = 4 + 8;

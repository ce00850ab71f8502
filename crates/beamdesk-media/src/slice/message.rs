//! Puts pictures into messages.

use beamdesk_proto::wire::{HEADER_BYTES, flag, kind};
use bytes::{BufMut, Bytes, BytesMut};

use super::{PREFIX_BYTES, ROWS_BYTES, SLICE_VERSION, SliceImage, SlicePlace, op};

/// `SHOW`, behind the prefix.
const SHOW_BYTES: usize = 44;

/// The messages of one frame in the making.
#[derive(Debug)]
pub struct SliceMessages {
    frame: u32,
    messages: Vec<BytesMut>,
    bytes: usize,
}

impl SliceMessages {
    pub fn new(frame: u32) -> Self {
        Self { frame, messages: Vec::new(), bytes: 0 }
    }

    /// A picture begins, its rows follow; or one that the viewer knows has another rectangle or
    /// contrast.
    pub fn show(&mut self, place: u8, picture: u32, image: &SliceImage, at: &SlicePlace) {
        let mut message = self.begin(op::SHOW, place, 0, SHOW_BYTES);
        message.put_u32_le(picture);
        message.put_i16_le(at.rect.x);
        message.put_i16_le(at.rect.y);
        message.put_u16_le(at.rect.width);
        message.put_u16_le(at.rect.height);
        message.put_u16_le(image.size().columns());
        message.put_u16_le(image.size().rows());
        message.put_f64_le(at.window);
        message.put_f64_le(at.level);
        message.put_i32_le(at.offset);
        message.put_u64_le(image.hash());
        self.push(message);
    }

    /// One band of a picture's rows; nothing if it has no such band.
    pub fn rows(&mut self, place: u8, picture: u32, image: &SliceImage, band: usize) {
        let Some(band) = image.band(band) else { return };
        let flags = if band.is_packed { flag::ZSTD } else { 0 };
        let mut message = self.begin(op::ROWS, place, flags, ROWS_BYTES + band.body.len());
        message.put_u32_le(picture);
        message.put_u16_le(band.first);
        message.put_u16_le(band.count);
        message.put_u8(band.predictor.number());
        message.put_slice(&band.body);
        self.push(message);
    }

    pub fn hide(&mut self, place: u8) {
        let message = self.begin(op::HIDE, place, 0, 0);
        self.push(message);
    }

    /// Length of all its messages so far, headers included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Ends the frame: its messages, all of which must be sent, in order.
    pub fn finish(mut self, out: &mut Vec<Bytes>) {
        if let Some(last) = self.messages.last_mut() {
            last[1] |= flag::LAST;
        }
        out.extend(self.messages.into_iter().map(BytesMut::freeze));
    }

    fn begin(&self, op: u8, place: u8, flags: u8, length: usize) -> BytesMut {
        let payload = PREFIX_BYTES + length;
        let mut message = BytesMut::with_capacity(HEADER_BYTES + payload);
        message.put_u8(kind::SLICE);
        message.put_u8(flags);
        message.put_u16_le(0);
        message.put_u32_le(u32::try_from(payload).expect("far less than 4 GiB"));
        message.put_u32_le(self.frame);
        message.put_slice(&[SLICE_VERSION, op, place, 0]);
        message
    }

    fn push(&mut self, message: BytesMut) {
        self.bytes += message.len();
        self.messages.push(message);
    }
}

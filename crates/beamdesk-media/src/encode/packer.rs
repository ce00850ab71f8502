//! Gathers operations into messages: packs them, keeps them short, marks the last one.

use beamdesk_proto::wire::{HEADER_BYTES, flag, kind};
use bytes::{BufMut, Bytes, BytesMut};
use zstd::bulk::Compressor;

use super::{FrameHead, ORDINARY_RATIO};
use crate::ops::PREFIX_BYTES;

/// Longest payload of a message: a new frame waits behind at most one of them.
const PAYLOAD_BYTES_MAX: usize = 64 << 10;
const BODY_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - PREFIX_BYTES;
/// Most that is packed into one message; bounds what a wrong guess of the ratio can cost.
const GATHERED_BYTES_MAX: usize = 256 << 10;
/// Shorter bodies do not get smaller by packing.
const PACK_BYTES_MIN: usize = 80;
/// Fastest level; the measured ones above it cost more than they save.
const ZSTD_LEVEL: i32 = 1;
/// Of the expected size, so that a message seldom has to be cut in two.
const SAFETY: f32 = 0.85;

/// One frame in the making.
pub(super) struct Packer {
    compressor: Compressor<'static>,
    packed: Vec<u8>,
    /// Packed over gathered size of late messages.
    ratio: f32,
    ops: Vec<u8>,
    pixels: Vec<u8>,
    /// Ends of the operations and pixels of each step: a message may be cut only there.
    steps: Vec<(usize, usize)>,
    messages: Vec<BytesMut>,
    head: FrameHead,
    bytes: usize,
    /// Operations and pixels of the frame before they were packed.
    raw: usize,
}

impl Packer {
    pub(super) fn new() -> Self {
        let compressor = Compressor::new(ZSTD_LEVEL).expect("zstd knows its own levels");
        Self {
            compressor,
            packed: Vec::new(),
            ratio: ORDINARY_RATIO,
            ops: Vec::new(),
            pixels: Vec::new(),
            steps: Vec::new(),
            messages: Vec::new(),
            head: FrameHead { frame: 0, captured_us: 0 },
            bytes: 0,
            raw: 0,
        }
    }

    pub(super) fn start(&mut self, head: FrameHead) {
        self.head = head;
        self.bytes = 0;
        self.raw = 0;
    }

    /// What one step would take before and after packing; between frames only.
    pub(super) fn weigh(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>),
    ) -> (usize, usize) {
        write(&mut self.ops, &mut self.pixels);
        let mut body = std::mem::take(&mut self.ops);
        body.append(&mut self.pixels);
        let ratio = self.ratio;
        let packed = if self.squeeze(&body) { self.packed.len() } else { body.len() };
        self.ratio = ratio;
        let raw = body.len();
        body.clear();
        self.ops = body;
        (raw, packed)
    }

    /// Operations and pixels of the frame so far, or of the last one, before packing.
    pub(super) fn raw(&self) -> usize {
        self.raw
    }

    /// Expected size on the wire of so many bytes of operations and pixels.
    fn expected(&self, gathered: usize) -> usize {
        scale(gathered, self.ratio)
    }

    /// What the frame takes on the wire so far; a guess for the part not packed yet.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.expected(self.ops.len() + self.pixels.len())
    }

    /// Adds one step: `write` appends operations and their pixels.
    pub(super) fn step(&mut self, budget: usize, write: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) {
        write(&mut self.ops, &mut self.pixels);
        self.steps.push((self.ops.len(), self.pixels.len()));
        let gathered = self.ops.len() + self.pixels.len();
        let left = budget.saturating_sub(self.bytes).min(BODY_BYTES_MAX);
        if gathered >= GATHERED_BYTES_MAX || scale(gathered, self.ratio) >= scale(left, SAFETY) {
            self.flush();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.steps.is_empty()
    }

    /// Ends the frame and gives its length; an empty frame is one message without operations.
    pub(super) fn finish(&mut self, out: &mut Vec<Bytes>) -> usize {
        if self.is_empty() {
            self.steps.push((0, 0));
        }
        self.flush();
        if let Some(last) = self.messages.last_mut() {
            last[1] |= flag::LAST;
        }
        out.extend(self.messages.drain(..).map(BytesMut::freeze));
        std::mem::take(&mut self.bytes)
    }

    /// Packs what was gathered into one message, or more if one would be too long.
    fn flush(&mut self) {
        let steps = std::mem::take(&mut self.steps);
        self.raw += self.ops.len() + self.pixels.len();
        self.pack(&steps, (0, 0));
        self.steps = steps;
        self.steps.clear();
        self.ops.clear();
        self.pixels.clear();
    }

    fn pack(&mut self, steps: &[(usize, usize)], start: (usize, usize)) {
        let Some(&end) = steps.last() else { return };
        let ops = &self.ops[start.0..end.0];
        let pixels = &self.pixels[start.1..end.1];
        let mut body = Vec::with_capacity(4 + ops.len() + pixels.len());
        body.put_u32_le(u32::try_from(ops.len()).expect("far less than 4 GiB"));
        body.extend_from_slice(ops);
        body.extend_from_slice(pixels);

        let is_packed = body.len() >= PACK_BYTES_MIN && self.squeeze(&body);
        let content = if is_packed { &self.packed } else { &body };
        if content.len() > BODY_BYTES_MAX && steps.len() > 1 {
            let (first, second) = steps.split_at(steps.len() / 2);
            let middle = first.last().copied().unwrap_or(start);
            self.pack(first, start);
            self.pack(second, middle);
            return;
        }

        let payload = PREFIX_BYTES + content.len();
        let mut message = BytesMut::with_capacity(HEADER_BYTES + payload);
        message.put_u8(kind::TILES);
        message.put_u8(if is_packed { flag::ZSTD } else { 0 });
        message.put_u16_le(0);
        message.put_u32_le(u32::try_from(payload).expect("far less than 4 GiB"));
        message.put_u32_le(self.head.frame);
        message.put_u64_le(self.head.captured_us);
        message.put_slice(content);
        self.bytes += message.len();
        self.messages.push(message);
    }

    /// Packs the body; false if that made it no smaller.
    fn squeeze(&mut self, body: &[u8]) -> bool {
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(body.len()));
        let packed = match self.compressor.compress_to_buffer(body, &mut self.packed) {
            Ok(length) if length < body.len() => length,
            Ok(_) | Err(_) => body.len(),
        };
        if body.len() > 4096 {
            self.ratio = (self.ratio + ratio(packed, body.len())) / 2.0;
        }
        packed < body.len()
    }
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer")
            .field("head", &self.head)
            .field("ratio", &self.ratio)
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of a size far below 2^24"
)]
fn scale(bytes: usize, by: f32) -> usize {
    (bytes as f32 * by) as usize
}

#[expect(clippy::cast_precision_loss, reason = "sizes far below 2^24")]
fn ratio(packed: usize, gathered: usize) -> f32 {
    packed as f32 / gathered as f32
}

//! A viewer as the protocol describes it: splits messages, decodes, acknowledges.

use std::time::{Duration, Instant};

use beamdesk_media::{
    Decoder, Encoder, FrameHead, FrameSource, Picture, PictureSize, Portion, Shown, TileEncoder,
    Update,
};
use beamdesk_proto::EncodedFrame;
use beamdesk_proto::wire::{HEADER_BYTES, flag, kind};
use bytes::Bytes;

pub(crate) const PAYLOAD_MAX: usize = 64 << 10;
pub(crate) const UNLIMITED: usize = usize::MAX;

/// An encoder and its viewer, with a clock of their own.
pub(crate) struct Pair {
    pub(crate) encoder: TileEncoder,
    pub(crate) decoder: Decoder,
    pub(crate) now: Instant,
    pub(crate) frames: u32,
    pub(crate) bytes: usize,
    pub(crate) slots: u16,
}

impl Pair {
    pub(crate) fn new(size: PictureSize, cache_slots: u16) -> Self {
        Self {
            encoder: TileEncoder::new(size, cache_slots),
            decoder: Decoder::new(size, cache_slots),
            now: start(),
            frames: 0,
            bytes: 0,
            slots: cache_slots,
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    pub(crate) fn note(&mut self, update: &Update) {
        self.encoder.note(update, self.now);
    }

    /// Video paints over tiles. What the viewer holds of them stays; where nothing is put aside of
    /// it, it is spoiled all the same, so that whatever is not sent whole shows.
    pub(crate) fn spoil(&mut self, tiles: &[u16]) {
        self.encoder.spoil(tiles);
        let grid = self.decoder.size().grid();
        for &tile in tiles.iter().filter(|&&tile| tile < grid.count() && self.slots == 0) {
            let rect = grid.rect(tile);
            self.decoder.corrupt(rect.x, rect.y);
            self.decoder.corrupt(rect.x + rect.width - 1, rect.y + rect.height - 1);
        }
    }

    /// One frame, checked against all that the protocol and the session rely on.
    pub(crate) fn frame(&mut self, picture: &Picture, bytes: usize) -> Option<EncodedFrame> {
        let all: Vec<u16> = (0..picture.tiles_count()).collect();
        let head = FrameHead { frame: self.frames, captured_us: 77 };
        let portions = [Portion { tiles: &all, bytes }];
        let mut messages = Vec::new();
        let Some(frame) = self.encoder.encode(picture, head, &portions, &mut messages) else {
            assert!(messages.is_empty());
            return None;
        };
        let shown = show(&mut self.decoder, &messages).expect("the last message ends the frame");
        assert_eq!((shown.frame, shown.captured_us), (frame.frame, 77));
        assert_eq!(shown.tiles, frame.tiles, "the viewer holds what the agent thinks it holds");
        assert_eq!(frame.bytes, messages.iter().map(Bytes::len).sum::<usize>());
        assert_eq!(frame.complete, !self.encoder.has_work());
        if frame.complete {
            assert_same(picture, &self.decoder);
        }
        self.bytes += frame.bytes;
        self.frames += 1;
        Some(frame)
    }

    /// Frames until nothing is left; gives how many.
    pub(crate) fn settle(&mut self, picture: &Picture, bytes: usize) -> usize {
        let mut frames = 0;
        while self.encoder.has_work() {
            if self.frame(picture, bytes).is_some() {
                frames += 1;
            }
            assert!(frames <= 10_000, "each frame must bring something");
        }
        assert_same(picture, &self.decoder);
        frames
    }

    pub(crate) fn follow(&mut self, source: &mut impl FrameSource, bytes: usize) {
        if let Some(update) = source.capture().unwrap() {
            self.note(&update);
        }
        self.settle(source.picture(), bytes);
    }
}

/// Decodes the messages of one frame.
pub(crate) fn show(decoder: &mut Decoder, messages: &[Bytes]) -> Option<Shown> {
    let mut shown = None;
    for message in messages {
        assert!(shown.is_none(), "nothing comes after the last message of a frame");
        let (header, payload) = message.split_at(HEADER_BYTES);
        assert_eq!((header[0], &header[2..4]), (kind::TILES, &[0, 0][..]));
        assert_eq!(header[1] & !(flag::LAST | flag::ZSTD), 0);
        assert_eq!(header[4..], u32::try_from(payload.len()).unwrap().to_le_bytes());
        assert!(payload.len() <= PAYLOAD_MAX, "a message of {} bytes", payload.len());
        shown = decoder.tiles(header[1], payload).unwrap();
    }
    shown
}

/// Compares every pixel, every hash and the root.
pub(crate) fn assert_same(picture: &Picture, decoder: &Decoder) {
    assert_eq!(picture.size(), decoder.size());
    let same = picture
        .pixels()
        .chunks_exact(4)
        .zip(decoder.pixels().chunks_exact(4))
        .position(|(source, held)| [source[2], source[1], source[0], 255] != held[..]);
    assert_eq!(same, None, "index of the first pixel that differs");
    for tile in 0..picture.tiles_count() {
        assert_eq!(picture.tile_hash(tile), decoder.tile_hash(tile), "hash of tile {tile}");
    }
    assert_eq!(picture.root(), decoder.root());
}

#[expect(clippy::disallowed_methods, reason = "a start for clocks that tests move by hand")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

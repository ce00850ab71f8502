//! The video of one viewer: which encoder makes it, and what is in its work.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use beamdesk_media::{
    Choice, Content, Done, Encoders, Job, Look, Picture, Shot, VideoError, VideoWish, VideoWorker,
    Waker,
};
use beamdesk_proto::{
    control::{Quality, VideoCodec},
    wire::{self, HEADER_BYTES, VideoHead, flag, kind},
};
use bytes::Bytes;
use tracing::{info, warn};

/// Bitstream of one message, as long as those of tiles: relays hold a message until it is whole.
const PART_BYTES_MAX: usize = 64 << 10;
/// A viewer that asks for key frames without a pause gets so many.
const KEY_EVERY: Duration = Duration::from_millis(250);

/// What came out of the encoder, for one `VIDEO` frame.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) tiles: Vec<u16>,
    pub(super) done: Done,
}

/// What happened to a job.
#[derive(Debug)]
pub(super) enum Outcome {
    Finished(Box<Finished>),
    /// Nothing may be sent of it.
    Void,
}

#[derive(Debug)]
struct Flight {
    tiles: Vec<u16>,
    choice: Choice,
    /// The viewer cannot use it any more.
    is_void: bool,
}

#[derive(Debug)]
pub(super) struct Video {
    encoders: Arc<Encoders>,
    worker: VideoWorker,
    decodes: Vec<VideoCodec>,
    quality: Quality,
    /// Failed here or at the viewer.
    lost: Vec<Choice>,
    /// Kept while something moves: another one costs a key frame.
    choice: Option<Choice>,
    flight: Option<Flight>,
    wants_key: bool,
    key_sent: Option<Instant>,
}

impl Video {
    pub(super) fn new(encoders: Arc<Encoders>, waker: Waker) -> Self {
        Self {
            worker: VideoWorker::start(Arc::clone(&encoders), waker),
            encoders,
            decodes: Vec::new(),
            quality: Quality::default(),
            lost: Vec::new(),
            choice: None,
            flight: None,
            wants_key: false,
            key_sent: None,
        }
    }

    pub(super) fn greet(&mut self, decodes: Vec<VideoCodec>, quality: Quality) {
        self.decodes = decodes;
        self.quality = quality;
    }

    pub(super) fn set_quality(&mut self, quality: Quality) {
        self.quality = quality;
        self.choice = None;
    }

    /// Whether there is any encoder that this viewer can use.
    pub(super) fn is_possible(&self) -> bool {
        self.choose(Content::Natural).is_some()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.flight.is_none()
    }

    /// Nothing moves any more: the next motion may have another encoder.
    pub(super) fn rest(&mut self) {
        self.choice = None;
    }

    /// What is in the encoder's work will not be sent.
    pub(super) fn void(&mut self) {
        if let Some(flight) = &mut self.flight {
            flight.is_void = true;
        }
    }

    pub(super) fn ask_key(&mut self) {
        self.wants_key = true;
    }

    /// The viewer cannot decode it after all.
    pub(super) fn refuse(&mut self, codec: VideoCodec) {
        self.decodes.retain(|&decoded| decoded != codec);
        if self.choice.is_some_and(|choice| choice.codec == codec) {
            self.choice = None;
        }
        if let Some(flight) = &mut self.flight {
            flight.is_void |= flight.choice.codec == codec;
        }
    }

    /// `false`: nobody can encode it.
    pub(super) fn submit(
        &mut self,
        picture: &Picture,
        shot: Shot,
        (look, bytes, captured_us): (Look, usize, u64),
        now: Instant,
    ) -> bool {
        let Some(choice) = self.chosen(picture, &shot, look) else { return false };
        self.choice = Some(choice);
        let may_key = self.key_sent.is_none_or(|at| now.saturating_duration_since(at) >= KEY_EVERY);
        let is_key = self.wants_key && may_key;
        let wish = VideoWish { bytes, is_key };
        let Shot { region, mask, tiles } = shot;
        let job = Job { choice, region, mask, wish, captured_us, tag: 0 };
        if !self.worker.submit(picture, job) {
            return false;
        }
        if is_key {
            self.wants_key = false;
            self.key_sent = Some(now);
        }
        self.flight = Some(Flight { tiles, choice, is_void: false });
        true
    }

    /// What the encoder has finished since it was asked last.
    pub(super) fn take(&mut self) -> Option<Outcome> {
        let result = self.worker.take()?;
        let flight = self.flight.take()?;
        let outcome = match result {
            Ok(done) if !flight.is_void => {
                Outcome::Finished(Box::new(Finished { tiles: flight.tiles, done }))
            }
            Ok(_) => {
                // The viewer misses a reference now.
                self.wants_key = true;
                self.key_sent = None;
                Outcome::Void
            }
            Err(error) => {
                self.lose(flight.choice, &error);
                Outcome::Void
            }
        };
        Some(outcome)
    }

    fn lose(&mut self, choice: Choice, error: &VideoError) {
        self.lost.push(choice);
        self.choice = None;
        let next = self.choose(Content::Natural).map(|choice| choice.encoder.as_str());
        match next {
            Some(next) => info!(%error, next, "Video encoder is lost, another takes over"),
            None => warn!(%error, "Video encoder is lost, motion goes as tiles"),
        }
    }

    /// The encoder for this picture; one that is at work goes on unless it must not.
    fn chosen(&self, picture: &Picture, shot: &Shot, look: Look) -> Option<Choice> {
        let is_exact = self.quality == Quality::ExactMotion;
        let needs_grey =
            is_exact && self.choice.is_none_or(|choice| choice.codec == VideoCodec::H264Grey);
        let is_grey = needs_grey && shot.tiles.iter().all(|&tile| picture.is_grey(tile));
        match self.choice {
            Some(choice) if choice.codec != VideoCodec::H264Grey || is_grey => return Some(choice),
            Some(_) | None => {}
        }
        self.choose(match look {
            _ if is_grey => Content::Grey,
            Look::Flat => Content::Screen,
            Look::Natural => Content::Natural,
        })
    }

    fn choose(&self, content: Content) -> Option<Choice> {
        self.encoders.choose(self.quality, content, &self.decodes, &self.lost)
    }
}

/// The messages of one frame.
pub(super) fn messages(frame: u32, done: &Done) -> Vec<Bytes> {
    let job = &done.job;
    let mut parts = done.packet.bytes.chunks(PART_BYTES_MAX).peekable();
    let mut messages = Vec::new();
    while let Some(part) = parts.next() {
        let goes_on = parts.peek().is_some();
        let head = VideoHead {
            frame,
            captured_us: job.captured_us,
            codec: done.codec.number(),
            is_key: done.packet.is_key,
            goes_on,
            x: job.region.x,
            y: job.region.y,
            width: job.region.width,
            height: job.region.height,
            mask: job.mask.clone(),
        };
        let mut payload = head.encode();
        payload.reserve_exact(part.len() + HEADER_BYTES);
        payload.extend_from_slice(part);
        messages.push(wire::message(kind::VIDEO, if goes_on { 0 } else { flag::LAST }, &payload));
    }
    messages
}

#[cfg(test)]
mod tests {
    use beamdesk_media::{EncodersConfig, FrameSource as _, PictureSize, Rect, TestPattern};
    use beamdesk_proto::wire::Message;

    use super::*;

    fn video(source: &TestPattern) -> Video {
        let encoders = Arc::new(Encoders::probe(EncodersConfig::default()));
        let mut video = Video::new(encoders, source.waker());
        video.greet(vec![VideoCodec::H264], Quality::Automatic);
        video
    }

    fn source() -> TestPattern {
        let mut source = TestPattern::new(PictureSize::new(640, 512).unwrap()).unwrap();
        source.capture().unwrap();
        source
    }

    fn shot(width: u16, height: u16) -> Shot {
        Shot { region: Rect { x: 0, y: 0, width, height }, mask: vec![1; 10], tiles: vec![0] }
    }

    fn outcome(video: &mut Video, source: &mut TestPattern) -> Outcome {
        loop {
            if let Some(outcome) = video.take() {
                return outcome;
            }
            // The worker wakes the source.
            source.wait(None).unwrap();
        }
    }

    const AIM: (Look, usize, u64) = (Look::Natural, 20_000, 7);

    #[expect(clippy::disallowed_methods, reason = "a start for a clock that stands still")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn an_encoder_that_fails_is_not_asked_again() {
        let mut source = source();
        let mut video = video(&source);
        assert!(video.is_possible());
        // It opens for the trial, but not for so many pixels.
        assert!(video.submit(source.picture(), shot(7680, 4320), AIM, now()));
        assert!(!video.is_idle());
        assert!(matches!(outcome(&mut video, &mut source), Outcome::Void));
        assert!(video.is_idle() && !video.is_possible());
        assert!(!video.submit(source.picture(), shot(640, 512), AIM, now()));
    }

    #[test]
    fn what_is_void_is_not_sent_and_its_successor_stands_alone() {
        let mut source = source();
        let mut video = video(&source);
        for is_void in [false, true, false] {
            assert!(video.submit(source.picture(), shot(640, 512), AIM, now()));
            if is_void {
                video.void();
            }
            match outcome(&mut video, &mut source) {
                Outcome::Finished(finished) => {
                    assert!(!is_void && finished.done.packet.is_key);
                    let messages = messages(3, &finished.done);
                    let message = Message::decode(messages[0].clone(), 1 << 20).unwrap();
                    let (head, _) = VideoHead::split(&message.payload).unwrap();
                    assert_eq!((head.frame, head.captured_us, head.is_key), (3, 7, true));
                }
                Outcome::Void => assert!(is_void),
            }
        }
    }

    #[test]
    fn a_codec_that_the_viewer_refuses_is_gone_for_the_picture_in_work_too() {
        let mut source = source();
        let mut video = video(&source);
        assert!(video.submit(source.picture(), shot(640, 512), AIM, now()));
        video.refuse(VideoCodec::H264);
        assert!(matches!(outcome(&mut video, &mut source), Outcome::Void));
        assert!(!video.is_possible());
    }

    #[test]
    fn key_frames_that_are_asked_for_without_a_pause_come_at_intervals() {
        let mut source = source();
        let mut video = video(&source);
        let start = now();
        let mut keys = Vec::new();
        for frame in 0..30_u64 {
            video.ask_key();
            let now = start + Duration::from_millis(frame * 17);
            assert!(video.submit(source.picture(), shot(640, 512), AIM, now));
            let Outcome::Finished(finished) = outcome(&mut video, &mut source) else {
                panic!("it was not void");
            };
            if finished.done.packet.is_key {
                keys.push(frame * 17);
            }
        }
        assert!(keys.windows(2).all(|pair| pair[1] - pair[0] >= 250), "{keys:?}");
        assert_eq!(keys.len(), 2, "{keys:?}");
    }
}

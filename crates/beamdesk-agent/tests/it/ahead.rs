//! What is small goes ahead of what is large, and is not drawn with it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use beamdesk_media::{
    Area, CaptureError, CursorImage, Encoders, Event, FrameSource, Picture, PictureSize, Rect,
    Stepper, TestPattern, Update, Waker,
};

use crate::{
    rig::Rig,
    viewer::{Seen, Viewer},
};

const SIZE: (u16, u16) = (1280, 1088);
/// 240 tiles of noise.
const MOVIE: Rect = Rect { x: 0, y: 0, width: 1024, height: 960 };

/// A test pattern beside which a letter is typed just after a picture was taken.
struct Typed {
    pattern: TestPattern,
    picture: Picture,
    is_typing: Arc<AtomicBool>,
    /// Typed and not looked at.
    is_typed: bool,
    letters: u8,
}

impl Typed {
    fn new() -> Self {
        let (width, height) = SIZE;
        let pattern = TestPattern::new(PictureSize::new(width, height).unwrap()).unwrap();
        let pattern = pattern.movie(MOVIE);
        let picture = pattern.picture().clone();
        Self { pattern, picture, is_typing: Arc::default(), is_typed: false, letters: 0 }
    }

    /// In the lowest row of tiles, which the movie does not reach.
    fn tile(&self) -> u16 {
        let grid = self.picture.size().grid();
        grid.tile(10, grid.rows() - 1)
    }

    fn letter(&mut self) -> (u16, Area) {
        if std::mem::take(&mut self.is_typed) {
            self.letters += 1;
        }
        (self.tile(), Area { x: 0, y: 0, width: 7, height: 13 })
    }

    /// The pattern's pixels with the letters typed so far.
    fn take(&mut self) {
        let size = self.picture.size();
        let mut pixels = self.pattern.picture().pixels().to_vec();
        let Rect { x, y, .. } = size.grid().rect(self.tile());
        if self.letters > 0 {
            for y in usize::from(y)..usize::from(y) + 13 {
                let at = (y * usize::from(size.width()) + usize::from(x)) * 4;
                pixels[at..at + 28].fill(self.letters);
            }
        }
        self.picture = Picture::from_bgrx(size, &pixels).unwrap();
    }
}

impl FrameSource for Typed {
    fn size(&self) -> PictureSize {
        self.pattern.size()
    }

    fn size_max(&self) -> PictureSize {
        self.pattern.size()
    }

    fn resize(&mut self, size: PictureSize) -> Result<PictureSize, CaptureError> {
        self.pattern.resize(size)
    }

    fn waker(&self) -> Waker {
        self.pattern.waker()
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Result<Event, CaptureError> {
        self.pattern.wait(deadline)
    }

    fn mute(&mut self, muted: bool) {
        self.pattern.mute(muted);
    }

    fn capture(&mut self) -> Result<Option<Update>, CaptureError> {
        let mut update = self.pattern.capture()?;
        if self.is_typed {
            let letter = self.letter();
            update.get_or_insert_default().areas.push(letter);
        } else if update.is_some() && self.is_typing.load(Ordering::Acquire) {
            self.is_typed = true;
        }
        if update.is_some() {
            self.take();
        }
        Ok(update)
    }

    fn glance(
        &mut self,
        tiles_max: usize,
        taken: &dyn Fn(u16) -> bool,
    ) -> Result<Option<Update>, CaptureError> {
        assert!(tiles_max > 0);
        if !self.is_typed || taken(self.tile()) {
            return Ok(None);
        }
        let areas = vec![self.letter()];
        self.take();
        Ok(Some(Update { areas, copy: None }))
    }

    fn sweep(&mut self) {
        self.pattern.sweep();
    }

    fn picture(&self) -> &Picture {
        &self.picture
    }

    fn cursor(&mut self) -> Result<CursorImage, CaptureError> {
        self.pattern.cursor()
    }
}

#[tokio::test]
async fn a_letter_typed_while_a_large_frame_is_made_comes_before_it() {
    let source = Typed::new();
    let (is_typing, letter): (_, u16) = (Arc::clone(&source.is_typing), source.tile());
    let stepper: Stepper = source.pattern.stepper();
    let rig = Rig::show(Box::new(source), stepper, Encoders::none());
    let (width, height) = SIZE;
    let mut viewer = Viewer::greet(rig.connect(), width, height).await;
    let mut other = Viewer::greet(rig.connect(), width, height).await;
    viewer.until_exact().await;
    other.until_exact().await;
    is_typing.store(true, Ordering::Release);
    // Beside the movie the pattern draws other things with its seventh step.
    for _ in 0..5 {
        rig.stepper.step();
        for viewer in [&mut viewer, &mut other] {
            let mut before = BTreeSet::new();
            let touched = loop {
                match viewer.next().await {
                    Seen::Frame(tiles) if tiles.contains(&letter) => break tiles,
                    Seen::Frame(tiles) => before.extend(tiles),
                    Seen::End => panic!("the agent closed the connection"),
                    _ => {}
                }
            };
            assert_eq!(touched, [letter], "alone");
            assert!(before.len() < 240, "{} tiles came before it", before.len());
            viewer.until_exact().await;
        }
    }
    drop((viewer, other));
    rig.end().await;
}

//! Where pictures come from.

use std::time::Instant;

use crate::cursor::CursorImage;
use crate::error::CaptureError;
use crate::geometry::PictureSize;
use crate::picture::Picture;
use crate::update::Update;
use crate::waker::Waker;

/// Why a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Something was drawn, or it is time to look: call [`FrameSource::capture`]. Told again at
    /// once by the next wait until that is done; [`FrameSource::mute`] stops it.
    Changed,
    /// The pointer looks different: call [`FrameSource::cursor`].
    Cursor,
    /// The size changed without our asking; the whole picture is new.
    Resized,
    Woken,
    TimedOut,
}

/// Where pictures come from: a display, or a test pattern.
pub trait FrameSource: Send {
    fn size(&self) -> PictureSize;

    fn size_max(&self) -> PictureSize;

    /// Gives the size that it became: the asked one, or an error and the old one. The next capture
    /// tells every tile as changed.
    fn resize(&mut self, size: PictureSize) -> Result<PictureSize, CaptureError>;

    fn waker(&self) -> Waker;

    /// Sleeps until something happens. Changes are not reported while muted.
    fn wait(&mut self, deadline: Option<Instant>) -> Result<Event, CaptureError>;

    /// While muted, [`Event::Changed`] does not end a wait: nobody can be sent a picture now.
    fn mute(&mut self, muted: bool);

    /// Takes in what changed since the last call; `None` if nothing did.
    fn capture(&mut self) -> Result<Option<Update>, CaptureError>;

    /// Takes in what changed lately if that is little: at most so many tiles, none of them `taken`,
    /// and nothing scrolled. Anything else is left for [`Self::capture`].
    fn glance(
        &mut self,
        _tiles_max: usize,
        _taken: &dyn Fn(u16) -> bool,
    ) -> Result<Option<Update>, CaptureError> {
        Ok(None)
    }

    /// Makes the next capture compare the whole picture, whatever the display says has changed.
    fn sweep(&mut self);

    /// As of the last capture; black before the first.
    fn picture(&self) -> &Picture;

    fn cursor(&mut self) -> Result<CursorImage, CaptureError>;
}

//! What viewers ask of the desktop: input, sizes, tiles again.

use beamdesk_media::{InputSink, PictureSize};
use beamdesk_proto::{
    control::AgentMessage,
    session::{Event, Input},
    wire::is_size,
};
use tracing::{debug, warn};

use super::{Engine, ViewerId, viewer::Viewer};
use crate::AgentError;

impl Engine {
    pub(super) fn apply(&mut self, id: ViewerId, event: Event) -> Result<(), AgentError> {
        match event {
            Event::Hello { width, height, decodes, quality } => {
                // A window too small or too large for us still gets a picture.
                let size = PictureSize::clamped(width, height).within(self.source.size_max());
                self.resize(size)?;
                // What happened while nobody looked.
                self.capture()?;
                let (size, max) = (self.source.size(), self.source.size_max());
                if let Some(viewer) = self.viewers.get_mut(&id) {
                    viewer.allow(decodes, quality);
                    viewer.greet(size, max, self.cursor.clone());
                }
                self.show_cursor();
                self.tell_marks(Some(id));
            }
            Event::Resize { width, height } => self.wish_size(id, width, height)?,
            Event::Input(input) => self.do_input(id, &input),
            Event::Repair(tiles) => {
                if let Some(viewer) = self.viewers.get_mut(&id) {
                    debug!(viewer = id, tiles = tiles.len(), "Viewer asks for tiles again");
                    viewer.repair(&tiles);
                }
            }
            Event::Visible(visible) => {
                if !visible {
                    self.with(id, Viewer::release);
                    self.with(id, |viewer| viewer.outbox.rest());
                    self.try_input(|input| input.release_all());
                }
            }
            Event::Layout(name) => self.try_input(|input| input.layout(&name)),
            Event::Quality(quality) => self.with(id, |viewer| viewer.set_quality(quality)),
            Event::Region(region) => self.with(id, |viewer| viewer.set_region(region)),
            Event::Watch(on) => {
                let now = (self.clock)();
                self.with(id, |viewer| viewer.watch(on, now));
            }
            Event::VideoFailed(codec) => {
                warn!(viewer = id, ?codec, "Viewer cannot decode this video after all");
                self.with(id, |viewer| viewer.refuse(codec));
            }
            Event::KeyFrame => self.with(id, Viewer::show_key_frame),
            Event::SliceShown { place, picture, hash } => {
                self.with(id, |viewer| viewer.holds_slice((place, picture, hash)));
            }
        }
        Ok(())
    }

    fn with(&mut self, id: ViewerId, act: impl FnOnce(&mut Viewer)) {
        if let Some(viewer) = self.viewers.get_mut(&id) {
            act(viewer);
        }
    }

    fn wish_size(&mut self, id: ViewerId, width: u32, height: u32) -> Result<(), AgentError> {
        let max = self.source.size_max();
        let wish = match (u16::try_from(width), u16::try_from(height)) {
            (Ok(width), Ok(height)) if is_size(width.into(), height.into()) => {
                PictureSize::new(width, height)
            }
            _ => None,
        };
        let fits = wish.filter(|size| size.within(max) == *size);
        let done = match fits {
            Some(size) => self.resize(size)?,
            None => false,
        };
        if !done && let Some(viewer) = self.viewers.get_mut(&id) {
            let (width_max, height_max) = (max.width(), max.height());
            viewer.tell(&AgentMessage::ResizeRefused { width_max, height_max });
        }
        Ok(())
    }

    /// `false`: the display refused and is as it was. The last viewer that asks decides for all.
    fn resize(&mut self, size: PictureSize) -> Result<bool, AgentError> {
        if size == self.source.size() {
            return Ok(true);
        }
        if let Err(error) = self.source.resize(size) {
            warn!(error = %error, width = size.width(), height = size.height(), "Size refused");
            return Ok(false);
        }
        self.restart_viewers()?;
        Ok(true)
    }

    pub(super) fn restart_viewers(&mut self) -> Result<(), AgentError> {
        let size = self.source.size();
        for viewer in self.viewers.values_mut() {
            viewer.restart(size);
        }
        self.show_seen();
        self.tell_marks(None);
        self.capture()?;
        Ok(())
    }

    fn do_input(&mut self, id: ViewerId, input: &Input) {
        match *input {
            Input::Key { ref code, down } => self.try_input(|sink| sink.key(code, down)),
            Input::Pointer { x, y } => {
                self.focus(id, (x, y));
                self.try_input(|sink| sink.pointer(x, y));
            }
            Input::Button { x, y, button, down } => {
                self.focus(id, (x, y));
                self.with(id, |viewer| viewer.press(button, down));
                self.try_input(|sink| {
                    sink.pointer(x, y)?;
                    sink.button(button, down)
                });
            }
            Input::Wheel { x, y, dx, dy } => {
                self.focus(id, (x, y));
                self.try_input(|sink| {
                    sink.pointer(x, y)?;
                    sink.wheel(dx, dy)
                });
            }
            Input::ReleaseAll => {
                self.with(id, Viewer::release);
                self.try_input(|sink| sink.release_all());
            }
        }
    }

    fn focus(&mut self, id: ViewerId, at: (u16, u16)) {
        self.with(id, |viewer| viewer.focus(at));
    }

    /// An input that fails is lost; whether the display is gone shows when it is next looked at.
    pub(super) fn try_input<E: std::fmt::Display>(
        &mut self,
        act: impl FnOnce(&mut dyn InputSink) -> Result<(), E>,
    ) {
        if let Err(error) = act(self.input.as_mut()) {
            // Never the input itself: it may be a password.
            debug!(error = %error, "Input failed");
        }
    }
}

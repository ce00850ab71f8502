//! An input sink that writes down what it was told, for the test pattern and for tests.

use super::{InputSink, LAYOUTS, evdev_of};
use crate::error::CaptureError;

/// How much is remembered; what comes later is dropped.
const RECORDED_MAX: usize = 10_000;

/// One thing an input sink was told.
#[derive(Debug, Clone, PartialEq)]
pub enum Recorded {
    Key { code: String, down: bool },
    Pointer { x: u16, y: u16 },
    Button { button: u8, down: bool },
    Wheel { dx: f32, dy: f32 },
    ReleaseAll,
    Layout { name: String },
}

/// Writes down what it was told, up to ten thousand entries.
#[derive(Debug, Default)]
pub struct Recorder {
    recorded: Vec<Recorded>,
}

impl Recorder {
    pub fn recorded(&self) -> &[Recorded] {
        &self.recorded
    }

    fn push(&mut self, entry: Recorded) {
        if self.recorded.len() < RECORDED_MAX {
            self.recorded.push(entry);
        }
    }
}

impl InputSink for Recorder {
    fn key(&mut self, code: &str, down: bool) -> Result<(), CaptureError> {
        if evdev_of(code).is_some() {
            self.push(Recorded::Key { code: code.to_owned(), down });
        }
        Ok(())
    }

    fn pointer(&mut self, x: u16, y: u16) -> Result<(), CaptureError> {
        self.push(Recorded::Pointer { x, y });
        Ok(())
    }

    fn button(&mut self, button: u8, down: bool) -> Result<(), CaptureError> {
        self.push(Recorded::Button { button, down });
        Ok(())
    }

    fn wheel(&mut self, dx: f32, dy: f32) -> Result<(), CaptureError> {
        self.push(Recorded::Wheel { dx, dy });
        Ok(())
    }

    fn release_all(&mut self) -> Result<(), CaptureError> {
        self.push(Recorded::ReleaseAll);
        Ok(())
    }

    fn layout(&mut self, name: &str) -> Result<(), CaptureError> {
        if !LAYOUTS.contains(&name) {
            return Err(CaptureError::Layout(name.to_owned()));
        }
        self.push(Recorded::Layout { name: name.to_owned() });
        Ok(())
    }
}

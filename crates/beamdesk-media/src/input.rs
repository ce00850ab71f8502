//! Keys and pointer of a viewer, given to the desktop.

mod keys;
mod record;
mod x11;

use crate::error::CaptureError;

pub use keys::evdev_of;
pub use record::{Recorded, Recorder};
pub use x11::X11Input;

/// Keyboard layouts that [`InputSink::layout`] takes, as XKB names them.
pub const LAYOUTS: &[&str] = &[
    "us", "gb", "cn", "de", "fr", "es", "it", "pt", "br", "ch", "be", "dk", "no", "se", "fi", "pl",
    "cz", "ru", "jp", "kr",
];

/// Keys and pointer of a desktop.
pub trait InputSink: Send {
    /// `code` is `KeyboardEvent.code`. Unknown codes, and a key that already is as asked, do
    /// nothing: keys held down are repeated by the desktop itself.
    fn key(&mut self, code: &str, down: bool) -> Result<(), CaptureError>;

    /// Pixels of the picture.
    fn pointer(&mut self, x: u16, y: u16) -> Result<(), CaptureError>;

    /// `button` is `MouseEvent.button`; others than 0 to 4 do nothing.
    fn button(&mut self, button: u8, down: bool) -> Result<(), CaptureError>;

    /// Notches, positive is right and down; fractions add up.
    fn wheel(&mut self, dx: f32, dy: f32) -> Result<(), CaptureError>;

    /// Lets go of all keys and buttons.
    fn release_all(&mut self) -> Result<(), CaptureError>;

    /// One of [`LAYOUTS`].
    fn layout(&mut self, name: &str) -> Result<(), CaptureError>;
}

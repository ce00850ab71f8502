//! Input by the XTEST extension: physical key codes, so that every layout works.

use std::process::Command;

use x11rb::connection::{Connection, RequestConnection};
use x11rb::protocol::xproto::{
    BUTTON_PRESS_EVENT, BUTTON_RELEASE_EVENT, KEY_PRESS_EVENT, KEY_RELEASE_EVENT,
    MOTION_NOTIFY_EVENT,
};
use x11rb::protocol::xtest::{self, ConnectionExt as _};
use x11rb::rust_connection::RustConnection;

use super::{InputSink, LAYOUTS, evdev_of};
use crate::error::CaptureError;

/// X numbers keys from 8.
const KEYCODE_OFFSET: u8 = 8;
/// A wheel that spins faster is spinning by mistake.
const NOTCHES_MAX: f32 = 50.0;
const WHEEL_UP: u8 = 4;
const WHEEL_DOWN: u8 = 5;
const WHEEL_LEFT: u8 = 6;
const WHEEL_RIGHT: u8 = 7;

/// Keys and pointer of an X server.
#[derive(Debug)]
pub struct X11Input {
    connection: RustConnection,
    display: String,
    root: u32,
    keys_down: Vec<u8>,
    buttons_down: Vec<u8>,
    /// What is left of notches not whole yet, right and down.
    wheel: (f32, f32),
}

impl X11Input {
    pub fn connect(display: &str) -> Result<Self, CaptureError> {
        let (connection, screen) =
            RustConnection::connect(Some(display)).map_err(CaptureError::unreachable(display))?;
        if connection.extension_information(xtest::X11_EXTENSION_NAME)?.is_none() {
            return Err(CaptureError::Unsupported("the XTEST extension is missing".to_owned()));
        }
        // Others may grab the server; our input must go through nevertheless.
        connection.xtest_grab_control(true)?;
        connection.flush()?;
        let root = connection.setup().roots[screen].root;
        Ok(Self {
            connection,
            display: display.to_owned(),
            root,
            keys_down: Vec::new(),
            buttons_down: Vec::new(),
            wheel: (0.0, 0.0),
        })
    }

    fn fake(&self, event: u8, detail: u8, (x, y): (i16, i16)) -> Result<(), CaptureError> {
        self.connection.xtest_fake_input(event, detail, x11rb::CURRENT_TIME, self.root, x, y, 0)?;
        Ok(())
    }

    fn flush(&self) -> Result<(), CaptureError> {
        self.connection.flush()?;
        // Nothing asks for events or replies here; reading keeps the socket from filling up.
        while let Some(event) = self.connection.poll_for_event()? {
            tracing::debug!(?event, "The X server answered to input");
        }
        Ok(())
    }

    /// Turns the wheel by whole notches and keeps the rest.
    fn turn(&self, notches: f32, back: u8, forth: u8) -> Result<f32, CaptureError> {
        if !notches.is_finite() {
            return Ok(0.0);
        }
        let mut left = notches.clamp(-NOTCHES_MAX, NOTCHES_MAX);
        while left.abs() >= 1.0 {
            let button = if left < 0.0 { back } else { forth };
            self.fake(BUTTON_PRESS_EVENT, button, (0, 0))?;
            self.fake(BUTTON_RELEASE_EVENT, button, (0, 0))?;
            left -= left.signum();
        }
        Ok(left)
    }
}

impl InputSink for X11Input {
    fn key(&mut self, code: &str, down: bool) -> Result<(), CaptureError> {
        let Some(keycode) = evdev_of(code).and_then(|code| code.checked_add(KEYCODE_OFFSET)) else {
            return Ok(());
        };
        if !toggle(&mut self.keys_down, keycode, down) {
            return Ok(());
        }
        self.fake(if down { KEY_PRESS_EVENT } else { KEY_RELEASE_EVENT }, keycode, (0, 0))?;
        self.flush()
    }

    fn pointer(&mut self, x: u16, y: u16) -> Result<(), CaptureError> {
        let number = |pixels: u16| i16::try_from(pixels).unwrap_or(i16::MAX);
        self.fake(MOTION_NOTIFY_EVENT, 0, (number(x), number(y)))?;
        self.flush()
    }

    fn button(&mut self, button: u8, down: bool) -> Result<(), CaptureError> {
        let button = match button {
            0..=2 => button + 1,
            // X keeps 4 to 7 for the wheel.
            3 | 4 => button + 5,
            _ => return Ok(()),
        };
        if !toggle(&mut self.buttons_down, button, down) {
            return Ok(());
        }
        self.fake(if down { BUTTON_PRESS_EVENT } else { BUTTON_RELEASE_EVENT }, button, (0, 0))?;
        self.flush()
    }

    fn wheel(&mut self, dx: f32, dy: f32) -> Result<(), CaptureError> {
        self.wheel.0 = self.turn(self.wheel.0 + dx, WHEEL_LEFT, WHEEL_RIGHT)?;
        self.wheel.1 = self.turn(self.wheel.1 + dy, WHEEL_UP, WHEEL_DOWN)?;
        self.flush()
    }

    fn release_all(&mut self) -> Result<(), CaptureError> {
        // The last pressed goes first, so that modifiers outlive what they modify.
        while let Some(keycode) = self.keys_down.pop() {
            self.fake(KEY_RELEASE_EVENT, keycode, (0, 0))?;
        }
        while let Some(button) = self.buttons_down.pop() {
            self.fake(BUTTON_RELEASE_EVENT, button, (0, 0))?;
        }
        self.wheel = (0.0, 0.0);
        self.flush()
    }

    /// Runs `setxkbmap`, which takes some ten milliseconds: the protocol has no short form of it.
    fn layout(&mut self, name: &str) -> Result<(), CaptureError> {
        if !LAYOUTS.contains(&name) {
            return Err(CaptureError::Layout(name.to_owned()));
        }
        let output = Command::new("setxkbmap")
            .args(["-display", &self.display, "-rules", "evdev", "-model", "pc105"])
            .args(["-layout", name, "-variant", "", "-option", ""])
            .output()
            .map_err(|source| CaptureError::System { what: "running setxkbmap", source })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(CaptureError::Refused { what: "a keyboard layout", source: said.into() })
    }
}

/// Notes that a key or button goes down or up; false if it was so already.
fn toggle(held: &mut Vec<u8>, code: u8, down: bool) -> bool {
    match (held.iter().position(|&other| other == code), down) {
        (None, true) => held.push(code),
        (Some(at), false) => {
            held.remove(at);
        }
        (Some(_), true) | (None, false) => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_down_once_and_up_once() {
        let mut held = Vec::new();
        assert!(toggle(&mut held, 38, true));
        assert!(!toggle(&mut held, 38, true));
        assert!(toggle(&mut held, 38, false));
        assert!(!toggle(&mut held, 38, false));
    }
}

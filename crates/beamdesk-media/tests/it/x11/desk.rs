//! An X server of its own for one test, and a program that draws on it.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    ConnectionExt as _, CreateGCAux, Gcontext, ImageFormat, Rectangle, SubwindowMode, Window,
};
use x11rb::rust_connection::RustConnection;

use crate::viewer::start as now;

/// Long enough for the slowest machine; a test that works never waits so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Xvfb, ended with the test.
pub(crate) struct Desk {
    server: Child,
    pub(crate) display: String,
    _said: BufReader<ChildStdout>,
}

impl Desk {
    /// An X server whose picture can be at most of this size.
    pub(crate) fn start(width: u16, height: u16) -> Self {
        let mut server = Command::new("Xvfb")
            .arg(free_display())
            .args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0"])
            .arg(format!("{width}x{height}x24"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb is installed: package xvfb");
        let mut said = BufReader::new(server.stdout.take().unwrap());
        let mut number = String::new();
        said.read_line(&mut number).unwrap();
        let display = format!(":{}", number.trim());
        assert!(display.len() > 1, "the X server did not start");
        Self { server, display, _said: said }
    }

    pub(crate) fn painter(&self) -> Painter {
        Painter::new(&self.display)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // Politely, so that it takes its socket and its lock along.
        kill_process(Pid::from_child(&self.server), Signal::TERM).unwrap();
        self.server.wait().unwrap();
    }
}

/// A number of our own. What an X server finds free by itself may be in use: one that listens only
/// on a socket in the file system takes the place of another without asking.
fn free_display() -> String {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let nth = STARTED.fetch_add(1, Ordering::Relaxed);
    format!(":{}", 1000 + std::process::id() % 2000 * 20 + nth % 20)
}

/// A program that draws on the root window.
pub(crate) struct Painter {
    pub(crate) connection: RustConnection,
    pub(crate) root: Window,
    gc: Gcontext,
}

impl Painter {
    fn new(display: &str) -> Self {
        let (connection, screen) = RustConnection::connect(Some(display)).unwrap();
        let root = connection.setup().roots[screen].root;
        let gc = connection.generate_id().unwrap();
        let aux = CreateGCAux::new().subwindow_mode(SubwindowMode::INCLUDE_INFERIORS);
        connection.create_gc(gc, root, &aux.graphics_exposures(0)).unwrap();
        Self { connection, root, gc }
    }

    pub(crate) fn colour(&self, pixel: u32) {
        let aux = x11rb::protocol::xproto::ChangeGCAux::new().foreground(pixel);
        self.connection.change_gc(self.gc, &aux).unwrap();
    }

    pub(crate) fn fill(&self, pixel: u32, (x, y): (i16, i16), (width, height): (u16, u16)) {
        self.colour(pixel);
        let rectangle = Rectangle { x, y, width, height };
        self.connection.poly_fill_rectangle(self.root, self.gc, &[rectangle]).unwrap();
        self.sync();
    }

    pub(crate) fn put(&self, (x, y): (i16, i16), (width, height): (u16, u16), pixels: &[u8]) {
        let (root, gc) = (self.root, self.gc);
        self.connection
            .put_image(ImageFormat::Z_PIXMAP, root, gc, width, height, x, y, 0, 24, pixels)
            .unwrap();
        self.sync();
    }

    pub(crate) fn copy(&self, from: (i16, i16), to: (i16, i16), (width, height): (u16, u16)) {
        let (root, gc) = (self.root, self.gc);
        self.connection
            .copy_area(root, root, gc, from.0, from.1, to.0, to.1, width, height)
            .unwrap();
        self.sync();
    }

    /// Everything asked for so far is done when this returns.
    pub(crate) fn sync(&self) {
        self.connection.get_input_focus().unwrap().reply().unwrap();
    }

    /// The whole picture by the plainest way there is: blue, green, red, anything.
    pub(crate) fn look(&self) -> (u16, u16, Vec<u8>) {
        let size = self.connection.get_geometry(self.root).unwrap().reply().unwrap();
        let (width, height) = (size.width, size.height);
        let format = ImageFormat::Z_PIXMAP;
        let image = self.connection.get_image(format, self.root, 0, 0, width, height, u32::MAX);
        (width, height, image.unwrap().reply().unwrap().data)
    }

    /// The next event that means something to the test.
    pub(crate) fn event<T>(&self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let deadline = soon();
        loop {
            while let Some(event) = self.connection.poll_for_event().unwrap() {
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
            assert!(now() < deadline, "the event never came");
            self.sync();
        }
    }
}

pub(crate) fn soon() -> Instant {
    now() + PATIENCE
}

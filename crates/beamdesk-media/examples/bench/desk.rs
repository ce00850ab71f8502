//! An X server of the bench's own, and drawing on it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use x11rb::connection::Connection as _;
use x11rb::protocol::xproto::{
    ChangeGCAux, ConnectionExt as _, CreateGCAux, Gcontext, Rectangle, Window,
};
use x11rb::rust_connection::RustConnection;

pub(crate) const BLACK: u32 = 0x0010_1418;
pub(crate) const WHITE: u32 = 0x00d8_dce0;

pub(crate) struct Desk {
    server: Child,
    display: String,
    connection: RustConnection,
    root: Window,
    gc: Gcontext,
}

impl Desk {
    pub(crate) fn start(width: u16, height: u16) -> anyhow::Result<Self> {
        // A number that an X server finds free by itself may be in use by one that does not look.
        let display = format!(":{}", 1000 + std::process::id() % 40_000);
        let mut server = Command::new("Xvfb")
            .arg(&display)
            .args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0"])
            .arg(format!("{width}x{height}x24"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("is the package xvfb installed?")?;
        let mut number = String::new();
        let said = server.stdout.take().context("its output")?;
        BufReader::new(said).read_line(&mut number)?;
        anyhow::ensure!(display == format!(":{}", number.trim()), "Xvfb did not start");
        let (connection, screen) = RustConnection::connect(Some(&display))?;
        let root = connection.setup().roots[screen].root;
        let font = connection.generate_id()?;
        connection.open_font(font, b"fixed")?.check()?;
        let gc = connection.generate_id()?;
        let aux = CreateGCAux::new().font(font).graphics_exposures(0);
        connection.create_gc(gc, root, &aux)?.check()?;
        Ok(Self { server, display, connection, root, gc })
    }

    pub(crate) fn display(&self) -> &str {
        &self.display
    }

    pub(crate) fn fill(
        &self,
        white: bool,
        place: (i16, i16),
        size: (u16, u16),
    ) -> anyhow::Result<()> {
        self.paint(if white { WHITE } else { BLACK }, place, size)?;
        self.sync()
    }

    pub(crate) fn paint(
        &self,
        colour: u32,
        (x, y): (i16, i16),
        (width, height): (u16, u16),
    ) -> anyhow::Result<()> {
        self.connection.change_gc(self.gc, &ChangeGCAux::new().foreground(colour))?;
        let rectangle = Rectangle { x, y, width, height };
        self.connection.poly_fill_rectangle(self.root, self.gc, &[rectangle])?;
        Ok(())
    }

    /// Light letters on dark ground; `y` is the base line.
    pub(crate) fn text(&self, text: &[u8], place: (i16, i16)) -> anyhow::Result<()> {
        self.write(text, place, WHITE, BLACK)
    }

    pub(crate) fn write(
        &self,
        text: &[u8],
        (x, y): (i16, i16),
        ink: u32,
        ground: u32,
    ) -> anyhow::Result<()> {
        let colours = ChangeGCAux::new().foreground(ink).background(ground);
        self.connection.change_gc(self.gc, &colours)?;
        self.connection.image_text8(self.root, self.gc, x, y, text)?;
        Ok(())
    }

    pub(crate) fn copy(
        &self,
        from: (i16, i16),
        to: (i16, i16),
        (width, height): (u16, u16),
    ) -> anyhow::Result<()> {
        let (root, gc) = (self.root, self.gc);
        self.connection.copy_area(root, root, gc, from.0, from.1, to.0, to.1, width, height)?;
        Ok(())
    }

    pub(crate) fn sync(&self) -> anyhow::Result<()> {
        self.connection.get_input_focus()?.reply()?;
        Ok(())
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // Politely, so that it takes its socket and its lock along.
        if kill_process(Pid::from_child(&self.server), Signal::TERM).is_ok() {
            drop(self.server.wait());
        }
    }
}

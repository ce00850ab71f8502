//! The window that shows it: each frame whole at once, told to the X server through shared memory.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;

use anyhow::Context as _;
use rustix::fs::{MemfdFlags, memfd_create};
use x11rb::COPY_DEPTH_FROM_PARENT;
use x11rb::connection::Connection as _;
use x11rb::protocol::shm::ConnectionExt as _;
use x11rb::protocol::xproto::{
    ConnectionExt as _, CreateGCAux, CreateWindowAux, Gcontext, ImageFormat, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::utils::RawFdContainer;

use crate::counter;
use crate::reel::{Reel, Step};

pub(crate) struct Screen {
    connection: RustConnection,
    window: Window,
    gc: Gcontext,
    depth: u8,
    /// The reel's file and the counter's row, as the X server knows them.
    file: u32,
    row: (File, u32),
}

impl Screen {
    pub(crate) fn open(reel: &Reel, x: i16, y: i16) -> anyhow::Result<Self> {
        let (connection, number) = RustConnection::connect(None).context("no display")?;
        let root = &connection.setup().roots[number];
        let (width, height) = reel.size();
        let (width, height) = (u16::try_from(width)?, u16::try_from(height)?);
        let [window, gc, file, row] = [(); 4].map(|()| connection.generate_id());
        let (window, gc, file, row) = (window?, gc?, file?, row?);
        let look = CreateWindowAux::new().override_redirect(1).background_pixel(0x0010_1010);
        let (depth, class) = (COPY_DEPTH_FROM_PARENT, WindowClass::INPUT_OUTPUT);
        connection
            .create_window(depth, window, root.root, x, y, width, height, 0, class, 0, &look)?
            .check()?;
        connection.create_gc(gc, window, &CreateGCAux::new().graphics_exposures(0))?;
        connection.map_window(window)?;
        // A pointer that a server paints into the picture would hide something.
        let (right, bottom) = (root.width_in_pixels - 1, root.height_in_pixels - 1);
        connection.warp_pointer(
            x11rb::NONE,
            root.root,
            0,
            0,
            0,
            0,
            right.cast_signed(),
            bottom.cast_signed(),
        )?;

        let memory = File::from(memfd_create("counter", MemfdFlags::CLOEXEC)?);
        memory.write_all_at(&counter::row(0), 0)?;
        for (id, shared) in [(file, reel.file()), (row, &memory)] {
            let shared = RawFdContainer::from(OwnedFd::from(shared.try_clone()?));
            let said = connection.shm_attach_fd(id, shared, true)?.check();
            said.context("does this X server share memory?")?;
        }
        let depth = root.root_depth;
        Ok(Self { connection, window, gc, depth, file, row: (memory, row) })
    }

    /// Shows a frame; returns once the X server has drawn it.
    pub(crate) fn show(&self, reel: &Reel, number: usize, first: bool) -> anyhow::Result<()> {
        let (width, height) = reel.size();
        self.row.0.write_all_at(&counter::row(u16::try_from(number % 65_536)?), 0)?;
        // Who captures the screen meets no half of a frame. All requests are small, so that they leave
        // together and nobody waits for this program's turn.
        self.connection.grab_server()?;
        match reel.step(number, first) {
            Step::Show { offset } => self.put(self.file, offset, (width, height), (0, 0))?,
            Step::Scroll { from, to, rows, lines, line } => {
                let (window, gc) = (self.window, self.gc);
                let (from, to) = (i16::try_from(from)?, i16::try_from(to)?);
                let (wide, rows) = (u16::try_from(width)?, u16::try_from(rows)?);
                if rows > 0 {
                    self.connection.copy_area(window, window, gc, 0, from, 0, to, wide, rows)?;
                }
                for (offset, y) in lines {
                    self.put(self.file, offset, (width, line), (0, y))?;
                }
            }
            Step::Nothing => {}
        }
        let row = (counter::WIDTH, counter::BLOCK);
        self.put(self.row.1, 0, row, reel.row())?;
        self.connection.ungrab_server()?;
        self.connection.get_input_focus()?.reply()?;
        Ok(())
    }

    fn put(
        &self,
        from: u32,
        offset: usize,
        (width, height): (usize, usize),
        (x, y): (usize, usize),
    ) -> anyhow::Result<()> {
        let (width, height) = (u16::try_from(width)?, u16::try_from(height)?);
        self.connection.shm_put_image(
            self.window,
            self.gc,
            width,
            height,
            0,
            0,
            width,
            height,
            i16::try_from(x)?,
            i16::try_from(y)?,
            self.depth,
            u8::from(ImageFormat::Z_PIXMAP),
            false,
            from,
            u32::try_from(offset)?,
        )?;
        Ok(())
    }
}

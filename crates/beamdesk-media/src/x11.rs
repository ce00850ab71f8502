//! Pictures of an X server: damage tells where to look, shared memory brings the pixels.

mod blocks;
mod screen;
mod segment;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use x11rb::connection::{Connection, RequestConnection};
use x11rb::errors::ReplyError;
use x11rb::protocol::damage::{self, ConnectionExt as _, ReportLevel};
use x11rb::protocol::shm::{self, ConnectionExt as _};
use x11rb::protocol::xfixes::{self, ConnectionExt as _, CursorNotifyMask};
use x11rb::protocol::xproto::{
    ChangeWindowAttributesAux, ConnectionExt as _, EventMask, ImageFormat, ImageOrder,
};
use x11rb::protocol::{ErrorKind, Event as XEvent};
use x11rb::rust_connection::RustConnection;

use crate::cursor::CursorImage;
use crate::detect::Detector;
use crate::error::CaptureError;
use crate::geometry::{PictureSize, Rect};
use crate::picture::Picture;
use crate::poll;
use crate::source::{Event, FrameSource};
use crate::update::Update;
use crate::waker::Waker;
use blocks::Blocks;
use screen::Screen;
use segment::Segment;

/// How often the whole picture is compared: some drawing, of direct rendering above all, may not
/// be reported as damage. One comparison takes about 2 ms at 1920×1080.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Pictures of an X server's first screen.
#[derive(Debug)]
pub struct X11Source {
    connection: RustConnection,
    screen: Screen,
    /// As long as the picture; `None` until the first capture of a size.
    segment: Option<Segment>,
    detector: Detector,
    damage: u32,
    region: u32,
    waker: Waker,
    is_damaged: bool,
    /// What was drawn and not looked at, for it was too much for a glance.
    drawn: Vec<Rect>,
    is_cursor_new: bool,
    is_resized: bool,
    is_muted: bool,
    next_sweep: Option<Instant>,
}

impl X11Source {
    /// Like all X programs, takes the key to the display from the file named by `XAUTHORITY`.
    pub fn connect(display: &str) -> Result<Self, CaptureError> {
        let (connection, number) =
            RustConnection::connect(Some(display)).map_err(CaptureError::unreachable(display))?;
        check_extensions(&connection)?;
        let root = check_pixels(&connection, number)?;

        let attributes = ChangeWindowAttributesAux::new().event_mask(EventMask::STRUCTURE_NOTIFY);
        connection.change_window_attributes(root, &attributes)?;
        connection.xfixes_select_cursor_input(root, CursorNotifyMask::DISPLAY_CURSOR)?;
        let damage = connection.generate_id()?;
        connection.damage_create(damage, root, ReportLevel::NON_EMPTY)?;
        let region = connection.generate_id()?;
        connection
            .xfixes_create_region(region, &[])?
            .check()
            .map_err(CaptureError::refused("to watch the screen"))?;
        let screen = Screen::of(&connection, root)?;
        Ok(Self {
            detector: Detector::new(screen.size()),
            connection,
            screen,
            segment: None,
            damage,
            region,
            waker: Waker::new()?,
            is_damaged: true,
            drawn: Vec::new(),
            is_cursor_new: true,
            is_resized: false,
            is_muted: false,
            next_sweep: None,
        })
    }

    fn root(&self) -> u32 {
        self.screen.root()
    }

    /// Takes in what the X server has told so far.
    fn listen(&mut self) -> Result<(), CaptureError> {
        let mut is_moved = false;
        while let Some(event) = self.connection.poll_for_event()? {
            match event {
                XEvent::DamageNotify(_) => self.is_damaged = true,
                XEvent::XfixesCursorNotify(_) => self.is_cursor_new = true,
                XEvent::ConfigureNotify(event) if event.window == self.root() => is_moved = true,
                XEvent::Error(error) => tracing::debug!(?error, "The X server refused a request"),
                // Events of extensions and windows that we did not ask for mean nothing to us.
                _ => {}
            }
        }
        if is_moved && self.screen.look(&self.connection)? {
            self.start_anew()?;
            self.is_resized = true;
        }
        Ok(())
    }

    /// The picture has another size: nothing of the old one counts.
    fn start_anew(&mut self) -> Result<(), CaptureError> {
        self.detector = Detector::new(self.screen.size());
        self.next_sweep = None;
        self.drawn.clear();
        if let Some(segment) = self.segment.take() {
            self.connection.shm_detach(segment.id())?;
        }
        Ok(())
    }

    fn sweep_is_due(&self, now: Instant) -> bool {
        self.next_sweep.is_none_or(|at| at <= now)
    }

    /// The rectangles drawn on since the last call.
    fn damaged(&mut self) -> Result<Vec<Rect>, CaptureError> {
        self.is_damaged = false;
        self.connection.damage_subtract(self.damage, x11rb::NONE, self.region)?;
        let region = self
            .connection
            .xfixes_fetch_region(self.region)?
            .reply()
            .map_err(CaptureError::refused("to tell what was drawn"))?;
        let rect = |drawn: &x11rb::protocol::xproto::Rectangle| Rect {
            x: u16::try_from(drawn.x).unwrap_or(0),
            y: u16::try_from(drawn.y).unwrap_or(0),
            width: drawn.width,
            height: drawn.height,
        };
        Ok(region.rectangles.iter().map(rect).collect())
    }

    /// Brings the blocks into shared memory; false if the screen is not what it was.
    fn fetch(&mut self, blocks: &Blocks) -> Result<bool, CaptureError> {
        let segment = match self.segment.take() {
            Some(segment) => segment,
            None => Segment::attach(&self.connection, self.screen.size().bytes())?,
        };
        let id = segment.id();
        self.segment = Some(segment);
        let mut cookies = Vec::new();
        for (rect, offset) in blocks.iter() {
            let number = |pixels: u16| i16::try_from(pixels).unwrap_or(i16::MAX);
            cookies.push(self.connection.shm_get_image(
                self.root(),
                number(rect.x),
                number(rect.y),
                rect.width,
                rect.height,
                u32::MAX,
                ImageFormat::Z_PIXMAP.into(),
                id,
                u32::try_from(offset).expect("a picture is less than 4 GiB"),
            )?);
        }
        let mut is_same = true;
        for cookie in cookies {
            match cookie.reply() {
                Ok(_) => {}
                // The rectangle is outside of the screen: it has become smaller just now.
                Err(ReplyError::X11Error(error)) if error.error_kind == ErrorKind::Match => {
                    is_same = false;
                }
                Err(error) => return Err(CaptureError::refused("to show its pixels")(error)),
            }
        }
        Ok(is_same)
    }
}

impl FrameSource for X11Source {
    fn size(&self) -> PictureSize {
        self.screen.size()
    }

    fn size_max(&self) -> PictureSize {
        self.screen.size_max()
    }

    fn resize(&mut self, size: PictureSize) -> Result<PictureSize, CaptureError> {
        if size == self.size() {
            return Ok(size);
        }
        let result = self.screen.resize(&self.connection, size);
        // Even when it failed, something may have changed.
        self.screen.look(&self.connection)?;
        self.start_anew()?;
        self.listen()?;
        self.is_resized = false;
        result?;
        Ok(self.size())
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn wait(&mut self, deadline: Option<Instant>) -> Result<Event, CaptureError> {
        loop {
            self.connection.flush()?;
            self.listen()?;
            if self.waker.take()? {
                return Ok(Event::Woken);
            }
            if std::mem::take(&mut self.is_resized) {
                return Ok(Event::Resized);
            }
            if std::mem::take(&mut self.is_cursor_new) {
                return Ok(Event::Cursor);
            }
            let now = poll::now();
            if !self.is_muted && (self.is_damaged || self.sweep_is_due(now)) {
                return Ok(Event::Changed);
            }
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(Event::TimedOut);
            }
            let sweep = self.next_sweep.filter(|_| !self.is_muted);
            let until = [deadline, sweep].into_iter().flatten().min();
            poll::readable([self.connection.stream().as_fd(), self.waker.fd()], until)?;
        }
    }

    fn mute(&mut self, muted: bool) {
        self.is_muted = muted;
    }

    fn capture(&mut self) -> Result<Option<Update>, CaptureError> {
        self.listen()?;
        if self.is_resized {
            // The caller must hear of it before it is told about tiles of another picture.
            return Ok(None);
        }
        let now = poll::now();
        let sweeps = self.sweep_is_due(now);
        let mut drawn = std::mem::take(&mut self.drawn);
        if self.is_damaged {
            drawn.extend(self.damaged()?);
        }
        let drawn = if sweeps { vec![self.size().rect()] } else { drawn };
        let blocks = Blocks::around(self.size().grid(), &drawn);
        if blocks.is_empty() {
            return Ok(None);
        }
        if !self.fetch(&blocks)? {
            self.is_damaged = true;
            self.is_resized = self.screen.look(&self.connection)?;
            self.start_anew()?;
            return Ok(None);
        }
        if sweeps {
            self.next_sweep = Some(now + SWEEP_EVERY);
        }
        let Some(segment) = &self.segment else { return Ok(None) };
        Ok(self.detector.take_in(blocks.tiles(), |rect, y, row| {
            segment.read(blocks.offset(rect, y), row);
        }))
    }

    fn glance(
        &mut self,
        tiles_max: usize,
        taken: &dyn Fn(u16) -> bool,
    ) -> Result<Option<Update>, CaptureError> {
        if !self.drawn.is_empty() {
            return Ok(None);
        }
        self.listen()?;
        if self.is_resized || !self.is_damaged {
            return Ok(None);
        }
        let drawn = self.damaged()?;
        let blocks = Blocks::around(self.size().grid(), &drawn);
        let is_little = blocks.tiles().count() <= tiles_max && !blocks.tiles().any(taken);
        if !is_little || !self.fetch(&blocks)? {
            self.drawn = drawn;
            self.is_damaged = true;
            return Ok(None);
        }
        let Some(segment) = &self.segment else { return Ok(None) };
        Ok(self.detector.take_in_still(blocks.tiles(), |rect, y, row| {
            segment.read(blocks.offset(rect, y), row);
        }))
    }

    fn sweep(&mut self) {
        self.next_sweep = None;
    }

    fn picture(&self) -> &Picture {
        self.detector.picture()
    }

    fn cursor(&mut self) -> Result<CursorImage, CaptureError> {
        let image = self
            .connection
            .xfixes_get_cursor_image()?
            .reply()
            .map_err(CaptureError::refused("to show the pointer"))?;
        let size = (image.width, image.height);
        let hot = (image.xhot, image.yhot);
        Ok(CursorImage::from_premultiplied(size, hot, &image.cursor_image))
    }
}

fn check_extensions(connection: &RustConnection) -> Result<(), CaptureError> {
    for name in [damage::X11_EXTENSION_NAME, shm::X11_EXTENSION_NAME, xfixes::X11_EXTENSION_NAME] {
        if connection.extension_information(name)?.is_none() {
            return Err(CaptureError::Unsupported(format!("the {name} extension is missing")));
        }
    }
    // Without these an X server answers as if we were as old as the first version.
    let refused = || CaptureError::refused("to say what it can do");
    connection.xfixes_query_version(5, 0)?.reply().map_err(refused())?;
    connection.damage_query_version(1, 1)?.reply().map_err(refused())?;
    let shm = connection.shm_query_version()?.reply().map_err(refused())?;
    if (shm.major_version, shm.minor_version) < (1, 2) {
        return Err(CaptureError::Unsupported("its MIT-SHM is older than 1.2".to_owned()));
    }
    Ok(())
}

/// The root window, if its pixels are blue, green, red and one byte more.
fn check_pixels(connection: &RustConnection, number: usize) -> Result<u32, CaptureError> {
    let setup = connection.setup();
    let screen = &setup.roots[number];
    let format = setup.pixmap_formats.iter().find(|format| format.depth == screen.root_depth);
    let mut visuals = screen.allowed_depths.iter().flat_map(|depth| &depth.visuals);
    let visual = visuals.find(|visual| visual.visual_id == screen.root_visual);
    let is_bgrx = setup.image_byte_order == ImageOrder::LSB_FIRST
        && format.is_some_and(|format| format.bits_per_pixel == 32)
        && visual.is_some_and(|visual| {
            (visual.red_mask, visual.green_mask, visual.blue_mask) == (0xff_0000, 0xff00, 0xff)
        });
    if is_bgrx {
        Ok(screen.root)
    } else {
        Err(CaptureError::Unsupported("its pixels are not 8 bits a colour".to_owned()))
    }
}

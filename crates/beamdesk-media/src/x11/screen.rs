//! Size of an X screen, and changing it by the RANDR extension.

use x11rb::connection::{Connection, RequestConnection};
use x11rb::errors::ReplyError;
use x11rb::protocol::randr::{
    self, ConnectionExt as _, GetScreenResourcesCurrentReply, Mode, ModeInfo, Rotation, SetConfig,
};
use x11rb::protocol::xproto::ConnectionExt as _;
use x11rb::rust_connection::RustConnection;

use crate::error::CaptureError;
use crate::geometry::PictureSize;

/// What browsers and toolkits take a pixel for, 1/96 inch, in tenths of a millimetre per 96 pixels.
const TENTHS_PER_INCH: u32 = 254;
const PIXELS_PER_INCH: u32 = 96;
/// Some toolkits ask for it; nothing depends on it.
const REFRESH_HZ: u32 = 60;
/// Modes of ours start so, to know them again.
const MODE_PREFIX: &str = "beamdesk-";

/// The screen that holds the root window.
#[derive(Debug)]
pub(super) struct Screen {
    root: u32,
    size: PictureSize,
    size_max: PictureSize,
}

impl Screen {
    pub(super) fn of(connection: &RustConnection, root: u32) -> Result<Self, CaptureError> {
        let size = geometry(connection, root)?;
        let mut screen = Self { root, size, size_max: size };
        if connection.extension_information(randr::X11_EXTENSION_NAME)?.is_some() {
            let refused = || CaptureError::refused("to say how large it can be");
            connection.randr_query_version(1, 3)?.reply().map_err(refused())?;
            let range = connection.randr_get_screen_size_range(root)?.reply().map_err(refused())?;
            screen.size_max = PictureSize::clamped(range.max_width.into(), range.max_height.into());
        }
        Ok(screen)
    }

    pub(super) fn root(&self) -> u32 {
        self.root
    }

    pub(super) fn size(&self) -> PictureSize {
        self.size
    }

    pub(super) fn size_max(&self) -> PictureSize {
        self.size_max
    }

    /// Asks for the size; true if it is another than before.
    pub(super) fn look(&mut self, connection: &RustConnection) -> Result<bool, CaptureError> {
        let size = geometry(connection, self.root)?;
        Ok(std::mem::replace(&mut self.size, size) != size)
    }

    /// Programs see it happen at once, without a moment of no screen or of a wrong one.
    pub(super) fn resize(
        &self,
        connection: &RustConnection,
        size: PictureSize,
    ) -> Result<(), CaptureError> {
        if size.within(self.size_max) != size {
            return Err(CaptureError::Size { max: self.size_max });
        }
        connection.grab_server()?;
        let result = self.switch(connection, size);
        connection.ungrab_server()?;
        connection.flush()?;
        result
    }

    fn switch(&self, connection: &RustConnection, size: PictureSize) -> Result<(), CaptureError> {
        let refused = || CaptureError::refused("to change its size");
        let resources =
            connection.randr_get_screen_resources_current(self.root)?.reply().map_err(refused())?;
        let (Some(&crtc), Some(&output)) = (resources.crtcs.first(), resources.outputs.first())
        else {
            return Err(CaptureError::Unsupported("it has no output".to_owned()));
        };
        let mode = create_mode(connection, self.root, size).map_err(refused())?;
        let added = connection.randr_add_output_mode(output, mode)?.check();
        let switched = added.map_err(refused()).and_then(|()| {
            // The screen must hold the old mode, then both, then the new one.
            let both = (self.size.width().max(size.width()), self.size.height().max(size.height()));
            set_screen(connection, self.root, both).map_err(refused())?;
            let status = connection
                .randr_set_crtc_config(
                    crtc,
                    x11rb::CURRENT_TIME,
                    resources.config_timestamp,
                    0,
                    0,
                    mode,
                    Rotation::ROTATE0,
                    &[output],
                )?
                .reply()
                .map_err(refused())?
                .status;
            if status != SetConfig::SUCCESS {
                let source = format!("status {status:?}").into();
                return Err(CaptureError::Refused { what: "to change its size", source });
            }
            set_screen(connection, self.root, (size.width(), size.height())).map_err(refused())
        });
        let keep = switched.is_ok().then_some(mode);
        remove_modes(connection, output, mode, &resources, keep)?;
        switched
    }
}

fn geometry(connection: &RustConnection, root: u32) -> Result<PictureSize, CaptureError> {
    let geometry = connection
        .get_geometry(root)?
        .reply()
        .map_err(CaptureError::refused("to say how large it is"))?;
    PictureSize::new(geometry.width, geometry.height).ok_or_else(|| {
        let size = format!("a picture of {}x{} pixels", geometry.width, geometry.height);
        CaptureError::Unsupported(size)
    })
}

fn create_mode(
    connection: &RustConnection,
    root: u32,
    size: PictureSize,
) -> Result<Mode, ReplyError> {
    let (width, height) = (size.width(), size.height());
    // Names must be new: the server counts its modes, and so do we.
    let name = format!("{MODE_PREFIX}{width}x{height}-{:x}", connection.generate_id().unwrap_or(0));
    let info = ModeInfo {
        id: 0,
        width,
        height,
        dot_clock: u32::from(width) * u32::from(height) * REFRESH_HZ,
        hsync_start: width,
        hsync_end: width,
        htotal: width,
        hskew: 0,
        vsync_start: height,
        vsync_end: height,
        vtotal: height,
        name_len: u16::try_from(name.len()).unwrap_or(0),
        mode_flags: 0_u32.into(),
    };
    Ok(connection.randr_create_mode(root, info, name.as_bytes())?.reply()?.mode)
}

fn set_screen(
    connection: &RustConnection,
    root: u32,
    (width, height): (u16, u16),
) -> Result<(), ReplyError> {
    let millimetres =
        |pixels: u16| (u32::from(pixels) * TENTHS_PER_INCH / (PIXELS_PER_INCH * 10)).max(1);
    connection
        .randr_set_screen_size(root, width, height, millimetres(width), millimetres(height))?
        .check()
}

/// Takes away the modes we made, but for the one to keep.
fn remove_modes(
    connection: &RustConnection,
    output: u32,
    made: Mode,
    resources: &GetScreenResourcesCurrentReply,
    keep: Option<Mode>,
) -> Result<(), CaptureError> {
    let mut ours = vec![made];
    let mut names = resources.names.as_slice();
    for mode in &resources.modes {
        let (name, rest) = names.split_at_checked(mode.name_len.into()).unwrap_or_default();
        names = rest;
        if name.starts_with(MODE_PREFIX.as_bytes()) {
            ours.push(mode.id);
        }
    }
    for mode in ours.into_iter().filter(|&mode| Some(mode) != keep) {
        // A mode that is still in use stays; the next change takes it away.
        connection.randr_delete_output_mode(output, mode)?.ignore_error();
        connection.randr_destroy_mode(mode)?.ignore_error();
    }
    Ok(())
}

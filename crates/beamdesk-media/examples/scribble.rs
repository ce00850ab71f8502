//! Changes the screen at random, for tests of exactness: fills, noise, scrolls, lines and text, from a seed.
//!
//! `scribble CHANGES SEED` draws on the display in `$DISPLAY`, syncs after each change, and leaves the last
//! picture on the screen until its standard input is closed.
#![expect(clippy::print_stdout, reason = "tells when it is done")]

use std::{
    error::Error,
    io::{self, Read},
};

use x11rb::{
    COPY_DEPTH_FROM_PARENT,
    connection::Connection,
    protocol::xproto::{
        ChangeGCAux, ConnectionExt, CreateGCAux, CreateWindowAux, ImageFormat, Rectangle, Segment,
        WindowClass,
    },
    wrapper::ConnectionExt as _,
};

/// A small generator (splitmix64), so that a seed tells the whole picture.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 up to, and without, `end`.
    fn below(&mut self, end: u16) -> u16 {
        u16::try_from(self.next() % u64::from(end.max(1))).unwrap_or(0)
    }

    fn colour(&mut self) -> u32 {
        u32::try_from(self.next() & 0xff_ffff).unwrap_or(0)
    }
}

/// Coordinates are far below 32768 here.
fn at(value: u16) -> i16 {
    i16::try_from(value).unwrap_or(i16::MAX)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let changes: u32 = arguments.next().unwrap_or_default().parse()?;
    let mut chance = Chance(arguments.next().unwrap_or_default().parse()?);

    let (connection, number) = x11rb::connect(None)?;
    let screen = &connection.setup().roots[number];
    let (width, height) = (screen.width_in_pixels, screen.height_in_pixels);
    let window = connection.generate_id()?;
    let gc = connection.generate_id()?;
    let look = CreateWindowAux::new().override_redirect(1).background_pixel(0x0020_3040);
    let class = WindowClass::INPUT_OUTPUT;
    connection.create_window(
        COPY_DEPTH_FROM_PARENT,
        window,
        screen.root,
        0,
        0,
        width,
        height,
        0,
        class,
        0,
        &look,
    )?;
    connection.create_gc(gc, window, &CreateGCAux::new().graphics_exposures(0))?;
    connection.map_window(window)?;
    connection.sync()?;

    for _ in 0..changes {
        let (w, h) = (1 + chance.below(width / 2), 1 + chance.below(height / 2));
        let (x, y) = (chance.below(width - w), chance.below(height - h));
        connection.change_gc(gc, &ChangeGCAux::new().foreground(chance.colour()))?;
        match chance.below(6) {
            0 => {
                let area = Rectangle { x: at(x), y: at(y), width: w, height: h };
                connection.poly_fill_rectangle(window, gc, &[area])?;
            }
            1 | 2 => {
                // Noise, grey or coloured, small enough for one request.
                let (w, h) = (w.min(200), h.min(200));
                let grey = chance.below(2) == 0;
                let mut pixels = Vec::with_capacity(usize::from(w) * usize::from(h) * 4);
                for _ in 0..u32::from(w) * u32::from(h) {
                    let [a, b, c, _] = chance.colour().to_le_bytes();
                    pixels.extend(if grey { [a, a, a, 0] } else { [a, b, c, 0] });
                }
                let format = ImageFormat::Z_PIXMAP;
                connection.put_image(
                    format,
                    window,
                    gc,
                    w,
                    h,
                    at(x),
                    at(y),
                    0,
                    screen.root_depth,
                    &pixels,
                )?;
            }
            3 => {
                let (to_x, to_y) = (chance.below(width - w), chance.below(height - h));
                connection.copy_area(window, window, gc, at(x), at(y), at(to_x), at(to_y), w, h)?;
            }
            4 => {
                // What a scrolling terminal does: the whole area moves up by a line.
                let by = 1 + chance.below(h.min(40));
                connection.copy_area(
                    window,
                    window,
                    gc,
                    at(x),
                    at(y + by),
                    at(x),
                    at(y),
                    w,
                    h - by.min(h - 1),
                )?;
            }
            _ => {
                let lines: Vec<Segment> = (0..20)
                    .map(|_| Segment {
                        x1: at(chance.below(width)),
                        y1: at(chance.below(height)),
                        x2: at(chance.below(width)),
                        y2: at(chance.below(height)),
                    })
                    .collect();
                connection.poly_segment(window, gc, &lines)?;
            }
        }
        connection.sync()?;
    }
    println!("done");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

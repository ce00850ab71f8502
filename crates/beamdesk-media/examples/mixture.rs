//! Moves and rests at random, for tests of exactness over the whole path: turning views, noisy
//! slices, scrolls, flips between two pictures, small changes, from a seed.
//!
//! `mixture SECONDS SEED` draws on the display in `$DISPLAY`. After each act it prints `rest` and
//! leaves the picture as it is until a line comes on its standard input.
#![expect(clippy::print_stdout, reason = "tells when the picture rests")]
#![expect(clippy::disallowed_methods, reason = "it paces itself")]

use std::{
    error::Error,
    io::{self, BufRead},
    thread,
    time::{Duration, Instant},
};

use x11rb::{
    COPY_DEPTH_FROM_PARENT,
    connection::Connection,
    protocol::xproto::{
        ChangeGCAux, ConnectionExt, CreateGCAux, CreateWindowAux, Gcontext, ImageFormat, Rectangle,
        Window, WindowClass,
    },
    rust_connection::RustConnection,
    wrapper::ConnectionExt as _,
};

const FRAME: Duration = Duration::from_micros(16_667);
/// Rows in one request: a request of 256 KiB passes every X server.
const BAND_BYTES: usize = 200 << 10;

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
}

struct Screen {
    connection: RustConnection,
    window: Window,
    gc: Gcontext,
    depth: u8,
    width: u16,
    height: u16,
}

/// A rectangle of the screen; all of them are far smaller than 32768.
#[derive(Clone, Copy)]
struct Place {
    x: u16,
    y: u16,
    width: u16,
    height: u16,
}

fn at(value: u16) -> i16 {
    i16::try_from(value).unwrap_or(i16::MAX)
}

impl Screen {
    fn open() -> Result<Self, Box<dyn Error>> {
        let (connection, number) = x11rb::connect(None)?;
        let screen = &connection.setup().roots[number];
        let (root, depth) = (screen.root, screen.root_depth);
        let (width, height) = (screen.width_in_pixels, screen.height_in_pixels);
        let window = connection.generate_id()?;
        let gc = connection.generate_id()?;
        let look = CreateWindowAux::new().override_redirect(1).background_pixel(0x0020_3040);
        let class = WindowClass::INPUT_OUTPUT;
        let size = (width, height);
        connection.create_window(
            COPY_DEPTH_FROM_PARENT,
            window,
            root,
            0,
            0,
            size.0,
            size.1,
            0,
            class,
            0,
            &look,
        )?;
        connection.create_gc(gc, window, &CreateGCAux::new().graphics_exposures(0))?;
        connection.map_window(window)?;
        connection.sync()?;
        Ok(Self { connection, window, gc, depth, width, height })
    }

    fn fill(&self, place: Place, colour: u32) -> Result<(), Box<dyn Error>> {
        self.connection.change_gc(self.gc, &ChangeGCAux::new().foreground(colour))?;
        let Place { x, y, width, height } = place;
        let area = Rectangle { x: at(x), y: at(y), width, height };
        self.connection.poly_fill_rectangle(self.window, self.gc, &[area])?;
        self.connection.sync()?;
        Ok(())
    }

    /// `pixels`: BGRX, row by row.
    fn put(&self, place: Place, pixels: &[u8]) -> Result<(), Box<dyn Error>> {
        let stride = usize::from(place.width) * 4;
        let rows = (BAND_BYTES / stride).max(1);
        let mut y = place.y;
        for band in pixels.chunks(rows * stride) {
            let height = u16::try_from(band.len() / stride)?;
            self.connection.put_image(
                ImageFormat::Z_PIXMAP,
                self.window,
                self.gc,
                place.width,
                height,
                at(place.x),
                at(y),
                0,
                self.depth,
                band,
            )?;
            y += height;
        }
        self.connection.sync()?;
        Ok(())
    }

    /// Its content moves up; below it, something new.
    fn scroll(&self, place: Place, by: u16, colour: u32) -> Result<(), Box<dyn Error>> {
        let Place { x, y, width, height } = place;
        let (x_, y_) = (at(x), at(y));
        let (gc, window) = (self.gc, self.window);
        self.connection.copy_area(
            window,
            window,
            gc,
            x_,
            at(y + by),
            x_,
            y_,
            width,
            height - by,
        )?;
        let mut line = Place { x, y: y + height - by, width, height: by };
        self.fill(line, 0x00f4_f4f4)?;
        line = Place { x: x + 8, y: line.y + by / 4, width: width / 2, height: by / 2 };
        self.fill(line, colour)
    }

    fn place(&self, chance: &mut Chance) -> Place {
        let width = 300 + chance.below(self.width.saturating_sub(300).min(900));
        let height = 200 + chance.below(self.height.saturating_sub(200).min(700));
        let x = chance.below(self.width - width);
        Place { x, y: chance.below(self.height - height), width, height }
    }
}

/// A shaded, coloured surface that turns: what a 3-D view looks like to an encoder.
fn view(place: Place, turn: u32, pixels: &mut Vec<u8>) {
    pixels.clear();
    let wave = |n: u32| {
        let n = n & 511;
        let ramp = if n < 256 { n } else { 511 - n };
        u8::try_from(ramp).unwrap_or(u8::MAX)
    };
    for y in 0..u32::from(place.height) {
        for x in 0..u32::from(place.width) {
            let (u, v) = (x * 2 + turn * 5, y * 2 + turn * 3);
            let fold = (u32::from(wave(u + v)) * u32::from(wave(u + 3 * turn))) >> 8;
            pixels.extend([wave(fold + x), wave(fold + y + turn), wave(u / 2 + fold), 0]);
        }
    }
}

fn slice(place: Place, chance: &mut Chance, pixels: &mut Vec<u8>) {
    pixels.clear();
    for _ in 0..u32::from(place.width) * u32::from(place.height) / 4 {
        for noise in chance.next().to_le_bytes().chunks_exact(2) {
            let grey = 96 + noise[0] % 64 / 2 + noise[1] % 32;
            pixels.extend([grey, grey, grey, 0]);
        }
    }
    pixels.resize(usize::from(place.width) * usize::from(place.height) * 4, 0);
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().unwrap_or_default().parse()?;
    let mut chance = Chance(arguments.next().unwrap_or_default().parse()?);
    let screen = Screen::open()?;
    let started = Instant::now();
    let mut lines = io::stdin().lock().lines();
    let mut pixels = Vec::new();
    while started.elapsed() < Duration::from_secs(seconds) {
        let place = screen.place(&mut chance);
        let act = chance.below(6);
        let frames = 30 + chance.below(90);
        let colour = u32::try_from(chance.next() & 0xff_ffff)?;
        let mut due = Instant::now();
        for n in 0..frames {
            match act {
                0 => {
                    view(place, n.into(), &mut pixels);
                    screen.put(place, &pixels)?;
                }
                1 => {
                    slice(place, &mut chance, &mut pixels);
                    screen.put(place, &pixels)?;
                }
                2 => screen.scroll(place, 12, colour ^ (u32::from(n) * 1_000))?,
                3 => {
                    // Two pictures in turn.
                    view(place, u32::from(n / 10 % 2) * 900, &mut pixels);
                    screen.put(place, &pixels)?;
                }
                4 => {
                    // A view that moves beside a cursor that blinks.
                    let small = Place { width: 10, height: 20, ..screen.place(&mut chance) };
                    screen.fill(small, colour)?;
                    view(place, n.into(), &mut pixels);
                    screen.put(place, &pixels)?;
                }
                _ => {
                    let width = 1 + chance.below(place.width);
                    let area = Place { width, height: 1 + chance.below(place.height), ..place };
                    screen.fill(area, colour ^ (u32::from(n) * 77_777))?;
                }
            }
            due += FRAME;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        println!("rest {act}");
        match lines.next() {
            Some(line) => line?,
            None => return Ok(()),
        };
    }
    println!("done");
    Ok(())
}

//! What desktops show: terminals, documents, a desktop of both, CT slices and shaded surfaces.

use beamdesk_media::{FrameSource as _, Picture, PictureSize, Update, X11Source};

use crate::desk::{Desk, WHITE};
use crate::{HEIGHT, WIDTH, settle};

const LINE_HEIGHT: i16 = 13;
const WORDS: [&str; 24] = [
    "the",
    "sample",
    "beam",
    "detector",
    "exposure",
    "energy",
    "of",
    "stage",
    "rotation",
    "slice",
    "0.125",
    "keV",
    "image",
    "/data/run_0042/",
    "projection",
    "is",
    "aligned",
    "with",
    "and",
    "reconstructed",
    "in",
    "17",
    "minutes",
    "-rw-r--r--",
];

/// The pictures to encode, with their names.
pub(crate) fn pictures(
    desk: &Desk,
    source: &mut X11Source,
) -> anyhow::Result<Vec<(&'static str, Picture)>> {
    terminal(desk)?;
    settle(source)?;
    let terminal = source.picture().clone();
    let document = document(desk, source)?;
    let size = terminal.size();
    let desktop = mix(
        size,
        |x, y| {
            let is_bar = y >= 1050;
            if is_bar || !(40..1880).contains(&x) || y < 20 {
                Source::Plain(if is_bar { 0x0030_3438 } else { 0x0020_4060 })
            } else if x < 900 && y < 700 {
                Source::First
            } else {
                Source::Second
            }
        },
        &terminal,
        &document,
    );
    Ok(vec![
        ("terminal", terminal),
        ("document", document),
        ("desktop", desktop),
        ("ct", ct(size, 0)),
        ("surface", surface(size, 0)),
    ])
}

/// Says that everything changed.
pub(crate) fn everything(picture: &Picture) -> Update {
    let grid = picture.size().grid();
    let areas = (0..grid.count()).map(|tile| (tile, grid.area(tile))).collect();
    Update { areas, copy: None }
}

/// Words in an order that looks like text, the same for each number.
pub(crate) fn line(number: usize) -> String {
    let mut random = Random(u32::try_from(number).unwrap_or(0).wrapping_mul(7919).wrapping_add(1));
    let mut line = String::new();
    while line.len() < 100 {
        line.push_str(WORDS[usize::from(random.byte()) % WORDS.len()]);
        line.push(' ');
    }
    line
}

/// Fills the screen with a terminal, two columns of lines.
pub(crate) fn terminal(desk: &Desk) -> anyhow::Result<()> {
    desk.fill(false, (0, 0), (WIDTH, HEIGHT))?;
    for number in 0..80 {
        write_line(desk, number, 13 + LINE_HEIGHT * i16::try_from(number)?)?;
    }
    desk.sync()
}

/// Moves the terminal up by one line and writes the next one.
pub(crate) fn scroll(desk: &Desk, number: usize) -> anyhow::Result<()> {
    let rows = u16::try_from(79 * LINE_HEIGHT)?;
    desk.copy((0, 2 + LINE_HEIGHT), (0, 2), (WIDTH, rows))?;
    write_line(desk, number, 13 + LINE_HEIGHT * 79)?;
    desk.sync()
}

fn write_line(desk: &Desk, number: usize, y: i16) -> anyhow::Result<()> {
    let text = [line(number), line(number + 5000), line(number + 9000)].join(" ");
    let cut = text.get(..(40 + number * 37 % 260).min(250)).unwrap_or(&text);
    let blank = " ".repeat(250_usize.saturating_sub(cut.len()));
    desk.text(&[cut.as_bytes(), blank.as_bytes()].concat(), (4, y))?;
    if number.is_multiple_of(3) {
        desk.write(b"user@desk:~$", (4, y), 0x0040_d060, crate::desk::BLACK)?;
    }
    Ok(())
}

/// Text twice as large, made half as large: letters with soft edges on white paper.
fn document(desk: &Desk, source: &mut X11Source) -> anyhow::Result<Picture> {
    desk.paint(0x00ff_ffff, (0, 0), (WIDTH, HEIGHT))?;
    for number in 0..80 {
        let y = 13 + LINE_HEIGHT * i16::try_from(number)?;
        let ink = if number % 17 == 0 { 0x0020_60c0 } else { 0x0010_1010 };
        let cut = 60 + number * 53 % 41;
        let text = line(number + 20_000);
        desk.write(text.get(..cut).unwrap_or(&text).as_bytes(), (3, y), ink, 0x00ff_ffff)?;
        desk.write(text.get(..cut).unwrap_or(&text).as_bytes(), (4, y), ink, 0x00ff_ffff)?;
    }
    desk.sync()?;
    settle(source)?;
    let from = source.picture().pixels();
    let at = |x: usize, y: usize, colour: usize| -> u16 {
        from[(y % 1080 * 1920 + x % 1920) * 4 + colour].into()
    };
    let mut pixels = Vec::new();
    for y in 0..1080_usize {
        for x in 0..1920_usize {
            // Pages side by side, each a third smaller than drawn: every pixel covers one and a half.
            let (right, below) = (u16::from(x % 2 == 1) * 2 + 1, u16::from(y % 2 == 1) * 2 + 1);
            let (x, y) = (x % 640 * 3 / 2, y * 3 / 2);
            for colour in 0..3 {
                let sum = 6 * at(x, y, colour)
                    + right * at(x + 1, y, colour)
                    + below * at(x, y + 1, colour)
                    + at(x + 1, y + 1, colour);
                pixels.push(u8::try_from(sum / (7 + right + below))?);
            }
            pixels.push(0);
        }
    }
    desk.paint(WHITE, (0, 0), (WIDTH, HEIGHT))?;
    Ok(Picture::from_bgrx(source.size(), &pixels).unwrap_or_else(|| Picture::black(source.size())))
}

enum Source {
    Plain(u32),
    First,
    Second,
}

fn mix(
    size: PictureSize,
    choose: impl Fn(u16, u16) -> Source,
    first: &Picture,
    second: &Picture,
) -> Picture {
    let mut pixels = Vec::new();
    for y in 0..size.height() {
        for x in 0..size.width() {
            let at = (usize::from(y) * usize::from(size.width()) + usize::from(x)) * 4;
            match choose(x, y) {
                Source::Plain(colour) => pixels.extend_from_slice(&colour.to_le_bytes()),
                Source::First => pixels.extend_from_slice(&first.pixels()[at..at + 4]),
                Source::Second => pixels.extend_from_slice(&second.pixels()[at..at + 4]),
            }
        }
    }
    Picture::from_bgrx(size, &pixels).unwrap_or_else(|| Picture::black(size))
}

/// A grey disc with holes, under noise of some ten levels; each number is another slice.
pub(crate) fn ct(size: PictureSize, number: u16) -> Picture {
    let mut random = Random(11 + 7919 * u32::from(number));
    let [middle, centre] = [size.width(), size.height()].map(|side| i32::from(side) / 2);
    picture(size, |x, y| {
        let distance = (i32::from(x) - middle).pow(2) + (i32::from(y) - centre).pow(2);
        let inside = distance < (centre - 40).pow(2);
        let hole = (i32::from(x) % 190 - 95).pow(2) + (i32::from(y) % 170 - 85).pow(2) < 1200;
        let level = if inside && !hole { 150 } else { 24 };
        let noise = u8::try_from((0..4).map(|_| u32::from(random.byte() % 12)).sum::<u32>());
        [level + noise.unwrap_or(0); 3]
    })
}

/// A smooth coloured surface, as a volume renderer draws it; it moves with the number.
pub(crate) fn surface(size: PictureSize, number: u16) -> Picture {
    let mut random = Random(5);
    picture(size, |x, y| {
        let (x, y) = (x + 4 * number, y + 2 * number);
        let wave = (u32::from(x) * u32::from(x) / 900 + u32::from(y) * u32::from(y) / 500) % 512;
        let light = u8::try_from(wave.abs_diff(256).min(255)).unwrap_or(0);
        let grain = random.byte() % 3;
        [light / 3 + 20 + grain, light / 2 + 40, light.saturating_add(grain)]
    })
}

fn picture(size: PictureSize, mut colour: impl FnMut(u16, u16) -> [u8; 3]) -> Picture {
    let mut pixels = Vec::new();
    for y in 0..size.height() {
        for x in 0..size.width() {
            pixels.extend_from_slice(&colour(x, y));
            pixels.push(0);
        }
    }
    Picture::from_bgrx(size, &pixels).unwrap_or_else(|| Picture::black(size))
}

/// Numbers that look random (Numerical Recipes, a linear congruential generator).
struct Random(u32);

impl Random {
    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0.to_be_bytes()[0]
    }
}

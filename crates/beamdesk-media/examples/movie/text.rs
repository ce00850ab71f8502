//! Pages of text with soft edges: a log as terminals show it, and an article with figures and tables.

use std::fs;

use ab_glyph::{Font as _, FontVec, PxScale, ScaleFont as _, point};
use anyhow::Context as _;

use crate::number::{Chance, byte, floor, real};

/// Where Debian's package fonts-dejavu-core has them.
const FONTS: &str = "/usr/share/fonts/truetype/dejavu";
/// Lines of the log, which begins again after the last.
pub(crate) const LOG_LINES: usize = 600;
/// Heights of pages in an article.
const PAGES: usize = 16;
const WORDS: [&str; 40] = [
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
    "projection",
    "is",
    "aligned",
    "with",
    "and",
    "reconstructed",
    "in",
    "17",
    "minutes",
    "phase",
    "contrast",
    "noise",
    "a",
    "volume",
    "was",
    "measured",
    "at",
    "room",
    "temperature",
    "while",
    "grains",
    "grew",
    "along",
    "each",
    "axis",
    "(Fig. 3)",
    "which",
];

/// A picture to draw on, BGRX.
struct Paper {
    width: usize,
    pixels: Vec<u8>,
}

impl Paper {
    fn new(width: usize, height: usize, ground: [u8; 3]) -> Self {
        let [red, green, blue] = ground;
        Self { width, pixels: [blue, green, red, 0].repeat(width * height) }
    }

    fn mix(&mut self, x: usize, y: usize, ink: [u8; 3], part: f32) {
        let place = (y * self.width + x) * 4;
        if x >= self.width || place >= self.pixels.len() {
            return;
        }
        let [red, green, blue] = ink;
        for (pixel, ink) in self.pixels[place..].iter_mut().zip([blue, green, red]) {
            *pixel = byte(f32::from(*pixel) * (1.0 - part) + f32::from(ink) * part);
        }
    }

    fn fill(&mut self, (x, y): (usize, usize), (width, height): (usize, usize), ink: [u8; 3]) {
        for line in y..y + height {
            for column in x..x + width {
                self.mix(column, line, ink, 1.0);
            }
        }
    }

    /// Writes one line whose top left corner is given; returns where it ends.
    fn write(
        &mut self,
        font: &FontVec,
        size: f32,
        at: (usize, usize),
        ink: [u8; 3],
        text: &str,
    ) -> usize {
        let scaled = font.as_scaled(PxScale::from(size));
        let (mut x, base) = (real(at.0), real(at.1) + scaled.ascent());
        for letter in text.chars() {
            let id = scaled.glyph_id(letter);
            let glyph = id.with_scale_and_position(size, point(x, base.round()));
            x += scaled.h_advance(id);
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let bounds = outline.px_bounds();
            let (left, top) = (floor(bounds.min.x), floor(bounds.min.y));
            outline.draw(|column, line, part| {
                let (column, line) = (usize::try_from(column), usize::try_from(line));
                if let (Ok(column), Ok(line)) = (column, line) {
                    self.mix(left + column, top + line, ink, part.min(1.0));
                }
            });
        }
        floor(x)
    }
}

fn font(name: &str) -> anyhow::Result<FontVec> {
    let path = format!("{FONTS}/{name}.ttf");
    let bytes =
        fs::read(&path).with_context(|| format!("{path}: is fonts-dejavu-core installed?"))?;
    FontVec::try_from_vec(bytes).with_context(|| path)
}

fn words(chance: &mut Chance, letters: usize) -> String {
    let mut text = String::new();
    while text.len() < letters {
        text.push_str(WORDS[chance.below(WORDS.len())]);
        text.push(' ');
    }
    text
}

/// Height of a line of the log.
pub(crate) fn log_line(scale: usize) -> usize {
    17 * scale
}

/// All lines of the log, one below another.
pub(crate) fn log(width: usize, scale: usize) -> anyhow::Result<Vec<u8>> {
    const INKS: [[u8; 3]; 5] =
        [[216, 220, 224], [64, 208, 96], [96, 160, 255], [232, 192, 80], [232, 96, 96]];
    let font = font("DejaVuSansMono")?;
    let height = log_line(scale);
    let mut paper = Paper::new(width, LOG_LINES * height, [16, 20, 24]);
    let mut chance = Chance(1);
    for line in 0..LOG_LINES {
        let top = line * height + scale;
        let size = real(14 * scale);
        let stamp = format!("12:{:02}:{:02}.{:03} ", line / 60 % 60, line % 60, line * 317 % 1000);
        let end = paper.write(&font, size, (4 * scale, top), [128, 136, 144], &stamp);
        let kind = chance.below(8);
        let (word, ink) = match kind {
            0 => ("WARN  ", INKS[3]),
            1 => ("ERROR ", INKS[4]),
            2 | 3 => ("DEBUG ", INKS[2]),
            _ => ("INFO  ", INKS[1]),
        };
        let end = paper.write(&font, size, (end, top), ink, word);
        let letters = 20 + chance.below(90);
        let text = format!("/data/run_{:04}/ {}", line % 97, words(&mut chance, letters));
        paper.write(&font, size, (end, top), INKS[0], &text);
    }
    Ok(paper.pixels)
}

/// An article, `PAGES` times as high as the window.
pub(crate) fn article(width: usize, height: usize, scale: usize) -> anyhow::Result<Vec<u8>> {
    const INK: [u8; 3] = [28, 30, 34];
    let (serif, sans) = (font("DejaVuSerif")?, font("DejaVuSans-Bold")?);
    let mut paper = Paper::new(width, PAGES * height, [255, 255, 255]);
    let mut chance = Chance(2);
    let (left, right) = (90 * scale, width - 90 * scale);
    let size = real(17 * scale);
    let mut y = 40 * scale;
    for part in 0.. {
        if y + 900 * scale > PAGES * height {
            break;
        }
        let title = words(&mut chance, 24);
        paper.write(&sans, real(26 * scale), (left, y), [20, 60, 120], &format!("{part} {title}"));
        y += 48 * scale;
        for _ in 0..2 + chance.below(3) {
            for _ in 0..3 + chance.below(6) {
                let mut text = words(&mut chance, 200);
                while width_of(&serif, size, &text) > right - left {
                    let cut = text.trim_end().rfind(' ').unwrap_or(0);
                    text.truncate(cut);
                }
                paper.write(&serif, size, (left, y), INK, &text);
                y += 25 * scale;
            }
            y += 14 * scale;
        }
        if part % 2 == 0 {
            figure(&mut paper, (left, y), (right - left, 300 * scale), scale, &mut chance);
            y += 330 * scale;
        } else {
            for line in 0..9 {
                let ground = if line % 2 == 0 { [238, 242, 247] } else { [255, 255, 255] };
                paper.fill((left, y), (right - left, 28 * scale), ground);
                for column in 0..6 {
                    let x = left + (10 + column * 195) * scale;
                    let value = format!("{:.3}", 100.0 * chance.part());
                    paper.write(&serif, size, (x, y + 3 * scale), INK, &value);
                }
                y += 28 * scale;
            }
            y += 30 * scale;
        }
    }
    Ok(paper.pixels)
}

fn width_of(font: &FontVec, size: f32, text: &str) -> usize {
    let scaled = font.as_scaled(PxScale::from(size));
    floor(text.chars().map(|letter| scaled.h_advance(scaled.glyph_id(letter))).sum())
}

/// A shaded map on the left and curves on the right.
fn figure(
    paper: &mut Paper,
    (left, top): (usize, usize),
    (width, height): (usize, usize),
    scale: usize,
    chance: &mut Chance,
) {
    let wave = (2.0 + 6.0 * chance.part(), 2.0 + 6.0 * chance.part());
    for line in 0..height {
        for column in 0..width / 2 {
            let (x, y) = (real(column) / real(height), real(line) / real(height));
            let level = 0.5 + 0.25 * (x * wave.0).sin() + 0.25 * (y * wave.1 + x).cos();
            let ink = [
                byte(255.0 * level),
                byte(90.0 + 120.0 * level * level),
                byte(200.0 - 160.0 * level),
            ];
            paper.mix(left + column, top + line, ink, 1.0);
        }
    }
    let (from, room) = (left + width / 2 + 30 * scale, width / 2 - 40 * scale);
    paper.fill((from, top), (scale, height), [60, 60, 60]);
    paper.fill((from, top + height - scale), (room, scale), [60, 60, 60]);
    for ink in [[200, 40, 40], [40, 110, 200], [30, 150, 70]] {
        let (phase, pace) = (6.0 * chance.part(), 6.0 + 20.0 * chance.part());
        for column in 0..room {
            let x = real(column) / real(room);
            let value = 0.5 + 0.4 * (x * pace + phase).sin() * (1.0 - 0.6 * x);
            let y = value * real(height);
            for step in 0..4 * scale {
                let away = (real(step) - real(2 * scale)).abs() / real(scale);
                let part = (1.5 - away).clamp(0.0, 1.0);
                paper.mix(from + column, top + floor(y) + step, ink, part);
            }
        }
    }
}

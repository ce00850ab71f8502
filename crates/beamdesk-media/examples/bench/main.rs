//! Speed and size of capture and encoding at 1920×1080, with an X server of its own; video also at
//! 3840×2160.
//!
//! `cargo run --release -p beamdesk-media --example bench [-- --json FILE]`

mod content;
mod desk;
mod figures;
mod stills;
mod video;
mod whole;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use beamdesk_media::{
    Encoder as _, Event, FrameHead, FrameSource as _, Picture, Portion, TileEncoder, Update,
    X11Source,
};
use desk::Desk;
use figures::{Figures, cpu, median, since, to_f64};

const WIDTH: u16 = 1920;
const HEIGHT: u16 = 1080;
const ROUNDS: usize = 200;
const FULL_ROUNDS: usize = 20;
/// What the agent's sessions are given to cache.
const CACHE_SLOTS: u16 = 1024;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let json_file = match (arguments.next().as_deref(), arguments.next()) {
        (None, None) => None,
        (Some("--json"), Some(file)) => Some(file),
        _ => bail!("usage: bench [--json FILE]"),
    };
    let mut figures = Figures::default();
    whole::measure(&mut figures)?;
    let desk = Desk::start(WIDTH, HEIGHT).context("starting Xvfb")?;
    let mut source = X11Source::connect(desk.display())?;

    capture(&desk, &mut source, &mut figures)?;
    let pictures = content::pictures(&desk, &mut source)?;
    for (name, picture) in &pictures {
        let ours = encode(name, picture, &mut figures)?;
        stills::compare(name, picture, ours, &mut figures)?;
    }
    typing(&desk, &mut source, &mut figures)?;
    scrolling(&desk, &mut source, &mut figures)?;
    let document = pictures.iter().find(|(name, _)| *name == "document").context("a document")?;
    video::measure(&document.1, x264(), &mut figures)?;

    figures.print()?;
    if let Some(file) = json_file {
        let command = "cargo xtask bench media";
        std::fs::write(&file, figures.json(command)).with_context(|| file)?;
    }
    Ok(())
}

/// The program beside this one's folder, where it was built.
fn x264() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?.parent()?.parent()?.join("beamdesk-x264");
    program.exists().then_some(program)
}

/// One changed tile from damage to update, and a comparison of the whole picture.
fn capture(desk: &Desk, source: &mut X11Source, figures: &mut Figures) -> anyhow::Result<()> {
    settle(source)?;
    let mut one_tile = Vec::new();
    let mut sweep = Vec::new();
    let mut everything = Vec::new();
    for round in 0..ROUNDS {
        let white = round % 2 == 0;
        desk.fill(white, (650, 530), (7, 13))?;
        let before = cpu();
        let update = next_update(source)?;
        one_tile.push(since(before));
        anyhow::ensure!(update.areas.len() == 1, "one tile changed");
        settle(source)?;

        source.sweep();
        let before = cpu();
        anyhow::ensure!(source.capture()?.is_none(), "nothing changed");
        sweep.push(since(before));
    }
    for round in 0..FULL_ROUNDS {
        desk.fill(round % 2 == 0, (0, 0), (WIDTH, HEIGHT))?;
        let before = cpu();
        next_update(source)?;
        everything.push(since(before));
        settle(source)?;
    }
    figures.times("media.capture_one_tile_cpu", &one_tile);
    figures.times("media.sweep_cpu", &sweep);
    figures.times("media.capture_full_cpu", &everything);
    Ok(())
}

/// A full-screen change to this picture, from one that has nothing in common with it.
fn encode(
    name: &str,
    picture: &Picture,
    figures: &mut Figures,
) -> anyhow::Result<(Duration, usize)> {
    let mut times = Vec::new();
    let mut bytes = 0;
    let all = content::everything(picture);
    for _ in 0..FULL_ROUNDS {
        let mut encoder = TileEncoder::new(picture.size(), CACHE_SLOTS);
        let black = Picture::black(picture.size());
        let mut viewer = Viewer::default();
        viewer.settle(&mut encoder, &black)?;
        encoder.note(&all, viewer.now());
        viewer.bytes = 0;
        let before = cpu();
        viewer.settle(&mut encoder, picture)?;
        times.push(since(before));
        bytes = viewer.bytes;
    }
    let median = median(&mut times.clone());
    let megabytes = f64::from(u32::from(WIDTH) * u32::from(HEIGHT) * 4) / 1e6;
    figures.times(&format!("media.encode_{name}_cpu"), &times);
    let speed = megabytes / median.as_secs_f64();
    figures.add(&format!("media.encode_{name}_speed"), speed, "MB/s", times.len());
    figures.add(&format!("media.encode_{name}_size"), to_f64(bytes), "bytes", 1);
    Ok((median, bytes))
}

/// Letters typed into a terminal, one frame each, as the wire sees them.
fn typing(desk: &Desk, source: &mut X11Source, figures: &mut Figures) -> anyhow::Result<()> {
    desk.fill(false, (0, 0), (WIDTH, HEIGHT))?;
    let mut encoder = TileEncoder::new(source.size(), CACHE_SLOTS);
    let mut viewer = Viewer::default();
    settle(source)?;
    viewer.settle(&mut encoder, source.picture())?;
    viewer.bytes = 0;
    let line = content::line(7);
    let mut times = Vec::new();
    for (index, letter) in line.bytes().enumerate() {
        let x = 8 + i16::try_from(index)? * 6;
        desk.fill(false, (x, 390), (6, 13))?;
        desk.text(&[letter], (x, 400))?;
        desk.fill(true, (x + 6, 390), (6, 13))?;
        let before = cpu();
        let update = next_update(source)?;
        encoder.note(&update, viewer.now());
        viewer.settle(&mut encoder, source.picture())?;
        times.push(since(before));
        viewer.pass(Duration::from_millis(250));
    }
    figures.times("media.type_cpu", &times);
    let each = to_f64(viewer.bytes) / to_f64(line.len());
    figures.add("media.type_size", each, "bytes", line.len());
    Ok(())
}

/// A terminal that scrolls up line by line.
fn scrolling(desk: &Desk, source: &mut X11Source, figures: &mut Figures) -> anyhow::Result<()> {
    content::terminal(desk)?;
    settle(source)?;
    let mut encoder = TileEncoder::new(source.size(), CACHE_SLOTS);
    let mut viewer = Viewer::default();
    viewer.settle(&mut encoder, source.picture())?;
    viewer.bytes = 0;
    let lines = 50;
    let mut times = Vec::new();
    for line in 0..lines {
        content::scroll(desk, 1000 + line)?;
        let before = cpu();
        let update = next_update(source)?;
        encoder.note(&update, viewer.now());
        viewer.settle(&mut encoder, source.picture())?;
        times.push(since(before));
    }
    figures.times("media.scroll_cpu", &times);
    let each = to_f64(viewer.bytes) / f64::from(u32::try_from(lines)?);
    figures.add("media.scroll_size", each, "bytes", lines);
    Ok(())
}

pub(crate) fn next_update(source: &mut X11Source) -> anyhow::Result<Update> {
    let deadline = now() + Duration::from_secs(10);
    loop {
        match source.wait(Some(deadline))? {
            Event::Changed => {
                if let Some(update) = source.capture()? {
                    return Ok(update);
                }
            }
            Event::Cursor => {}
            event @ (Event::Resized | Event::Woken | Event::TimedOut) => bail!("{event:?}"),
        }
    }
}

/// Takes in everything that was drawn so far.
pub(crate) fn settle(source: &mut X11Source) -> anyhow::Result<()> {
    source.sweep();
    source.capture()?;
    while source.wait(Some(now()))? != Event::TimedOut {
        source.capture()?;
    }
    Ok(())
}

/// A viewer that is never slow; its clock moves by hand.
struct Viewer {
    now: Instant,
    bytes: usize,
}

impl Default for Viewer {
    fn default() -> Self {
        Self { now: now(), bytes: 0 }
    }
}

impl Viewer {
    fn now(&self) -> Instant {
        self.now
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn settle(&mut self, encoder: &mut TileEncoder, picture: &Picture) -> anyhow::Result<()> {
        let mut messages = Vec::new();
        let all: Vec<u16> = (0..picture.tiles_count()).collect();
        let head = FrameHead { frame: 0, captured_us: 0 };
        let portions = [Portion { tiles: &all, bytes: usize::MAX }];
        let frame = encoder.encode(picture, head, &portions, &mut messages).context("a frame")?;
        anyhow::ensure!(frame.complete, "all was sent");
        self.bytes += frame.bytes;
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

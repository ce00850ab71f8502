//! Shows moving content on an X display with a counter in it, and judges what a browser made of it: the source of
//! `cargo xtask bench stream`.
//!
//! - `movie render CONTENT WIDTH HEIGHT FILE` draws beforehand what can be;
//! - `movie play CONTENT WIDTH HEIGHT FILE X Y` shows the first frame in `$DISPLAY`, says `ready` and where in
//!   it the counter stands, and then, for each line
//!   `go RATE FRAMES` on its standard input, so many frames, each with its number and the times (nanoseconds of the
//!   monotonic clock) before it was asked for and after it was drawn; then `end`;
//! - `movie frame CONTENT WIDTH HEIGHT FILE NUMBER TO` writes a frame as RGBA;
//! - `movie judge CONTENT WIDTH HEIGHT FILE` reads lines `NUMBER PICTURE` and prints how near each RGBA file is.
//!
//! Contents: `terminal`, `document`, `view3d`, `ct`, `idle`, and `mark`, the counter alone at an uneven pace.
#![expect(clippy::print_stdout, reason = "a tool that scripts read from")]

mod counter;
mod judge;
mod number;
mod reel;
mod screen;
mod slices;
mod surface;
mod text;

use std::fs;
use std::io;
use std::path::Path;

use anyhow::Context as _;
use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::reel::{Content, Reel};
use crate::screen::Screen;

const SECOND: u64 = 1_000_000_000;
/// Frame of a browser: changes are spread over it, for at an even pace all would meet it at one phase.
const SPREAD: u64 = SECOND / 60;
/// Frames that a picture may be behind its counter and still be found out.
const LAG_MAX: usize = 6;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, content, width, height, file, rest @ ..] = arguments.as_slice() else {
        anyhow::bail!("movie render|play|frame|judge CONTENT WIDTH HEIGHT FILE ...");
    };
    let content = Content::named(content)?;
    let (width, height) = (width.parse()?, height.parse()?);
    let file = Path::new(file);
    if what == "render" {
        return Ok(fs::write(file, reel::render(content, width, height)?)?);
    }
    let reel = Reel::open(content, width, height, file)?;
    match (what.as_str(), rest) {
        ("play", [x, y]) => play(&reel, content == Content::Mark, x.parse()?, y.parse()?),
        ("frame", [number, to]) => {
            let mut picture = reel.frame(number.parse()?)?;
            for pixel in picture.chunks_exact_mut(4) {
                pixel.swap(0, 2);
                pixel[3] = 255;
            }
            Ok(fs::write(to, picture)?)
        }
        ("judge", []) => judge(&reel),
        _ => anyhow::bail!("what to do with it: {what} {rest:?}"),
    }
}

fn play(reel: &Reel, is_uneven: bool, x: i16, y: i16) -> anyhow::Result<()> {
    let screen = Screen::open(reel, x, y)?;
    screen.show(reel, 0, true)?;
    let (across, down) = reel.row();
    println!("ready {across} {down}");
    let mut number = 0;
    for line in io::stdin().lines() {
        let line = line?;
        let (rate, frames) = line
            .strip_prefix("go ")
            .and_then(|rest| rest.split_once(' '))
            .context("go RATE FRAMES")?;
        let (rate, frames): (u64, u64) = (rate.parse()?, frames.parse()?);
        let period = SECOND / rate.max(1);
        let mut due = now();
        for _ in 0..frames {
            number += 1;
            // Golden ratio: the most even spread of what looks uneven.
            let part = u64::try_from(number)?.wrapping_mul(2_654_435_769) & 0xffff_ffff;
            let shift = if is_uneven { (part * SPREAD.min(period / 2)) >> 32 } else { 0 };
            sleep_until(due + shift)?;
            let began = now();
            screen.show(reel, number, false)?;
            println!("{number} {began} {}", now());
            // Who is late begins anew rather than hurry.
            due = (due + period).max(now().saturating_sub(period / 2));
        }
        println!("end");
    }
    Ok(())
}

fn judge(reel: &Reel) -> anyhow::Result<()> {
    let (width, height) = reel.size();
    for line in io::stdin().lines() {
        let line = line?;
        let (number, path) = line.split_once(' ').context("NUMBER PICTURE")?;
        let shown = fs::read(path)?;
        anyhow::ensure!(shown.len() == width * height * 4, "{path} is of another size");
        let number: usize = number.parse()?;
        let verdict = judge::judge(&shown, &reel.frame(number)?, width);
        // Whether the rest of the picture is as new as its counter.
        let (mut lag, mut least) = (0, f64::INFINITY);
        for back in 0..=LAG_MAX.min(number) {
            let error = judge::error(&shown, &reel.frame(number - back)?);
            if error < least {
                (lag, least) = (back, error);
            }
        }
        println!(
            "{{\"frame\":{number},\"psnr\":{},\"ssim\":{:.6},\"exact\":{:.6},\"worst\":{},\"lag\":{lag}}}",
            if verdict.psnr.is_finite() {
                format!("{:.3}", verdict.psnr)
            } else {
                "null".to_owned()
            },
            verdict.ssim,
            verdict.exact,
            verdict.worst,
        );
    }
    Ok(())
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * SECOND + part(time.tv_nsec)
}

fn sleep_until(time: u64) -> anyhow::Result<()> {
    let until =
        Timespec { tv_sec: i64::try_from(time / SECOND)?, tv_nsec: i64::try_from(time % SECOND)? };
    while let Err(error) = clock_nanosleep_absolute(ClockId::Monotonic, &until) {
        anyhow::ensure!(error == rustix::io::Errno::INTR, "{error}");
    }
    Ok(())
}

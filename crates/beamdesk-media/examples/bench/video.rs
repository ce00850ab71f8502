//! Video encoders: time, bytes and nearness for what moves.

use std::path::PathBuf;
use std::time::Duration;

use beamdesk_media::{
    Choice, EncoderName, Encoders, EncodersConfig, H264Decoder, Picture, PictureSize, PlaneFormat,
    Planes, VideoWish,
};

use crate::content;
use crate::figures::{Figures, cpu, cpu_of_all, median, since, to_f64};
use crate::now;

/// Pictures of each content, shown forth and back.
const PICTURES: usize = 8;
const FRAMES: usize = 32;
/// The first ones, a key frame among them, are left out: the quantiser finds its place.
const WARM_UP: usize = 12;
const CONVERSIONS: usize = 30;
/// Bytes wished for in each frame, by pixels of it: 60 KiB at 1920×1080, 30 Mbit/s at 60 a second.
const PIXELS_PER_BYTE: usize = 34;
/// Pixels that text moves up in a frame.
const SCROLL: usize = 12;

pub(crate) fn measure(
    document: &Picture,
    x264: Option<PathBuf>,
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let encoders = Encoders::probe(EncodersConfig { x264, nvenc: true });
    for (size_name, width, height) in [("1080p", 1920, 1080), ("2160p", 3840, 2160)] {
        let size = PictureSize::clamped(width, height);
        let contents = [
            ("ct", pictures(|number| content::ct(size, number))),
            ("surface", pictures(|number| content::surface(size, number))),
            ("document", pictures(|number| scrolled(document, size, number))),
        ];
        convert(size_name, &contents[1].1[0], figures);
        // Exact ones at the larger size would take longer than all the rest.
        let is_measured = |choice: &&Choice| size_name == "1080p" || !choice.is_exact();
        for choice in encoders.found().iter().filter(is_measured) {
            for (content, pictures) in &contents {
                let name = format!("video.{}_{content}_{size_name}", name_of(*choice));
                encode(&name, &encoders, *choice, pictures, figures)?;
            }
        }
    }
    Ok(())
}

/// An encoder, and what it makes where it makes more than one thing.
fn name_of(choice: Choice) -> String {
    let encoder = choice.encoder.as_str();
    match choice.encoder {
        EncoderName::Openh264 | EncoderName::Libaom => encoder.to_owned(),
        EncoderName::X264 | EncoderName::Nvenc => {
            let codec = format!("{:?}", choice.codec).to_lowercase();
            format!("{encoder}_{codec}")
        }
    }
}

fn pictures(mut picture: impl FnMut(u16) -> Picture) -> Vec<Picture> {
    (0..u16::try_from(PICTURES).unwrap_or(1)).map(&mut picture).collect()
}

/// The document over and over, moved up.
fn scrolled(document: &Picture, size: PictureSize, number: u16) -> Picture {
    let from = document.size();
    let (columns, rows) = (usize::from(from.width()), usize::from(from.height()));
    let mut pixels = Vec::new();
    for y in 0..usize::from(size.height()) {
        let row = (y + usize::from(number) * SCROLL) % rows * columns * 4;
        let row = &document.pixels()[row..row + columns * 4];
        pixels.extend(row.iter().cycle().take(usize::from(size.width()) * 4));
    }
    Picture::from_bgrx(size, &pixels).unwrap_or_else(|| Picture::black(size))
}

fn convert(size_name: &str, picture: &Picture, figures: &mut Figures) {
    let size = picture.size();
    for (name, format) in
        [("i420", PlaneFormat::I420), ("i444", PlaneFormat::I444), ("gbr", PlaneFormat::Gbr)]
    {
        let mut planes = Planes::new(format, size.width(), size.height());
        let mut times = Vec::new();
        for _ in 0..CONVERSIONS {
            let before = cpu();
            planes.fill(picture, size.rect());
            times.push(since(before));
        }
        figures.times(&format!("video.convert_{name}_{size_name}_cpu"), &times);
    }
}

fn encode(
    name: &str,
    encoders: &Encoders,
    choice: Choice,
    pictures: &[Picture],
    figures: &mut Figures,
) -> anyhow::Result<()> {
    let size = pictures[0].size();
    let pixels = usize::from(size.width()) * usize::from(size.height());
    let wish = VideoWish { bytes: pixels / PIXELS_PER_BYTE, is_key: false };
    let mut encoder = encoders.open(choice, size.width(), size.height())?;
    let mut decoder = H264Decoder::new()?;
    let mut planes = Planes::new(choice.format(), size.width(), size.height());
    let (mut cpus, mut walls, mut bytes, mut errors) = (Vec::new(), Vec::new(), 0, 0.0);
    for frame in 0..FRAMES {
        let turn = frame % (2 * PICTURES - 2);
        planes.fill(&pictures[turn.min(2 * PICTURES - 2 - turn)], size.rect());
        let (before, start) = (cpu_of_all(), now());
        let packet = encoder.encode(&planes, wish)?;
        let wall = now().saturating_duration_since(start);
        let cpu = cpu_of_all().saturating_sub(before);
        if choice == Choice::OPENH264 {
            let seen = decoder.decode(&packet.bytes)?;
            let error = squared_error(&planes, &seen.planes[0]);
            errors += if frame < WARM_UP { 0.0 } else { error };
        }
        if frame >= WARM_UP {
            cpus.push(cpu);
            walls.push(wall);
            bytes += packet.bytes.len();
        }
    }
    let n = cpus.len();
    // The program beside us spends its time elsewhere.
    if choice.encoder != EncoderName::X264 {
        figures.times(&format!("{name}_cpu"), &cpus);
    }
    let wall: Duration = median(&mut walls);
    figures.add(&format!("{name}_wall"), wall.as_secs_f64() * 1e3, "ms", n);
    figures.add(&format!("{name}_size"), to_f64(bytes) / to_f64(n), "bytes", n);
    if choice == Choice::OPENH264 {
        let mean = errors / to_f64(n);
        figures.add(&format!("{name}_psnr"), 10.0 * (255.0 * 255.0 / mean).log10(), "dB", n);
    }
    Ok(())
}

/// Mean over the first plane.
fn squared_error(planes: &Planes, seen: &[u8]) -> f64 {
    let (luma, stride) = planes.plane(0);
    let width = usize::from(planes.width()).next_multiple_of(2);
    let rows = luma.chunks(stride).zip(seen.chunks(width));
    let squares = rows.flat_map(|(row, seen)| {
        row.iter().zip(seen).map(|(&a, &b)| f64::from(a.abs_diff(b)).powi(2))
    });
    squares.sum::<f64>() / to_f64(seen.len())
}
